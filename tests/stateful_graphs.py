"""Tiny stateful ONNX graphs with their configurations."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.e2e.graphs import OPSET, write_model

TWO_SUMS_PBTXT = """
max_batch_size: 4
sequence_batching {
  max_sequence_idle_microseconds: 60000000
  oldest { max_candidate_sequences: 3 }
  state [
    { input_name: "a" output_name: "z" data_type: TYPE_INT64 dims: [ 1 ]
      initial_state { name: "a0" data_type: TYPE_INT64 dims: [ 1 ] data_file: "a0.raw" } },
    { input_name: "b" output_name: "y" data_type: TYPE_INT64 dims: [ 1 ] }
  ]
}
"""
A0 = 1000
"""What the state ``a`` begins with."""
GRU_PBTXT = """
max_batch_size: 8
input [ { name: "x" data_type: TYPE_FP32 dims: [ 3 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 4 ] } ]
sequence_batching {
  direct { }
  state [ { input_name: "h" output_name: "h_next" data_type: TYPE_FP32 dims: [ 4 ] } ]
}
"""
TOLD_PBTXT = """
max_batch_size: 4
sequence_batching {
  control_input [
    { name: "start" control [ { kind: CONTROL_SEQUENCE_START int32_false_true: [ -5, 5 ] } ] },
    { name: "ready" control [ { kind: CONTROL_SEQUENCE_READY fp32_false_true: [ 0, 0.5 ] } ] },
    { name: "end" control [ { kind: CONTROL_SEQUENCE_END bool_false_true: [ false, true ] } ] },
    { name: "id" control [ { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_%s } ] }
  ]
}
"""
TOTAL_PBTXT = """
max_batch_size: 0
sequence_batching {
  max_sequence_idle_microseconds: 300000
  oldest { max_candidate_sequences: 1 }
  state [ { input_name: "total" output_name: "total_next" data_type: TYPE_FP32 dims: [ 2 ] } ]
}
"""


def two_sums() -> onnx.ModelProto:
    """States a' = a + x and b' = 2 b + x; y = [a', b'], all INT64 [batch, 1].

    The outputs z (of a) and y (of b) sort the other way round than the inputs they belong to.
    """
    nodes = [
        helper.make_node("Add", ["a", "x"], ["z"]),
        helper.make_node("Add", ["b", "b"], ["twice"]),
        helper.make_node("Add", ["twice", "x"], ["y"]),
        helper.make_node("Concat", ["z", "y"], ["sums"], axis=1),
    ]
    integers = [_value(name, TensorProto.INT64, ["batch", 1]) for name in ("a", "b", "x")]
    outputs = [_value(name, TensorProto.INT64, ["batch", 1]) for name in ("y", "z")]
    return _model(nodes, integers, [*outputs, _value("sums", TensorProto.INT64, ["batch", 2])], {})


def sums(xs: Sequence[int]) -> list[list[int]]:
    """What ``two_sums`` answers to a sequence."""
    a, b, answers = A0, 0, []
    for x in xs:
        a, b = a + x, 2 * b + x
        answers.append([a, b])
    return answers


def gru(seed: int = 0) -> onnx.ModelProto:
    """A GRU of 4 units over inputs of 3; y is its hidden state."""
    random = np.random.default_rng(seed)
    weights: dict[str, np.ndarray] = {
        "w": random.normal(size=(1, 12, 3)).astype(np.float32),
        "r": random.normal(size=(1, 12, 4)).astype(np.float32),
        "axis": np.array([0], np.int64),
    }
    nodes = [
        helper.make_node("Unsqueeze", ["x", "axis"], ["x_time"]),
        helper.make_node("Unsqueeze", ["h", "axis"], ["h_direction"]),
        helper.make_node(
            "GRU", ["x_time", "w", "r", "", "", "h_direction"], ["", "h_last"], hidden_size=4
        ),
        helper.make_node("Squeeze", ["h_last", "axis"], ["h_next"]),
        helper.make_node("Identity", ["h_next"], ["y"]),
    ]
    inputs = [_value("h", TensorProto.FLOAT, ["batch", 4])]
    inputs.append(_value("x", TensorProto.FLOAT, ["batch", 3]))
    outputs = [_value(name, TensorProto.FLOAT, ["batch", 4]) for name in ("y", "h_next")]
    return _model(nodes, inputs, outputs, weights)


def told(id_type: int) -> onnx.ModelProto:
    """Gives back what it is told of each step."""
    kinds = {
        "start": TensorProto.INT32,
        "ready": TensorProto.FLOAT,
        "end": TensorProto.BOOL,
        "id": id_type,
        "x": TensorProto.FLOAT,
    }
    nodes = [helper.make_node("Identity", [name], [f"{name}_told"]) for name in kinds]
    return _model(
        nodes,
        [_value(name, kind, ["batch", 1]) for name, kind in kinds.items()],
        [_value(f"{name}_told", kind, ["batch", 1]) for name, kind in kinds.items()],
        {},
    )


def total() -> onnx.ModelProto:
    """Gives total' = total + x, FP32 [2]: nothing to batch."""
    nodes = [
        helper.make_node("Add", ["total", "x"], ["total_next"]),
        helper.make_node("Identity", ["total_next"], ["y"]),
    ]
    inputs = [_value(name, TensorProto.FLOAT, [2]) for name in ("x", "total")]
    return _model(
        nodes, inputs, [_value(n, TensorProto.FLOAT, [2]) for n in ("y", "total_next")], {}
    )


def write_stateful(folder: Path) -> Path:
    """A repository of all of them."""
    write_model(folder, "two_sums", two_sums(), config=TWO_SUMS_PBTXT)
    (folder / "two_sums" / "initial_state").mkdir()
    (folder / "two_sums" / "initial_state" / "a0.raw").write_bytes(np.array([A0], "<i8").tobytes())
    write_model(folder, "gru", gru(), config=GRU_PBTXT)
    write_model(folder, "told", told(TensorProto.UINT64), config=TOLD_PBTXT % "UINT64")
    write_model(folder, "told_text", told(TensorProto.STRING), config=TOLD_PBTXT % "STRING")
    write_model(folder, "total", total(), config=TOTAL_PBTXT)
    return folder


def _value(name: str, kind: int, shape: Sequence[str | int]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def _model(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    constants: Mapping[str, np.ndarray],
) -> onnx.ModelProto:
    weights = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    onnx.checker.check_model(model)
    return model
