"""The reference network as an ONNX file: two convolutions, 0.15 to 0.3 ms a row on one core.

Its layers are those of the MNIST example that ships with PyTorch's examples; its second convolution
can be widened, so that a row costs the same on a faster core. The weights are random but seeded:
what is measured does not depend on them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from quartet.artifact import METADATA_KEY, MODEL_FILE, ClassificationTask, ImageSpec, dump_task

SEED = 0
OPSET = 17
IR_VERSION = 8
SIDE = 28
"""Rows and columns of the input, pixels."""
CLASSES = 10

CHANNELS = 64
"""Of the second convolution, in the example."""
POOLED = 12 * 12
"""Places that each of them has after pooling."""


def write_tensor_network(folder: Path, channels: int = CHANNELS) -> Path:
    """Write version 1 of a network ``x`` float32 [batch, 1, 28, 28] -> ``y`` float32 [batch, 10].

    Args:
        folder: the model's folder in a repository, made if absent.
        channels: of the second convolution.

    Returns:
        The ONNX file.
    """
    source = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 1, SIDE, SIDE])
    return _write(folder, [source], _layers("x", "y", last="LogSoftmax"), "y", channels=channels)


def write_picture_network(folder: Path) -> Path:
    """Write the same as a classifier of pictures, ``image`` uint8 [batch, 28, 28].

    It stands in for the shipped classifier where that is absent.
    """
    source = helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", SIDE, SIDE])
    nodes = [
        helper.make_node("Cast", ["image"], ["levels"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["levels", "scale"], ["scaled"]),
        helper.make_node("Unsqueeze", ["scaled", "channel_axis"], ["x"]),
        *_layers("x", "probabilities", last="Softmax"),
    ]
    task = ClassificationTask(image=ImageSpec(input="image", height=SIDE, width=SIDE))
    return _write(folder, [source], nodes, "probabilities", {METADATA_KEY: dump_task(task)})


def _layers(source: str, output: str, *, last: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("Conv", [source, "conv1.weight", "conv1.bias"], ["c1"]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "conv2.weight", "conv2.bias"], ["c2"]),
        helper.make_node("Relu", ["c2"], ["r2"]),
        helper.make_node("MaxPool", ["r2"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["pooled"], ["flat"], axis=1),
        helper.make_node("Gemm", ["flat", "fc1.weight", "fc1.bias"], ["f1"]),
        helper.make_node("Relu", ["f1"], ["r3"]),
        helper.make_node("Gemm", ["r3", "fc2.weight", "fc2.bias"], ["logits"]),
        helper.make_node(last, ["logits"], [output], axis=1),
    ]


def _write(
    folder: Path,
    inputs: list[onnx.ValueInfoProto],
    nodes: list[onnx.NodeProto],
    output: str,
    metadata: Mapping[str, str] | None = None,
    *,
    channels: int = CHANNELS,
) -> Path:
    result = helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", CLASSES])
    used = {name for node in nodes for name in node.input}
    constants = {name: array for name, array in _constants(channels).items() if name in used}
    graph = helper.make_graph(
        nodes,
        "reference",
        inputs,
        [result],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )
    helper.set_model_props(model, dict(metadata or {}))
    onnx.checker.check_model(model, full_check=True)
    path = folder / "1" / MODEL_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path


def _shapes(channels: int) -> Mapping[str, tuple[int, ...]]:
    return {
        "conv1.weight": (32, 1, 3, 3),
        "conv1.bias": (32,),
        "conv2.weight": (channels, 32, 3, 3),
        "conv2.bias": (channels,),
        "fc1.weight": (channels * POOLED, 128),
        "fc1.bias": (128,),
        "fc2.weight": (128, CLASSES),
        "fc2.bias": (CLASSES,),
    }


def _constants(channels: int) -> dict[str, npt.NDArray[Any]]:
    """Weights uniform in +-1/sqrt(fan in), biases as well, in float32."""
    generator = np.random.default_rng(SEED)
    constants: dict[str, npt.NDArray[Any]] = {
        "scale": np.asarray(1 / 255, np.float32),
        "channel_axis": np.asarray([1], np.int64),
    }
    for name, shape in _shapes(channels).items():
        # Convolutions are [out, in, kh, kw]; the matrices of Gemm are [in, out] here.
        fan_in = int(np.prod(shape[1:])) if len(shape) == 4 else shape[0]
        bound = 1 / np.sqrt(fan_in)
        constants[name] = generator.uniform(-bound, bound, shape).astype(np.float32)
    return constants
