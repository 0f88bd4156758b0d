"""The decode graph: K steps in one run, each reads a symbol and draws the next."""

from onnx import GraphProto

from quartet.generation import (
    LOG_PROBABILITIES,
    MAX_TOP,
    TOKEN,
    TOKENS,
    TOP_LOG_PROBABILITIES,
    TOP_TOKENS,
    UNIFORM,
)
from training.graphs.builder import FLOAT, INT64, GraphBuilder, Value
from training.graphs.network import BATCH, Head, Network, StateSpec
from training.graphs.sampling import CONTROLS, Sampler, alternatives, mark

STEPS = "steps"


def build_decode(graph: GraphBuilder, network: Network, head: Head) -> GraphProto:
    """See ``quartet.generation``. ``graph`` must be empty."""
    symbols = head.symbols
    counts = counts_spec(symbols)
    sampler = Sampler(graph, symbols)
    carried = network.begin(graph, {spec.name: spec.name for spec in network.states})

    body = graph.subgraph()
    token, running, uniform = (body.fresh(text) for text in ("token", "counts", "uniform"))
    inner = [Value(body.fresh("before"), c.type, c.shape) for c in carried]
    operand, after = network.step(body, token, [value.name for value in inner])
    scores = head.scores(body, operand)
    drawing = sampler.draw(body, scores, token, running, uniform)
    shape = (BATCH, symbols)
    loop = body.finish(
        "step",
        [
            Value(token, INT64, (BATCH,)),
            Value(running, FLOAT, shape),
            *inner,
            Value(uniform, FLOAT, (BATCH, 1)),
        ],
        [
            Value(drawing.token, INT64, (BATCH,)),
            Value(drawing.counts, FLOAT, shape),
            *(Value(n, c.type, c.shape) for n, c in zip(after, carried, strict=True)),
            Value(body.op("Identity", drawing.token), INT64, (BATCH,)),
            Value(scores, FLOAT, shape),
        ],
    )
    uniforms = graph.op("Transpose", UNIFORM, perm=[1, 0])
    results = graph.ops(
        "Scan",
        len(carried) + 4,
        TOKEN,
        counts.name,
        *[c.value for c in carried],
        graph.op("Unsqueeze", uniforms, graph.constant([2])),
        num_scan_inputs=1,
        body=loop,
    )
    tokens = graph.rename(graph.op("Transpose", results[-2], perm=[1, 0]), TOKENS)
    states = network.end(graph, results[2:-2])
    for spec in network.states:
        graph.rename(states[spec.name], spec.output)
    graph.rename(_count(graph, counts.name, tokens), counts.output)
    top = min(MAX_TOP, symbols)
    _report(graph, results[-1], tokens, symbols, top)

    states_of = [*network.states, counts]
    return graph.finish(
        "decode",
        [
            Value(TOKEN, INT64, (BATCH,)),
            *(spec.values()[0] for spec in states_of),
            *CONTROLS,
            Value(UNIFORM, FLOAT, (BATCH, STEPS)),
        ],
        [
            Value(TOKENS, INT64, (BATCH, STEPS)),
            Value(LOG_PROBABILITIES, FLOAT, (BATCH, STEPS)),
            Value(TOP_TOKENS, INT64, (BATCH, STEPS, top)),
            Value(TOP_LOG_PROBABILITIES, FLOAT, (BATCH, STEPS, top)),
            *(spec.values()[1] for spec in states_of),
        ],
    )


def counts_spec(symbols: int) -> StateSpec:
    """The state that the penalties need: how often each symbol was read."""
    return StateSpec("counts", (symbols,))


def _count(graph: GraphBuilder, counts: str, tokens: str) -> str:
    """``counts`` with the symbols read in this run: the first input, and all drawn but the last."""
    column = graph.op("Unsqueeze", TOKEN, graph.constant([1]))
    axis = graph.constant([1])
    drawn = graph.op("Slice", tokens, graph.constant([0]), graph.constant([-1]), axis)
    read = graph.op("Concat", column, drawn, axis=1)
    ones = graph.op("Expand", graph.floats(1.0), graph.op("Shape", read))
    return mark(graph, counts, read, ones)


def _report(graph: GraphBuilder, scores: str, tokens: str, symbols: int, top: int) -> None:
    """Log-probabilities of what was drawn and of the likeliest, from all steps' scores at once."""
    logs = graph.op("LogSoftmax", graph.op("Transpose", scores, perm=[1, 0, 2]), axis=2)
    axis = graph.constant([2])
    drawn = graph.op("GatherElements", logs, graph.op("Unsqueeze", tokens, axis), axis=2)
    graph.rename(graph.op("Squeeze", drawn, axis), LOG_PROBABILITIES)
    ids, values = alternatives(graph, logs, symbols, top)
    graph.rename(ids, TOP_TOKENS)
    graph.rename(values, TOP_LOG_PROBABILITIES)
