"""Tiny ONNX graphs, and the repository of them that the end-to-end tests serve."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from quartet.artifact import METADATA_KEY, ClassificationTask, Golden, ImageSpec, dump_task
from quartet.artifact import save_golden as write_golden

OPSET = 17
DATATYPES = {
    "BOOL": TensorProto.BOOL,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "BF16": TensorProto.BFLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
}
"""Wire name -> ONNX element type, all fourteen."""

CONFIGURED_PBTXT = """
name: "configured"
platform: "onnxruntime_onnx"
max_batch_size: 4
input [ { name: "x" data_type: TYPE_FP32 dims: [ 2 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 2 ] } ]
version_policy { all { } }
dynamic_batching { max_queue_delay_microseconds: 1000 }
"""
SLOW_PBTXT = """
max_batch_size: 1
dynamic_batching { }
instance_group [ { count: 1 kind: KIND_CPU } ]
"""
BATCHING_PBTXT = """
max_batch_size: 8
dynamic_batching { max_queue_delay_microseconds: 20000 }
"""


def identity(datatype: str) -> onnx.ModelProto:
    """Gives y = x, [batch, n]."""
    element = DATATYPES[datatype]
    node = helper.make_node("Identity", ["x"], ["y"])
    return _model(
        [node],
        [helper.make_tensor_value_info("x", element, ["batch", "n"])],
        [helper.make_tensor_value_info("y", element, ["batch", "n"])],
    )


def sum_and_difference() -> onnx.ModelProto:
    """Two inputs a, b and two outputs sum, difference; all FP32 [batch, 2]."""
    nodes = [
        helper.make_node("Add", ["a", "b"], ["sum"]),
        helper.make_node("Sub", ["a", "b"], ["difference"]),
    ]
    return _model(
        nodes,
        [_floats("a", ["batch", 2]), _floats("b", ["batch", 2])],
        [_floats("sum", ["batch", 2]), _floats("difference", ["batch", 2])],
    )


def fixed() -> onnx.ModelProto:
    """Gives y = -x of the fixed shape [2, 2]: nothing to batch."""
    node = helper.make_node("Neg", ["x"], ["y"])
    return _model([node], [_floats("x", [2, 2])], [_floats("y", [2, 2])])


def plus(constant: float) -> onnx.ModelProto:
    """Gives y = x + constant, FP32 [batch, 2]."""
    node = helper.make_node("Add", ["x", "c"], ["y"])
    return _model(
        [node],
        [_floats("x", ["batch", 2])],
        [_floats("y", ["batch", 2])],
        {"c": np.array([constant], np.float32)},
    )


def look_up() -> onnx.ModelProto:
    """Gives y = [10, 20, 30][index]: an index outside fails in the engine, not in the protocol."""
    node = helper.make_node("Gather", ["table", "index"], ["y"])
    return _model(
        [node],
        [helper.make_tensor_value_info("index", TensorProto.INT64, ["batch", 1])],
        [_floats("y", ["batch", 1])],
        {"table": np.array([10, 20, 30], np.float32)},
    )


def slow() -> onnx.ModelProto:
    """Gives y = 2 * steps; takes time in proportion to ``steps``, FP32 [batch, 1]."""
    matrix = helper.make_tensor_value_info("state_in", TensorProto.FLOAT, [128, 128])
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["going"], ["going_on"]),
            helper.make_node("MatMul", ["weights", "state_in"], ["product"]),
            helper.make_node("Tanh", ["product"], ["state_out"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("iteration", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            matrix,
        ],
        [
            helper.make_tensor_value_info("going_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state_out", TensorProto.FLOAT, [128, 128]),
        ],
    )
    nodes = [
        helper.make_node("ReduceMax", ["steps"], ["most"], keepdims=0),
        helper.make_node("Cast", ["most"], ["trips"], to=TensorProto.INT64),
        helper.make_node("Loop", ["trips", "", "start"], ["state"], body=body),
        helper.make_node("ReduceMax", ["state"], ["peak"], keepdims=0),
        helper.make_node("Mul", ["peak", "zero"], ["nothing"]),
        helper.make_node("Mul", ["steps", "two"], ["twice"]),
        helper.make_node("Add", ["twice", "nothing"], ["y"]),
    ]
    constants = {
        "weights": np.eye(128, dtype=np.float32),
        "start": np.full((128, 128), 0.5, np.float32),
        "zero": np.array(0, np.float32),
        "two": np.array(2, np.float32),
    }
    return _model(nodes, [_floats("steps", ["batch", 1])], [_floats("y", ["batch", 1])], constants)


def brightness() -> onnx.ModelProto:
    """A picture classifier without training: "dark" or "light", by the mean of [batch, 8, 8]."""
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["light"], axes=[1, 2], keepdims=0),
        helper.make_node("Sub", ["one", "light"], ["dark"]),
        helper.make_node("Unsqueeze", ["dark", "axis"], ["dark_column"]),
        helper.make_node("Unsqueeze", ["light", "axis"], ["light_column"]),
        helper.make_node("Concat", ["dark_column", "light_column"], ["probabilities"], axis=1),
    ]
    model = _model(
        nodes,
        [_floats("image", ["batch", 8, 8])],
        [_floats("probabilities", ["batch", 2])],
        {"one": np.array(1, np.float32), "axis": np.array([1], np.int64)},
    )
    task = ClassificationTask(
        image=ImageSpec(height=8, width=8, scale=1 / 255), labels=("dark", "light")
    )
    model.metadata_props.add(key=METADATA_KEY, value=dump_task(task))
    return model


def write_model(
    repository: Path, name: str, model: onnx.ModelProto, *, version: int = 1, config: str = ""
) -> Path:
    """Put ``model`` into ``repository``; the version's folder."""
    folder = repository / name / str(version)
    folder.mkdir(parents=True)
    onnx.save(model, folder / "model.onnx")
    if config:
        (repository / name / "config.pbtxt").write_text(config)
    return folder


def write_broken_golden(folder: Path) -> None:
    """A golden file that the model of ``plus`` in ``folder`` cannot agree with."""
    golden = Golden(
        inputs={"x": np.zeros((3, 2), np.float32)},
        outputs={"y": np.full((3, 2), 77, np.float32)},
        source="a test",
    )
    write_golden(folder / "golden.npz", golden)


def write_repository(folder: Path) -> Path:
    """Every model of the end-to-end tests; three of them cannot be served, on purpose."""
    for datatype in DATATYPES:
        write_model(folder, f"identity_{datatype.lower()}", identity(datatype))
    write_model(folder, "sum_and_difference", sum_and_difference())
    write_model(folder, "fixed", fixed())
    write_model(folder, "look_up", look_up())
    write_model(folder, "slow", slow(), config=SLOW_PBTXT)
    write_model(folder, "batching", plus(1), config=BATCHING_PBTXT)
    write_model(folder, "brightness", brightness())
    for version in (1, 2, 3):
        write_model(folder, "configured", plus(version), version=version)
    (folder / "configured" / "config.pbtxt").write_text(CONFIGURED_PBTXT)
    write_broken_golden(write_model(folder, "golden_differs", plus(1)))
    write_model(folder, "bad_config", plus(1), config="max_batch_size: many\n")
    broken = folder / "broken" / "1"
    broken.mkdir(parents=True)
    (broken / "model.onnx").write_bytes(b"this is no ONNX file")
    return folder


def _floats(name: str, shape: list[str | int]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def _model(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    constants: dict[str, np.ndarray] | None = None,
) -> onnx.ModelProto:
    weights = [
        numpy_helper.from_array(np.asarray(array), name)
        for name, array in (constants or {}).items()
    ]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    onnx.checker.check_model(model)
    return model
