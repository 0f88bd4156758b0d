"""Products with weights, in float32 or in 8-bit integers.

The int8 form ("static" quantisation; Jacob et al. 2018, real = scale * (integer - zero point)) has
one activation scale for ever, 1/127: what it multiplies lies in (-1, 1). So a row's result depends
on that row alone; a scale taken from the batch at hand would make it depend on its neighbours.
Integer sums are exact, hence equal for every batch, every order and every processor.

It is written with the standard's operators: MatMulInteger, Cast, Mul, Add. ONNX Runtime's own
MatMulIntegerToFloat, which does the four in one, was 3 to 7 % slower for one row and 5 to 9 %
faster for 32 (LSTM of 2x256 and 2x512 units, one thread), and no other runtime knows it. Weights
have 7 bits for the reason that ``training.export.quantize`` gives: pairs of 8-bit products
saturate on x86 processors without VNNI. On the validation splits
of two LSTMs of 2x512 units, caught in mid-training, 7 bits cost 0.0004 and 0.0005 nats over
float32, 8 bits less than 0.0001; the head in float32 would have won back half of that or more.
"""

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from training.graphs.builder import FLOAT, INT32, UINT8, GraphBuilder
from training.graphs.weights import Floats

Precision = Literal["float32", "int8"]
STATE_SCALE = 1.0 / 127.0
STATE_ZERO = 128
WEIGHT_LIMIT = 63
"""Largest magnitude of an integer weight: 7 bits."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """Weights under their name in the file."""

    name: str
    values: Floats
    """[inputs, outputs]."""


@dataclass(frozen=True, slots=True)
class JointMatrix:
    """Weights of a sum of two products: ``below @ W + state @ U + bias``."""

    name: str
    below: Floats
    """W, [inputs, outputs]."""
    state: Floats
    """U, [width, outputs]."""
    bias: Floats
    """[outputs]."""


class Arithmetic(Protocol):
    """How products with weights are computed for factors in (-1, 1).

    ``joint(below, state)`` and ``total(term(below), state)`` have the same bits: the second form
    lets many terms be made at once.
    """

    operand_type: int
    """``TensorProto.DataType`` of what ``operand`` gives."""
    term_type: int
    """The same of ``term``."""

    def operand(self, graph: GraphBuilder, x: str) -> str:
        """``x``, float32 [rows, inputs], in the form that products take."""
        ...

    def operand_table(self, x: Floats) -> npt.NDArray[Any]:
        """``operand`` of values that are known beforehand, any shape."""
        ...

    def product(self, graph: GraphBuilder, matrix: Matrix, x: str, addend: str) -> str:
        """``x @ W + addend``, float32 [rows, outputs].

        Args:
            graph: takes the nodes.
            matrix: W.
            x: an operand, [rows, inputs].
            addend: float32 [outputs] or [rows, outputs].
        """
        ...

    def joint(self, graph: GraphBuilder, matrix: JointMatrix, below: str, state: str) -> str:
        """The whole sum of two operands, float32 [rows, outputs]."""
        ...

    def term(self, graph: GraphBuilder, matrix: JointMatrix, below: str) -> str:
        """The part that does not need the state, [rows, outputs]."""
        ...

    def total(self, graph: GraphBuilder, matrix: JointMatrix, term: str, state: str) -> str:
        """The sum of a part made before and of the state's product, float32 [rows, outputs]."""
        ...


class Float32:
    """IEEE single precision."""

    operand_type: int = FLOAT
    term_type: int = FLOAT

    def operand(self, graph: GraphBuilder, x: str) -> str:
        """See ``Arithmetic``: ``x`` itself."""
        return x

    def operand_table(self, x: Floats) -> npt.NDArray[Any]:
        """See ``Arithmetic``: ``x`` itself."""
        return x

    def product(self, graph: GraphBuilder, matrix: Matrix, x: str, addend: str) -> str:
        """See ``Arithmetic``."""
        return graph.op("Gemm", x, graph.weight(matrix.name, matrix.values), addend)

    def joint(self, graph: GraphBuilder, matrix: JointMatrix, below: str, state: str) -> str:
        """See ``Arithmetic``. One product of both would sum in another order than two."""
        return self.total(graph, matrix, self.term(graph, matrix, below), state)

    def term(self, graph: GraphBuilder, matrix: JointMatrix, below: str) -> str:
        """See ``Arithmetic``."""
        bias = graph.weight(f"{matrix.name}.bias", matrix.bias)
        return graph.op("Gemm", below, graph.weight(f"{matrix.name}.below", matrix.below), bias)

    def total(self, graph: GraphBuilder, matrix: JointMatrix, term: str, state: str) -> str:
        """See ``Arithmetic``."""
        return graph.op("Gemm", state, graph.weight(f"{matrix.name}.state", matrix.state), term)


class Int8:
    """8-bit activations, 7-bit weights with a scale a column, 32-bit sums."""

    operand_type: int = UINT8
    term_type: int = INT32

    def operand(self, graph: GraphBuilder, x: str) -> str:
        """See ``Arithmetic``: round(127 x) + 128."""
        zero = graph.constant(STATE_ZERO, np.uint8)
        return graph.op("QuantizeLinear", x, graph.floats(STATE_SCALE), zero)

    def operand_table(self, x: Floats) -> npt.NDArray[Any]:
        """See ``Arithmetic``."""
        return np.asarray(np.rint(x / np.float32(STATE_SCALE)) + STATE_ZERO, np.uint8)

    def product(self, graph: GraphBuilder, matrix: Matrix, x: str, addend: str) -> str:
        """See ``Arithmetic``."""
        integers, scales = quantize_columns(matrix.values)
        sums = _integer_product(graph, x, graph.weight(matrix.name, integers))
        return _to_float(graph, matrix.name, sums, scales, addend)

    def joint(self, graph: GraphBuilder, matrix: JointMatrix, below: str, state: str) -> str:
        """See ``Arithmetic``. Both operands side by side make one product."""
        integers, scales = _quantize_joint(matrix)
        both = graph.op("Concat", below, state, axis=1)
        sums = _integer_product(graph, both, graph.weight(matrix.name, integers))
        return self._joint_to_float(graph, matrix, sums, scales)

    def term(self, graph: GraphBuilder, matrix: JointMatrix, below: str) -> str:
        """See ``Arithmetic``."""
        return _integer_product(graph, below, self._rows(graph, matrix, upper=True))

    def total(self, graph: GraphBuilder, matrix: JointMatrix, term: str, state: str) -> str:
        """See ``Arithmetic``."""
        sums = _integer_product(graph, state, self._rows(graph, matrix, upper=False))
        scales = _quantize_joint(matrix)[1]
        return self._joint_to_float(graph, matrix, graph.op("Add", term, sums), scales)

    def _rows(self, graph: GraphBuilder, matrix: JointMatrix, *, upper: bool) -> str:
        """One factor's share of the joint weights. The file holds only the whole.

        The engine cuts it once, when it loads the graph.
        """
        outer = graph.outermost()
        middle, last = len(matrix.below), len(matrix.below) + len(matrix.state)
        start, end = (0, middle) if upper else (middle, last)
        whole = outer.weight(matrix.name, _quantize_joint(matrix)[0])
        return outer.op(
            "Slice", whole, outer.constant([start]), outer.constant([end]), outer.constant([0])
        )

    def _joint_to_float(
        self, graph: GraphBuilder, matrix: JointMatrix, sums: str, scales: Floats
    ) -> str:
        bias = graph.weight(f"{matrix.name}.bias", matrix.bias)
        return _to_float(graph, matrix.name, sums, scales, bias)


def make_arithmetic(precision: Precision) -> Arithmetic:
    """The arithmetic of that name."""
    return Int8() if precision == "int8" else Float32()


def quantize_columns(matrix: Floats) -> tuple[npt.NDArray[np.int8], Floats]:
    """Integers in -63..63 and one scale a column, so that integers * scales is near ``matrix``."""
    largest = np.abs(matrix).max(axis=0)
    scales = np.where(largest > 0, largest / WEIGHT_LIMIT, 1.0).astype(np.float32)
    return np.rint(matrix / scales).astype(np.int8), scales


def _quantize_joint(matrix: JointMatrix) -> tuple[npt.NDArray[np.int8], Floats]:
    return quantize_columns(np.concatenate([matrix.below, matrix.state]))


def _integer_product(graph: GraphBuilder, x: str, weight: str) -> str:
    """int32 sums."""
    return graph.op("MatMulInteger", x, weight, graph.constant(STATE_ZERO, np.uint8))


def _to_float(graph: GraphBuilder, name: str, sums: str, scales: Floats, addend: str) -> str:
    scale = graph.weight(f"{name}.scale", (scales * np.float32(STATE_SCALE)).astype(np.float32))
    return graph.op("Add", graph.op("Mul", graph.op("Cast", sums, to=FLOAT), scale), addend)
