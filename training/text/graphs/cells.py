"""One step of one recurrent layer.

x is the input times its weights, biases included as said; h and c are the states [rows, width]:

rnn   h' = tanh(x + U h)                                             (Elman 1990)
gru   r, z = sigmoid(x_r + U_r h), sigmoid(x_z + U_z h)              (Cho et al. 2014, in PyTorch's
      n = tanh(x_n + r (U_n h + b)),  h' = n + z (h - n)              form: r after the product)
lstm  i, f, o = sigmoid(x + U h),  g = tanh(x_g + U_g h)             (Gers et al. 2000)
      c' = f c + i g,  h' = o tanh(c')

Gates that go through the same function lie side by side, so that it is applied once.
"""

from dataclasses import dataclass

import numpy as np

from training.text.graphs.builder import GraphBuilder
from training.text.graphs.products import Arithmetic
from training.text.graphs.weights import GATES, Cell, Floats, RecurrentLayer

_LSTM_ORDER = (0, 1, 3, 2)
"""i, f, g, o -> i, f, o, g."""


@dataclass(frozen=True, slots=True)
class LayerState:
    """A layer's state as it goes from step to step; names of values [rows, width]."""

    operand: str
    """``hidden`` in the form that products take."""
    hidden: str
    cell: str = ""
    """lstm only."""


class RecurrentStep:
    """One layer of ``cell``.

    Args:
        cell: kind.
        name: prefix of the weights' names.
        layer: weights.
        arithmetic: of the products.
    """

    def __init__(
        self, cell: Cell, name: str, layer: RecurrentLayer, arithmetic: Arithmetic
    ) -> None:
        self.width = layer.width
        self._cell, self._name, self._arithmetic = cell, name, arithmetic
        self._input = _reorder(cell, layer.input).T
        self._recurrent = _reorder(cell, layer.recurrent).T
        input_bias = _reorder(cell, layer.input_bias)
        recurrent_bias = _reorder(cell, layer.recurrent_bias)
        # All of the recurrent bias can go with the input but that of the gru's n, which r scales.
        inner = slice(2 * self.width, None) if cell == "gru" else slice(0, 0)
        self._inner_bias = recurrent_bias[inner]
        outer = recurrent_bias.copy()
        outer[inner] = 0.0
        self._bias = input_bias + outer

    @property
    def gates(self) -> int:
        """Length of ``x``."""
        return GATES[self._cell] * self.width

    def project(self, graph: GraphBuilder, operand: str) -> str:
        """The x of the output of the layer below, an operand [rows, inputs]."""
        bias = graph.weight(f"{self._name}.bias", self._bias)
        return self._arithmetic.product(graph, f"{self._name}.input", self._input, operand, bias)

    def look_up(self, graph: GraphBuilder, token: str, embedding: Floats) -> str:
        """The x of the embedded symbols ``token``, int64 [rows]: rows of a ready table."""
        table = (embedding.astype(np.float64) @ self._input + self._bias).astype(np.float32)
        return graph.op("Gather", graph.weight(f"{self._name}.table", table), token)

    def step(self, graph: GraphBuilder, x: str, state: LayerState) -> LayerState:
        """The state after one symbol."""
        if self._cell == "gru":
            return self._gru(graph, x, state)
        product = self._arithmetic.product(
            graph, f"{self._name}.recurrent", self._recurrent, state.operand, x
        )
        if self._cell == "rnn":
            return self._after(graph, graph.op("Tanh", product))
        return self._lstm(graph, product, state)

    def _lstm(self, graph: GraphBuilder, product: str, state: LayerState) -> LayerState:
        width = self.width
        gates, new = graph.ops("Split", 2, product, graph.constant([3 * width, width]), axis=1)
        read, keep, show = graph.ops("Split", 3, graph.op("Sigmoid", gates), axis=1, num_outputs=3)
        cell = graph.op(
            "Add",
            graph.op("Mul", keep, state.cell),
            graph.op("Mul", read, graph.op("Tanh", new)),
        )
        return self._after(graph, graph.op("Mul", show, graph.op("Tanh", cell)), cell)

    def _gru(self, graph: GraphBuilder, x: str, state: LayerState) -> LayerState:
        width, name = self.width, self._name
        sizes = graph.constant([2 * width, width])
        x_gates, x_new = graph.ops("Split", 2, x, sizes, axis=1)
        gates = self._arithmetic.product(
            graph, f"{name}.gates", self._recurrent[:, : 2 * width], state.operand, x_gates
        )
        inner = self._arithmetic.product(
            graph,
            f"{name}.new",
            self._recurrent[:, 2 * width :],
            state.operand,
            graph.weight(f"{name}.new.bias", self._inner_bias),
        )
        reset, keep = graph.ops("Split", 2, graph.op("Sigmoid", gates), axis=1, num_outputs=2)
        new = graph.op("Tanh", graph.op("Add", x_new, graph.op("Mul", reset, inner)))
        kept = graph.op("Mul", keep, graph.op("Sub", state.hidden, new))
        return self._after(graph, graph.op("Add", new, kept))

    def _after(self, graph: GraphBuilder, hidden: str, cell: str = "") -> LayerState:
        return LayerState(self._arithmetic.operand(graph, hidden), hidden, cell)


def _reorder(cell: Cell, array: Floats) -> Floats:
    """Gates in this module's order."""
    if cell != "lstm":
        return array
    blocks = np.split(array, 4)
    return np.concatenate([blocks[index] for index in _LSTM_ORDER])
