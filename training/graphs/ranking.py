"""The likeliest symbols of each step, for rows that ask for them."""

from quartet.generation import ALTERNATIVES
from training.graphs.builder import FLOAT, INT64, Dimension, GraphBuilder, Value
from training.graphs.network import BATCH
from training.graphs.sampling import any_of


def alternatives(
    graph: GraphBuilder, log_probabilities: str, symbols: int, top: int
) -> tuple[str, str]:
    """The likeliest symbols and their log-probabilities; zeros in rows that asked for none.

    Args:
        graph: has the input ``alternatives``.
        log_probabilities: [batch, steps, symbols].
        symbols: length of the vocabulary.
        top: how many.
    """
    wanted = graph.op("Greater", ALTERNATIVES, graph.constant(0))
    shape: tuple[Dimension, ...] = (BATCH, "steps", top)
    then, other = graph.subgraph(), graph.subgraph()
    values, tokens = then.ops("TopK", 2, log_probabilities, then.constant([top]), axis=2)
    rows = then.op("Unsqueeze", wanted, then.constant([1, 2]))
    found = (
        then.op("Where", rows, tokens, then.constant(0)),
        then.op("Where", rows, values, then.floats(0.0)),
    )
    sizes = other.op("Shape", log_probabilities, start=0, end=2)
    sizes = other.op("Concat", sizes, other.constant([top]), axis=0)
    empty = (
        other.op("Expand", other.constant(0), sizes),
        other.op("Expand", other.floats(0.0), sizes),
    )
    types = (INT64, FLOAT)
    return tuple(  # type: ignore[return-value]
        graph.ops(
            "If",
            2,
            any_of(graph, wanted),
            then_branch=then.finish(
                "wanted", [], [Value(n, t, shape) for n, t in zip(found, types, strict=True)]
            ),
            else_branch=other.finish(
                "unwanted", [], [Value(n, t, shape) for n, t in zip(empty, types, strict=True)]
            ),
        )
    )
