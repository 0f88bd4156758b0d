"""The decoder of captions: attention, LSTM and the layer before the scores.

The equations are those of ``training.caption.model``; names of values follow them.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from training.caption.graphs.weights import AttentionWeights, CaptionWeights
from training.graphs.builder import FLOAT, INT64, GraphBuilder, Value
from training.graphs.cells import LayerState, RecurrentStep
from training.graphs.network import (
    BATCH,
    Carried,
    ConstantSpec,
    Read,
    Reading,
    StateSpec,
    Step,
    row_ends,
)
from training.graphs.products import Arithmetic, Matrix

IMAGE = "image"
"""Name of the encoder graph's input."""
KEYS, VALUES = "keys", "values"
HIDDEN, CELL = "hidden", "cell"


class CaptionNetwork:
    """States and constants of a captioner.

    ``hidden`` and ``cell`` are [batch, H]; ``keys`` [batch, L, A] and ``values`` [batch, L, D] are
    there with attention alone. What a word looks at depends on the words before, so many are read
    one by one, by the same step.
    """

    def __init__(self, weights: CaptionWeights, arithmetic: Arithmetic) -> None:
        self._weights, self._arithmetic = weights, arithmetic
        self._lstm = RecurrentStep("lstm", "lstm", weights.lstm, arithmetic)
        self.states = tuple(StateSpec(name, (self._lstm.width,)) for name in (HIDDEN, CELL))
        attention = weights.attention
        self.places = attention.places if attention else 0
        self.constants: tuple[ConstantSpec, ...] = ()
        if attention:
            self.constants = (
                ConstantSpec(KEYS, (attention.places, len(attention.energy))),
                ConstantSpec(VALUES, (attention.places, attention.values)),
            )

    def begin(self, graph: GraphBuilder, states: Mapping[str, str]) -> list[Carried]:
        """See ``Network``."""
        hidden = states[HIDDEN]
        return self._carried(
            LayerState(self._arithmetic.operand(graph, hidden), hidden, states[CELL])
        )

    def step(self, graph: GraphBuilder, token: str, carried: Sequence[str]) -> Step:
        """See ``Network``."""
        weights, arithmetic, before = self._weights, self._arithmetic, _grouped(carried)
        words = graph.weight("words", arithmetic.operand_table(weights.words))
        read, shares = graph.op("Gather", words, token), ""
        if weights.attention:
            context, shares = self._attend(graph, weights.attention, before.operand)
            read = graph.op("Concat", read, arithmetic.operand(graph, context), axis=1)
        after = self._lstm.from_below(graph, read, before)
        output = arithmetic.product(
            graph,
            Matrix("output", weights.output.T),
            graph.op("Concat", read, after.operand, axis=1),
            graph.weight("output.bias", weights.output_bias),
        )
        operand = arithmetic.operand(graph, graph.op("Tanh", output))
        return Step(operand, [c.value for c in self._carried(after)], shares)

    def end(self, graph: GraphBuilder, carried: Sequence[str]) -> dict[str, str]:
        """See ``Network``."""
        state = _grouped(carried)
        return {HIDDEN: state.hidden, CELL: state.cell}

    def read(self, graph: GraphBuilder, reading: Reading, states: Mapping[str, str]) -> Read:
        """See ``Network``. A row goes on past its length with symbol 0, which is left unused."""
        before = self.begin(graph, states)
        body = graph.subgraph()
        inputs = [Value(body.fresh("in"), c.type, c.shape) for c in before]
        token = Value(body.fresh("token"), INT64, (BATCH,))
        step = self.step(body, token.name, [value.name for value in inputs])
        state = _grouped(step.carried)
        operand = Value(step.operand, self._arithmetic.operand_type, (BATCH, self._outputs))
        made = [operand, *(self._state_value(body, part) for part in (state.hidden, state.cell))]
        if self.places:
            made.append(Value(step.attention, FLOAT, (BATCH, self.places)))
        after = [Value(n, c.type, c.shape) for n, c in zip(step.carried, before, strict=True)]
        results = graph.ops(
            "Scan",
            len(after) + len(made),
            *[c.value for c in before],
            reading.tokens,
            num_scan_inputs=1,
            body=body.finish("word", [*inputs, token], [*after, *made]),
        )
        operands, hidden, cell, *attention = results[len(after) :]
        return Read(
            graph.op("Reshape", operands, graph.constant([-1, self._outputs])),
            {
                HIDDEN: row_ends(graph, states[HIDDEN], hidden, reading.length),
                CELL: row_ends(graph, states[CELL], cell, reading.length),
            },
            *attention,
        )

    def _attend(
        self, graph: GraphBuilder, weights: AttentionWeights, hidden: str
    ) -> tuple[str, str]:
        """The gated context z [batch, D] and the shares alpha [batch, L]."""
        units, axis = len(weights.energy), graph.constant([1])
        # One product for query and gate: W_q and w_g side by side.
        matrix = np.concatenate([weights.query, weights.gate[None]]).T
        bias = np.concatenate([np.zeros(units, np.float32), weights.gate_bias])
        both = self._arithmetic.product(
            graph, Matrix("query", matrix), hidden, graph.weight("query.bias", bias)
        )
        query, gate = graph.ops("Split", 2, both, graph.constant([units, 1]), axis=1)
        met = graph.op("Tanh", graph.op("Add", KEYS, graph.op("Unsqueeze", query, axis)))
        energy = graph.op("MatMul", met, graph.weight("energy", weights.energy[:, None]))
        shares = graph.op("Softmax", graph.op("Squeeze", energy, graph.constant([2])), axis=1)
        mixed = graph.op("MatMul", graph.op("Unsqueeze", shares, axis), VALUES)
        context = graph.op("Squeeze", mixed, axis)
        return graph.op("Mul", graph.op("Sigmoid", gate), context), shares

    def _carried(self, state: LayerState) -> list[Carried]:
        """The state as flat values; the operand apart only where it is another tensor."""
        shape = (BATCH, self._lstm.width)
        values = [Carried(state.hidden, FLOAT, shape), Carried(state.cell, FLOAT, shape)]
        if state.operand != state.hidden:
            values.append(Carried(state.operand, self._arithmetic.operand_type, shape))
        return values

    def _state_value(self, body: GraphBuilder, name: str) -> Value:
        """A copy of a part of the state, to be one of what the steps make."""
        return Value(body.op("Identity", name), FLOAT, (BATCH, self._lstm.width))

    @property
    def _outputs(self) -> int:
        """O."""
        return len(self._weights.output_bias)


def _grouped(carried: Sequence[str]) -> LayerState:
    """Inverse of ``CaptionNetwork._carried``."""
    hidden, cell, *operand = carried
    return LayerState(operand[0] if operand else hidden, hidden, cell)
