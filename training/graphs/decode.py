"""The decode graph: K steps in one run, each reads a symbol and draws the next."""

from collections.abc import Sequence

from onnx import GraphProto

from quartet.generation import (
    ATTENTION,
    LOG_PROBABILITIES,
    MAX_TOP,
    TOKEN,
    TOKENS,
    TOP_LOG_PROBABILITIES,
    TOP_TOKENS,
    UNIFORM,
)
from training.graphs.builder import BOOL, FLOAT, INT64, GraphBuilder, Value
from training.graphs.network import BATCH, Carried, Head, Network, StateSpec
from training.graphs.ranking import alternatives
from training.graphs.sampling import Sampler, controls, mark

STEPS = "steps"


def build_decode(graph: GraphBuilder, network: Network, head: Head) -> GraphProto:
    """See ``quartet.generation``. ``graph`` must be empty."""
    symbols = head.symbols
    counts = counts_spec(symbols)
    sampler = Sampler(graph, symbols, head.rules)
    carried = network.begin(graph, {spec.name: spec.name for spec in network.states})
    body = _step(graph.subgraph(), network, head, sampler, carried)
    uniforms = graph.op("Transpose", UNIFORM, perm=[1, 0])
    scanned = [graph.op("Unsqueeze", uniforms, graph.constant([2]))]
    if head.rules.stop:
        scanned.append(sampler.early_steps(graph))
    results = graph.ops(
        "Scan",
        len(body.output),
        TOKEN,
        counts.name,
        *[c.value for c in carried],
        *scanned,
        num_scan_inputs=len(scanned),
        body=body,
    )
    after, made = results[2 : 2 + len(carried)], results[2 + len(carried) :]
    tokens = graph.rename(graph.op("Transpose", made[0], perm=[1, 0]), TOKENS)
    states = network.end(graph, after)
    for spec in network.states:
        graph.rename(states[spec.name], spec.output)
    graph.rename(_count(graph, counts.name, tokens), counts.output)
    _report(graph, made[1], tokens, symbols)
    if network.places:
        graph.rename(graph.op("Transpose", made[2], perm=[1, 0, 2]), ATTENTION)
    return _finish(graph, network, head)


def counts_spec(symbols: int) -> StateSpec:
    """The state that the penalties need: how often each symbol was read."""
    return StateSpec("counts", (symbols,))


def _step(
    body: GraphBuilder, network: Network, head: Head, sampler: Sampler, carried: Sequence[Carried]
) -> GraphProto:
    """Body of the loop: symbol, counts and what the network carries, in and out.

    Scanned are the random number and, with stop symbols, whether they may not be drawn yet; what
    is made are symbol, scores and, if there is any, attention.
    """
    token, running, uniform = (body.fresh(text) for text in ("token", "counts", "uniform"))
    inner = [Value(body.fresh("before"), c.type, c.shape) for c in carried]
    scanned = [Value(uniform, FLOAT, (BATCH, 1))]
    if head.rules.stop:
        scanned.append(Value(body.fresh("early"), BOOL, (BATCH, 1)))
    step = network.step(body, token, [value.name for value in inner])
    scores = head.scores(body, step.operand)
    allowed = sampler.allow(body, scores, *(value.name for value in scanned[1:]))
    drawing = sampler.draw(body, allowed, token, running, uniform)
    shape = (BATCH, head.symbols)
    made = [
        Value(body.op("Identity", drawing.token), INT64, (BATCH,)),
        Value(scores, FLOAT, shape),
    ]
    if network.places:
        made.append(Value(step.attention, FLOAT, (BATCH, network.places)))
    return body.finish(
        "step",
        [
            Value(token, INT64, (BATCH,)),
            Value(running, FLOAT, shape),
            *inner,
            *scanned,
        ],
        [
            Value(drawing.token, INT64, (BATCH,)),
            Value(drawing.counts, FLOAT, shape),
            *(Value(n, c.type, c.shape) for n, c in zip(step.carried, carried, strict=True)),
            *made,
        ],
    )


def _count(graph: GraphBuilder, counts: str, tokens: str) -> str:
    """``counts`` with the symbols read in this run: the first input, and all drawn but the last."""
    column = graph.op("Unsqueeze", TOKEN, graph.constant([1]))
    axis = graph.constant([1])
    drawn = graph.op("Slice", tokens, graph.constant([0]), graph.constant([-1]), axis)
    read = graph.op("Concat", column, drawn, axis=1)
    ones = graph.op("Expand", graph.floats(1.0), graph.op("Shape", read))
    return mark(graph, counts, read, ones)


def _report(graph: GraphBuilder, scores: str, tokens: str, symbols: int) -> None:
    """Log-probabilities of what was drawn and of the likeliest, from all steps' scores at once."""
    logs = graph.op("LogSoftmax", graph.op("Transpose", scores, perm=[1, 0, 2]), axis=2)
    axis = graph.constant([2])
    drawn = graph.op("GatherElements", logs, graph.op("Unsqueeze", tokens, axis), axis=2)
    graph.rename(graph.op("Squeeze", drawn, axis), LOG_PROBABILITIES)
    ids, values = alternatives(graph, logs, symbols, min(MAX_TOP, symbols))
    graph.rename(ids, TOP_TOKENS)
    graph.rename(values, TOP_LOG_PROBABILITIES)


def _finish(graph: GraphBuilder, network: Network, head: Head) -> GraphProto:
    top = min(MAX_TOP, head.symbols)
    states = [*network.states, counts_spec(head.symbols)]
    attention = [Value(ATTENTION, FLOAT, (BATCH, STEPS, network.places))]
    return graph.finish(
        "decode",
        [
            Value(TOKEN, INT64, (BATCH,)),
            *(spec.values()[0] for spec in states),
            *(spec.value() for spec in network.constants),
            *controls(head.rules),
            Value(UNIFORM, FLOAT, (BATCH, STEPS)),
        ],
        [
            Value(TOKENS, INT64, (BATCH, STEPS)),
            Value(LOG_PROBABILITIES, FLOAT, (BATCH, STEPS)),
            Value(TOP_TOKENS, INT64, (BATCH, STEPS, top)),
            Value(TOP_LOG_PROBABILITIES, FLOAT, (BATCH, STEPS, top)),
            *(attention if network.places else ()),
            *(spec.values()[1] for spec in states),
        ],
    )
