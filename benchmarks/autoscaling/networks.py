"""Networks whose cost grows in two ways with the batch.

The shipped ``face-attributes``: convolutions, which cost a CPU in proportion to the rows. ``dense``
multiplies rows by matrices of 268 MB in all, so that a run's time is first of all that of reading
the weights: as large models behave on a GPU, though here on a CPU, with real runs.
"""

import shutil
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from quartet.artifact import MODEL_FILE

SEED = 0
OPSET = 17
IR_VERSION = 8
FEATURES, HIDDEN, LAYERS = 2048, 8192, 4
PICTURES, DENSE = "face-attributes", "dense"
DENSE_PBTXT = """
max_batch_size: 64
dynamic_batching { }
"""


def write_repository(folder: Path, shipped: Path) -> Path:
    """Both networks as a repository in ``folder``.

    Args:
        folder: made if absent.
        shipped: the repository that is shipped.

    Raises:
        FileNotFoundError: ``shipped`` has no ``face-attributes``.
    """
    shutil.copytree(shipped / PICTURES, folder / PICTURES)
    version = folder / DENSE / "1"
    version.mkdir(parents=True)
    onnx.save(dense_network(), version / MODEL_FILE)
    (folder / DENSE / "config.pbtxt").write_text(DENSE_PBTXT, encoding="utf-8")
    return folder


def dense_network() -> onnx.ModelProto:
    """``x`` float32 [batch, 2048] -> ``y`` float32 [batch, 2048], seeded random weights."""
    generator = np.random.default_rng(SEED)
    nodes, weights, last = [], [], "x"
    for layer in range(LAYERS):
        shape = (FEATURES, HIDDEN) if layer % 2 == 0 else (HIDDEN, FEATURES)
        values = (generator.standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32)
        weights.append(numpy_helper.from_array(values, f"weight_{layer}"))
        name = "y" if layer == LAYERS - 1 else f"hidden_{layer}"
        nodes.append(helper.make_node("MatMul", [last, f"weight_{layer}"], [f"sum_{layer}"]))
        nodes.append(helper.make_node("Relu", [f"sum_{layer}"], [name]))
        last = name
    graph = helper.make_graph(
        nodes,
        "dense",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", FEATURES])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", FEATURES])],
        weights,
    )
    opset = helper.make_opsetid("", OPSET)
    return helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
