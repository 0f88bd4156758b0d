"""The prefill graph: reads many symbols in one run."""

from onnx import GraphProto

from quartet.generation import ATTENTION, LENGTH, LOG_PROBABILITIES, TOKENS
from training.graphs.builder import FLOAT, INT64, GraphBuilder, Value
from training.graphs.decode import counts_spec
from training.graphs.network import BATCH, Head, Network, Reading
from training.graphs.sampling import mark

TIME = "time"


def build_prefill(graph: GraphBuilder, network: Network, head: Head) -> GraphProto:
    """See ``quartet.generation``. ``graph`` must be empty."""
    symbols = head.symbols
    counts = counts_spec(symbols)
    time = graph.op("Gather", graph.op("Shape", TOKENS), graph.constant(1))
    places = graph.op("Range", graph.constant(0), time, graph.constant(1))
    ends = graph.op("Unsqueeze", LENGTH, graph.constant([1]))
    is_read = graph.op("Less", places, ends)
    tokens = graph.op("Where", is_read, TOKENS, graph.constant(0))
    reading = Reading(graph.op("Transpose", tokens, perm=[1, 0]), LENGTH)
    read = network.read(graph, reading, {spec.name: spec.name for spec in network.states})
    for spec in network.states:
        graph.rename(read.states[spec.name], spec.output)
    marked = mark(graph, counts.name, tokens, graph.op("Cast", is_read, to=FLOAT))
    graph.rename(marked, counts.output)
    logs = graph.op("LogSoftmax", head.scores(graph, read.operands), axis=1)
    shape = graph.op("Concat", graph.op("Shape", reading.tokens), graph.constant([-1]), axis=0)
    logs = graph.op("Reshape", logs, shape)
    graph.rename(graph.op("Transpose", logs, perm=[1, 0, 2]), LOG_PROBABILITIES)
    if network.places:
        graph.rename(graph.op("Transpose", read.attention, perm=[1, 0, 2]), ATTENTION)

    states_of = [*network.states, counts]
    attention = [Value(ATTENTION, FLOAT, (BATCH, TIME, network.places))]
    return graph.finish(
        "prefill",
        [
            Value(TOKENS, INT64, (BATCH, TIME)),
            Value(LENGTH, INT64, (BATCH,)),
            *(spec.values()[0] for spec in states_of),
            *(spec.value() for spec in network.constants),
        ],
        [
            Value(LOG_PROBABILITIES, FLOAT, (BATCH, TIME, symbols)),
            *(attention if network.places else ()),
            *(spec.values()[1] for spec in states_of),
        ],
    )
