"""Holds the two served graphs of a generator to the networks that they came from.

A picture is bytes, and where a value lies at the border of two, PyTorch and ONNX Runtime may round
it to neighbours. So values are compared before rounding, and after it the differences are counted.
"""

from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import onnx
from torch import nn

from quartet.artifact import Golden
from training.export import golden
from training.export.engine import onnx_predict, torch_predict
from training.export.errors import ExportError
from training.export.graph import to_onnx
from training.export.parity import (
    ParityReport,
    Tolerance,
    check_batch_invariance,
    check_parity,
)
from training.export.predict import Arrays, Predict
from training.export.spec import ExportGraph

VALUES = Tolerance(atol=1e-4 * 127.5, rtol=0.0)
"""Of a picture before rounding, in levels of 0 to 255: 1e-4 of the networks' -1 to 1."""
PROBABILITIES = Tolerance(atol=1e-4, rtol=0.0)
"""Of the critic."""
LEVEL = Tolerance(atol=1.0, rtol=0.0)
"""Of the golden file of the pictures."""
CRITIC_GOLDEN = Tolerance(atol=1e-2, rtol=0.0)
"""Of the critic's. Room for TF32 products on GPUs."""
_VALUES = "values"


@dataclass(frozen=True, kw_only=True)
class PictureReport(ParityReport):
    """What was measured of the generator. Differences are of values before rounding, in levels."""

    share_off_by_one: float
    """Of the bytes of the golden pictures, those that differ from the reference's by one level;
    none differs by more."""


@dataclass(frozen=True, kw_only=True)
class Proved:
    """A graph, with what it must give and how it was held to its reference."""

    model: onnx.ModelProto
    golden: Golden
    report: ParityReport


def prove_generator(graph: ExportGraph, reference: ExportGraph) -> Proved:
    """Export ``graph``, whose output of bytes is made by one Round, and compare.

    Args:
        graph: the served form.
        reference: the network as it was trained, behind the same inputs.

    Raises:
        ExportError: a value is off by more than ``VALUES``, a byte by more than a level, or a
            picture depends on its batch.
    """
    model, inputs = to_onnx(graph), graph.golden_inputs
    with_values, before = _with_values(model), _values_of(reference)
    report = check_parity(
        _only(onnx_predict(with_values), _VALUES),
        before,
        inputs,
        VALUES,
        "PyTorch, float32",
    )
    predict = onnx_predict(model)
    check_batch_invariance(predict, inputs)
    expected, got = torch_predict(reference)(inputs), predict(inputs)
    (image,) = graph.outputs
    off = np.abs(np.asarray(got[image], np.int16) - np.asarray(expected[image], np.int16))
    if off.max() > LEVEL.atol:
        raise ExportError(f"a byte differs by {off.max()} levels from PyTorch's, allowed is 1")
    return Proved(
        model=model,
        golden=Golden(
            inputs=inputs,
            outputs=expected,
            atol=LEVEL.atol,
            rtol=LEVEL.rtol,
            source=golden.float32_source(),
        ),
        report=PictureReport(**vars(report), share_off_by_one=float((off == 1).mean())),
    )


def prove_critic(graph: ExportGraph, reference: ExportGraph) -> Proved:
    """Export ``graph`` and compare; as ``prove_generator``."""
    model, inputs = to_onnx(graph), graph.golden_inputs
    predict, torch_reference = onnx_predict(model), torch_predict(reference)
    report = check_parity(predict, torch_reference, inputs, PROBABILITIES, "PyTorch, float32")
    check_batch_invariance(predict, inputs)
    stored = golden.make_golden(
        inputs, torch_reference, predict, CRITIC_GOLDEN, golden.float32_source()
    )
    return Proved(model=model, golden=stored, report=report)


def _with_values(model: onnx.ModelProto) -> onnx.ModelProto:
    """``model`` with what its one Round reads as a further output."""
    rounds = [node for node in model.graph.node if node.op_type == "Round"]
    if len(rounds) != 1:
        raise ExportError(f"expected one Round in the generator's graph, found {len(rounds)}")
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy.graph.node.append(onnx.helper.make_node("Identity", [rounds[0].input[0]], [_VALUES]))
    copy.graph.output.append(
        onnx.helper.make_tensor_value_info(_VALUES, onnx.TensorProto.FLOAT, None)
    )
    return copy


def _values_of(reference: ExportGraph) -> Predict:
    """The reference's pictures before rounding, [B, C, S, S], in levels."""
    network = cast(nn.Module, reference.module.generator)
    pictures = torch_predict(replace(reference, module=network, outputs=(_VALUES,)))

    def predict(inputs: Arrays) -> Arrays:
        return {_VALUES: (np.asarray(pictures(inputs)[_VALUES], np.float32) + 1) * 127.5}

    return predict


def _only(predict: Predict, name: str) -> Predict:
    def chosen(inputs: Arrays) -> Arrays:
        return {name: predict(inputs)[name]}

    return chosen
