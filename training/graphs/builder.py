"""Writes ONNX nodes: fresh names, small constants, subgraphs that see the graph around them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import GraphProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

Dimension = int | str
"""Of a shape: a length, or the name of an axis whose length is known at run time."""

FLOAT = TensorProto.FLOAT
INT64 = TensorProto.INT64
BOOL = TensorProto.BOOL
INT32 = TensorProto.INT32
UINT8 = TensorProto.UINT8


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor that enters or leaves a graph."""

    name: str
    type: int
    """``TensorProto.DataType``."""
    shape: tuple[Dimension, ...]

    def info(self) -> ValueInfoProto:
        """As ONNX declares it."""
        return helper.make_tensor_value_info(self.name, self.type, self.shape)


@dataclass
class _Shared:
    """What a graph and its subgraphs have in common."""

    initializers: dict[str, TensorProto] = field(default_factory=dict)
    constants: dict[tuple[str, tuple[int, ...], bytes], str] = field(default_factory=dict)
    names: int = 0


class GraphBuilder:
    """One graph or subgraph under construction.

    Names are unique across the graph and all its subgraphs, and all initializers lie in the
    outermost graph, where ONNX Runtime finds them for subgraphs too and packs weights once.
    """

    def __init__(self, outer: "GraphBuilder | None" = None) -> None:
        self._outer = outer
        self._shared: _Shared = outer._shared if outer else _Shared()
        self._nodes: list[NodeProto] = []

    def fresh(self, hint: str) -> str:
        """A name that nothing else has."""
        self._shared.names += 1
        return f"{hint}_{self._shared.names}"

    def op(self, op_type: str, *inputs: str, **attributes: Any) -> str:
        """Add a node of one output; its name."""
        return self.ops(op_type, 1, *inputs, **attributes)[0]

    def ops(self, op_type: str, outputs: int, *inputs: str, **attributes: Any) -> list[str]:
        """Add a node of several outputs; their names."""
        name = self.fresh(op_type.lower())
        results = [name] if outputs == 1 else [f"{name}.{index}" for index in range(outputs)]
        self._nodes.append(helper.make_node(op_type, inputs, results, name=name, **attributes))
        return results

    def rename(self, value: str, name: str) -> str:
        """Give ``value`` a second name, for an output."""
        self._nodes.append(helper.make_node("Identity", [value], [name], name=f"name.{name}"))
        return name

    def weight(self, name: str, array: npt.NDArray[Any]) -> str:
        """A named initializer; asking again for a name gives the one that is there."""
        if name not in self._shared.initializers:
            tensor = numpy_helper.from_array(np.asarray(array, order="C"), name)
            self._shared.initializers[name] = tensor
        return name

    def constant(self, values: Any, dtype: npt.DTypeLike = np.int64) -> str:
        """A small initializer; equal ones are stored once."""
        array = np.asarray(values, dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._shared.constants:
            name = self.fresh("constant")
            self._shared.constants[key] = self.weight(name, array)
        return self._shared.constants[key]

    def floats(self, values: Any) -> str:
        """A small float32 initializer."""
        return self.constant(values, np.float32)

    def subgraph(self) -> "GraphBuilder":
        """A graph for an attribute of one of this graph's nodes."""
        return GraphBuilder(self)

    def outermost(self) -> "GraphBuilder":
        """The graph that all others lie in; itself if it is that."""
        return self._outer.outermost() if self._outer else self

    def finish(self, name: str, inputs: Sequence[Value], outputs: Sequence[Value]) -> GraphProto:
        """The graph. Only the outermost one holds the initializers."""
        return helper.make_graph(
            self._nodes, name, [v.info() for v in inputs], [v.info() for v in outputs]
        )

    def initializers(self) -> list[TensorProto]:
        """Of this graph and all subgraphs."""
        return list(self._shared.initializers.values())
