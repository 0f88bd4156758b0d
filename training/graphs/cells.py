"""One step of one recurrent layer.

x is what comes from below, h and c are the states [rows, width], b the biases:

rnn   h' = tanh(W x + U h + b)                                       (Elman 1990)
gru   r, z = sigmoid(W x + U h + b)                                  (Cho et al. 2014, in PyTorch's
      n = tanh(W_n x + b_n + r (U_n h + b_m)),  h' = n + z (h - n)   form: r after the product)
lstm  i, f, o = sigmoid(W x + U h + b),  g = tanh(W_g x + U_g h + b_g)   (Gers et al. 2000)
      c' = f c + i g,  h' = o tanh(c')

Gates that go through the same function lie side by side, so that it is applied once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.graphs.builder import FLOAT, GraphBuilder
from training.graphs.network import BATCH, Carried
from training.graphs.products import Arithmetic, JointMatrix, Matrix
from training.graphs.weights import Cell, Floats, RecurrentLayer

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

    What comes from below is a symbol (the lowest layer), an operand, or an operand of which the
    products were made beforehand; the last two give the same bits.

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
        below = _reorder(cell, layer.input).T
        state = _reorder(cell, layer.recurrent).T
        below_bias = _reorder(cell, layer.input_bias)
        state_bias = _reorder(cell, layer.recurrent_bias)
        # The gru's n keeps its two products apart, for r scales the second one.
        joint = 2 * self.width if cell == "gru" else below.shape[1]
        self._joint = JointMatrix(
            f"{name}.joint", below[:, :joint], state[:, :joint], (below_bias + state_bias)[:joint]
        )
        self._below_new = Matrix(f"{name}.below_new", below[:, joint:])
        self._state_new = Matrix(f"{name}.state_new", state[:, joint:])
        self._below_new_bias, self._state_new_bias = below_bias[joint:], state_bias[joint:]

    def from_symbol(
        self, graph: GraphBuilder, token: str, embedding: Floats, state: LayerState
    ) -> LayerState:
        """The state after ``token``, int64 [rows]; what its embedding gives is a ready table."""
        weights = np.concatenate([self._joint.below, self._below_new.values], axis=1)
        bias = np.concatenate([self._joint.bias, self._below_new_bias])
        table = (embedding.astype(np.float64) @ weights + bias).astype(np.float32)
        x = graph.op("Gather", graph.weight(f"{self._name}.table", table), token)
        new = ""
        if self._cell == "gru":
            sizes = graph.constant([2 * self.width, self.width])
            x, new = graph.ops("Split", 2, x, sizes, axis=1)
        matrix = Matrix(f"{self._name}.state", self._joint.state)
        return self._after(
            graph, self._arithmetic.product(graph, matrix, state.operand, x), new, state
        )

    def from_below(self, graph: GraphBuilder, below: str, state: LayerState) -> LayerState:
        """The state after the operand ``below``, [rows, inputs]."""
        sums = self._arithmetic.joint(graph, self._joint, below, state.operand)
        new = self._new_from_below(graph, below) if self._cell == "gru" else ""
        return self._after(graph, sums, new, state)

    def project(self, graph: GraphBuilder, below: str) -> list[Carried]:
        """All that ``from_projection`` wants of the operand ``below``, for any number of rows."""
        term = self._arithmetic.term(graph, self._joint, below)
        width = self._joint.bias.size
        parts = [Carried(term, self._arithmetic.term_type, (BATCH, width))]
        if self._cell == "gru":
            new = self._new_from_below(graph, below)
            parts.append(Carried(new, FLOAT, (BATCH, self.width)))
        return parts

    def from_projection(
        self, graph: GraphBuilder, projection: Sequence[str], state: LayerState
    ) -> LayerState:
        """The state after an operand that ``project`` was given."""
        term, *new = projection
        sums = self._arithmetic.total(graph, self._joint, term, state.operand)
        return self._after(graph, sums, new[0] if new else "", state)

    def _new_from_below(self, graph: GraphBuilder, below: str) -> str:
        bias = graph.weight(f"{self._below_new.name}.bias", self._below_new_bias)
        return self._arithmetic.product(graph, self._below_new, below, bias)

    def _after(self, graph: GraphBuilder, sums: str, new: str, state: LayerState) -> LayerState:
        """The state from the sums of the gates; ``new`` is the gru's W_n x + b_n."""
        cell = ""
        if self._cell == "rnn":
            hidden = graph.op("Tanh", sums)
        elif self._cell == "gru":
            hidden = self._gru(graph, sums, new, state)
        else:
            hidden, cell = self._lstm(graph, sums, state)
        return LayerState(self._arithmetic.operand(graph, hidden), hidden, cell)

    def _lstm(self, graph: GraphBuilder, sums: str, state: LayerState) -> tuple[str, str]:
        sizes = graph.constant([3 * self.width, self.width])
        gates, new = graph.ops("Split", 2, sums, sizes, axis=1)
        read, keep, show = graph.ops("Split", 3, graph.op("Sigmoid", gates), axis=1, num_outputs=3)
        kept = graph.op("Mul", keep, state.cell)
        cell = graph.op("Add", kept, graph.op("Mul", read, graph.op("Tanh", new)))
        return graph.op("Mul", show, graph.op("Tanh", cell)), cell

    def _gru(self, graph: GraphBuilder, sums: str, new: str, state: LayerState) -> str:
        bias = graph.weight(f"{self._state_new.name}.bias", self._state_new_bias)
        inner = self._arithmetic.product(graph, self._state_new, state.operand, bias)
        gates = graph.op("Sigmoid", sums)
        reset, keep = graph.ops("Split", 2, gates, axis=1, num_outputs=2)
        new = graph.op("Tanh", graph.op("Add", new, graph.op("Mul", reset, inner)))
        return graph.op("Add", new, graph.op("Mul", keep, graph.op("Sub", state.hidden, new)))


def _reorder(cell: Cell, array: Floats) -> Floats:
    """Gates in this module's order."""
    if cell != "lstm":
        return array
    blocks = np.split(array, 4)
    return np.concatenate([blocks[index] for index in _LSTM_ORDER])
