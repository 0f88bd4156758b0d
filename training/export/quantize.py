"""Static int8 quantisation: QDQ form, weights per channel, ranges from training inputs.

Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-
Only Inference" (real value = scale * (integer - zero point)); weights per channel as in
Krishnamoorthi 2018, "Quantizing deep convolutional networks for efficient inference: A whitepaper".

Types: activations uint8, weights int8 held to 7 bits. x86 processors without VNNI multiply such
pairs with VPMADDUBSW, which adds two products into a saturating int16: 2 * 255 * 127 overflows it,
2 * 255 * 64 = 32,640 does not. With 7 bits every processor computes the same integer sums; the
recommendation is ONNX Runtime's own for processors without VNNI. On an emulated Haswell (QEMU 7.2)
the shipped LeNet gave the golden outputs bit for bit; with 8-bit weights they were off by 2e-2.
Signed activations would not help: on x86 ONNX Runtime rewrites them to unsigned ones.

What feeds the final Softmax of a classifier stays in float32: it is a tiny share of the work, and 8
bits there would coarsen every probability. So does what follows the last convolution of an encoder,
whose outputs others work on.
"""

import logging
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from training.export.errors import ExportError
from training.export.format import IR_VERSION, check
from training.export.predict import Arrays

WEIGHTED_OPS = ("Conv", "Gemm", "MatMul")
"""Operators that gain from integers."""
QUANTIZED_OPS = (
    *WEIGHTED_OPS,
    *("Relu", "Clip", "MaxPool", "AveragePool", "GlobalAveragePool", "Add", "Reshape", "Flatten"),
)
"""The weighted operators and what lies between them, so that values stay integers on the way (a
Relu then costs nothing: the range of its output starts at 0). Elementwise preprocessing and
Softmax stay in float32."""


class _Batches(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime ships no types
    """Feeds batches to the calibrator, which asks for one at a time and wants None at the end."""

    def __init__(self, batches: Iterable[Arrays]) -> None:
        self._batches: Iterator[Arrays] = iter(batches)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next batch, or None."""
        batch = next(self._batches, None)
        return None if batch is None else dict(batch)


def softmax_head(model: onnx.ModelProto) -> list[str]:
    """Names of the weighted nodes (Gemm, MatMul, Conv) whose result reaches a Softmax directly.

    "Directly" looks through elementwise nodes such as the Add of a bias, not through an activation
    function, which belongs to the layer below.
    """
    producers = {output: node for node in model.graph.node for output in node.output}
    head = []
    for softmax in (node for node in model.graph.node if node.op_type == "Softmax"):
        node = producers.get(softmax.input[0])
        while node is not None and node.op_type in {"Add", "Reshape", "Flatten", "Identity"}:
            head.append(node.name)
            node = producers.get(node.input[0])
        if node is not None and node.op_type in WEIGHTED_OPS:
            head.append(node.name)
    return head


def after_convolutions(model: onnx.ModelProto) -> list[str]:
    """Names of the nodes that are no convolution and lead to none."""
    wanted: set[str] = set()
    after = []
    for node in reversed(model.graph.node):  # in topological order, so users come first
        if node.op_type == "Conv" or wanted.intersection(node.output):
            wanted.update(node.input)
        else:
            after.append(node.name)
    return after


def quantize_int8(
    model: onnx.ModelProto,
    calibration: Iterable[Arrays],
    float32: Callable[[onnx.ModelProto], list[str]] = softmax_head,
) -> onnx.ModelProto:
    """The int8 form of ``model``, with the same inputs, outputs and metadata.

    Args:
        model: float32 graph, as ``to_onnx`` makes it.
        calibration: batches of training inputs; their extremes set the activations' ranges.
        float32: names the nodes of a graph that stay as they are.

    Raises:
        ExportError: nothing in the graph could be quantised, or the result is not valid ONNX.
    """
    with tempfile.TemporaryDirectory(prefix="quartet-int8-") as folder, _quiet():
        source, target = Path(folder, "prepared.onnx"), Path(folder, "int8.onnx")
        quant_pre_process(model, source)
        prepared = onnx.load(source)
        quantize_static(
            prepared,
            target,
            _Batches(calibration),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(QUANTIZED_OPS),
            nodes_to_exclude=float32(prepared),
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
        quantized = onnx.load(target)
    if not any(node.op_type == "QuantizeLinear" for node in quantized.graph.node):
        raise ExportError(f"int8: the graph has none of {', '.join(WEIGHTED_OPS)} to quantise")
    _finish(quantized, model)
    return quantized


def _finish(quantized: onnx.ModelProto, model: onnx.ModelProto) -> None:
    """Restore what the quantiser drops, remove the lengths it wrote down, check."""
    del quantized.graph.value_info[:]
    for mine, original in zip(quantized.graph.input, model.graph.input, strict=True):
        mine.CopyFrom(original)
    for mine, original in zip(quantized.graph.output, model.graph.output, strict=True):
        mine.CopyFrom(original)
    used = {node.domain for node in quantized.graph.node}
    imports = [entry for entry in quantized.opset_import if entry.domain in used]
    del quantized.opset_import[:]
    quantized.opset_import.extend(imports)
    quantized.ClearField("metadata_props")
    onnx.helper.set_model_props(quantized, {p.key: p.value for p in model.metadata_props})
    quantized.ir_version = max(IR_VERSION, quantized.ir_version)
    check(quantized)


@contextmanager
def _quiet() -> Iterator[None]:
    """The quantiser reports each skipped node on the root logger; only its errors matter here."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
