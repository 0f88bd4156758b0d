"""A stack of recurrent layers of one cell on an embedding."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

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
from training.graphs.products import Arithmetic
from training.text.graphs.weights import RecurrentWeights

HIDDEN, CELL = "hidden", "cell"


class RecurrentNetwork:
    """States ``hidden`` and, for the lstm, ``cell``: [batch, layers, width].

    Reading many symbols goes layer by layer: the products with what comes from below are made for
    all of them at once, and one layer's recurrent weights stay in the processor's cache.
    """

    constants: tuple[ConstantSpec, ...] = ()
    places = 0

    def __init__(self, weights: RecurrentWeights, arithmetic: Arithmetic) -> None:
        self._embedding = weights.embedding
        self._arithmetic = arithmetic
        self._layers = [
            RecurrentStep(weights.cell, f"layer_{index}", layer, arithmetic)
            for index, layer in enumerate(weights.layers)
        ]
        self._width = self._layers[0].width
        self._has_cell = weights.cell == "lstm"
        shape = (len(self._layers), self._width)
        names = (HIDDEN, CELL) if self._has_cell else (HIDDEN,)
        self.states = tuple(StateSpec(name, shape) for name in names)

    def begin(self, graph: GraphBuilder, states: Mapping[str, str]) -> list[Carried]:
        """See ``Network``."""
        return [
            carried for state in self._unstack(graph, states) for carried in self._carried(state)
        ]

    def step(self, graph: GraphBuilder, token: str, carried: Sequence[str]) -> Step:
        """See ``Network``."""
        operand, after = "", []
        for layer, before in zip(self._layers, self._grouped(carried), strict=True):
            state = (
                layer.from_below(graph, operand, before)
                if operand
                else layer.from_symbol(graph, token, self._embedding, before)
            )
            operand = state.operand
            after += [c.value for c in self._carried(state)]
        return Step(operand, after)

    def end(self, graph: GraphBuilder, carried: Sequence[str]) -> dict[str, str]:
        """See ``Network``."""
        return self._stack(graph, self._grouped(carried))

    def read(self, graph: GraphBuilder, reading: Reading, states: Mapping[str, str]) -> Read:
        """See ``Network``."""
        operands, after = "", []
        flat = graph.constant([-1, self._width])
        for index, before in enumerate(self._unstack(graph, states)):
            operands, state = self._read_layer(graph, index, operands, before, reading)
            operands = graph.op("Reshape", operands, flat)
            after.append(state)
        return Read(operands, self._stack(graph, after))

    def _read_layer(
        self, graph: GraphBuilder, index: int, below: str, before: LayerState, reading: Reading
    ) -> tuple[str, LayerState]:
        """Operands [time, batch, width] of layer ``index``, and its state after the last symbol.

        A row goes on past its length with symbol 0; what it would have then is left unused, which
        costs less than holding its state still in each step.
        """
        layer = self._layers[index]
        taken = (
            [
                replace(part, value=self._over_time(graph, part.value, reading))
                for part in layer.project(graph, below)
            ]
            if below
            else [Carried(reading.tokens, INT64, (BATCH,))]
        )
        carried = self._carried(before)
        body = graph.subgraph()
        inputs = [Value(body.fresh("in"), c.type, c.shape) for c in (*carried, *taken)]
        names = [value.name for value in inputs]
        state = self._grouped(names[: len(carried)])[0]
        source = names[len(carried) :]
        after = self._carried(
            layer.from_projection(body, source, state)
            if below
            else layer.from_symbol(body, source[0], self._embedding, state)
        )
        copies = [replace(c, value=body.op("Identity", c.value)) for c in after]
        results = graph.ops(
            "Scan",
            2 * len(carried),
            *[c.value for c in (*carried, *taken)],
            num_scan_inputs=len(taken),
            body=body.finish(
                f"layer_{index}",
                inputs,
                [Value(c.value, c.type, c.shape) for c in (*after, *copies)],
            ),
        )
        sequences = self._grouped(results[len(carried) :])[0]
        return sequences.operand, self._settle(graph, before, sequences, reading.length)

    def _over_time(self, graph: GraphBuilder, rows: str, reading: Reading) -> str:
        """[time * batch, n] -> [time, batch, n]."""
        last = graph.constant([-1])
        shape = graph.op("Concat", graph.op("Shape", reading.tokens), last, axis=0)
        return graph.op("Reshape", rows, shape)

    def _settle(
        self, graph: GraphBuilder, before: LayerState, after: LayerState, length: str
    ) -> LayerState:
        """The state where each row ends: ``before``, or one of those in the sequences ``after``."""
        hidden = row_ends(graph, before.hidden, after.hidden, length)
        cell = row_ends(graph, before.cell, after.cell, length) if self._has_cell else ""
        return LayerState("", hidden, cell)

    def _carried(self, state: LayerState) -> list[Carried]:
        """A layer's state as flat values; the operand apart only where it is another tensor."""
        shape = (BATCH, self._width)
        values = [Carried(state.hidden, FLOAT, shape)]
        if self._apart:
            values.append(Carried(state.operand, self._arithmetic.operand_type, shape))
        if self._has_cell:
            values.append(Carried(state.cell, FLOAT, shape))
        return values

    def _grouped(self, names: Sequence[str]) -> list[LayerState]:
        """Inverse of ``_carried``, for any number of layers."""
        count = 1 + self._apart + self._has_cell
        states = []
        for start in range(0, len(names), count):
            group = list(names[start : start + count])
            operand = group.pop(1) if self._apart else group[0]
            states.append(LayerState(operand, *group))
        return states

    @property
    def _apart(self) -> bool:
        return self._arithmetic.operand_type != FLOAT

    def _unstack(self, graph: GraphBuilder, states: Mapping[str, str]) -> list[LayerState]:
        parts = [self._split(graph, states[spec.name]) for spec in self.states]
        return [
            LayerState(self._arithmetic.operand(graph, layer[0]), *layer)
            for layer in zip(*parts, strict=True)
        ]

    def _split(self, graph: GraphBuilder, state: str) -> list[str]:
        """[batch, layers, width] -> [batch, width] a layer."""
        return [
            graph.op("Gather", state, graph.constant(index), axis=1)
            for index in range(len(self._layers))
        ]

    def _stack(self, graph: GraphBuilder, layers: Sequence[LayerState]) -> dict[str, str]:
        axis = graph.constant([1])

        def join(parts: Sequence[str]) -> str:
            return graph.op(
                "Concat", *(graph.op("Unsqueeze", part, axis) for part in parts), axis=1
            )

        stacked = {HIDDEN: join([layer.hidden for layer in layers])}
        if self._has_cell:
            stacked[CELL] = join([layer.cell for layer in layers])
        return stacked
