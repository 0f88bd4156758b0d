"""Products with weights, in float32 or in 8-bit integers.

The int8 form ("static" quantisation; Jacob et al. 2018, real = scale * (integer - zero point)) has
one activation scale for ever, 1/127: what it multiplies lies in (-1, 1). So a row's result depends
on that row alone; a scale taken from the batch at hand would make it depend on its neighbours.
Integer sums are exact, hence equal for every batch and every processor.

It is written with the standard's QuantizeLinear and DequantizeLinear around a float MatMul, which
every runtime can read. ONNX Runtime fuses the three into one integer product
(``MatMulIntegerToFloat``). Weights have 7 bits for the reason that ``training.export.quantize``
gives: pairs of 8-bit products saturate on x86 processors without VNNI.
"""

from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from training.text.graphs.builder import FLOAT, UINT8, GraphBuilder
from training.text.graphs.weights import Floats

Precision = Literal["float32", "int8"]
STATE_SCALE = 1.0 / 127.0
STATE_ZERO = 128
WEIGHT_LIMIT = 63
"""Largest magnitude of an integer weight: 7 bits."""


class Arithmetic(Protocol):
    """How ``x @ W + addend`` is computed for x in (-1, 1)."""

    operand_type: int
    """``TensorProto.DataType`` of an operand."""

    def operand(self, graph: GraphBuilder, x: str) -> str:
        """``x``, float32 [rows, inputs], in the form that ``product`` takes."""
        ...

    def product(self, graph: GraphBuilder, name: str, matrix: Floats, x: str, addend: str) -> str:
        """float32 [rows, outputs].

        Args:
            graph: takes the nodes.
            name: of the weight in the file.
            matrix: [inputs, outputs].
            x: an operand, [rows, inputs].
            addend: float32 [outputs] or [rows, outputs].
        """
        ...


class Float32:
    """IEEE single precision."""

    operand_type: int = FLOAT

    def operand(self, graph: GraphBuilder, x: str) -> str:
        """``x`` itself."""
        return x

    def product(self, graph: GraphBuilder, name: str, matrix: Floats, x: str, addend: str) -> str:
        """One Gemm."""
        return graph.op("Gemm", x, graph.weight(name, matrix), addend)


class Int8:
    """8-bit activations, 7-bit weights with a scale a column, 32-bit sums."""

    operand_type: int = UINT8

    def operand(self, graph: GraphBuilder, x: str) -> str:
        """uint8: round(127 x) + 128."""
        return graph.op("QuantizeLinear", x, *_state_scale(graph))

    def product(self, graph: GraphBuilder, name: str, matrix: Floats, x: str, addend: str) -> str:
        """An integer product and an addition."""
        integers, scales = quantize_columns(matrix)
        weight = graph.op(
            "DequantizeLinear",
            graph.weight(name, integers),
            graph.weight(f"{name}.scale", scales),
            graph.weight(f"{name}.zero", np.zeros(len(scales), np.int8)),
            axis=1,
        )
        activation = graph.op("DequantizeLinear", x, *_state_scale(graph))
        return graph.op("Add", graph.op("MatMul", activation, weight), addend)


def make_arithmetic(precision: Precision) -> Arithmetic:
    """The arithmetic of that name."""
    return Int8() if precision == "int8" else Float32()


def quantize_columns(matrix: Floats) -> tuple[npt.NDArray[np.int8], Floats]:
    """Integers in -63..63 and one scale a column, so that integers * scales is near ``matrix``."""
    largest = np.abs(matrix).max(axis=0)
    scales = np.where(largest > 0, largest / WEIGHT_LIMIT, 1.0).astype(np.float32)
    return np.rint(matrix / scales).astype(np.int8), scales


def _state_scale(graph: GraphBuilder) -> tuple[str, str]:
    return graph.floats(STATE_SCALE), graph.constant(STATE_ZERO, np.uint8)
