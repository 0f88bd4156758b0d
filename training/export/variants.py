"""The float32 and int8 forms of a graph, each proved, and the choice between them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import onnx

from quartet.artifact import Golden
from training.export import golden, parity
from training.export.engine import onnx_predict, torch_predict
from training.export.errors import ExportError
from training.export.graph import to_onnx
from training.export.quantize import quantize_int8
from training.export.spec import Exportable, ExportGraph
from training.export.timing import Comparison

CALIBRATION_ROWS = 1000
MAX_DROP = 0.0005
"""Largest loss of validation accuracy for int8: 0.05 points."""
MAX_RATIO = 0.9
"""int8 becomes the default if its time over float32's is at most this at every batch size."""
INT8_PARITY = parity.Tolerance(atol=golden.INT8.atol * golden.HEADROOM, rtol=0.0)
"""int8 against its own unfused graph, and a row alone against the row in a batch."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One form of the graph, ready to be published."""

    precision: Literal["float32", "int8"]
    model: onnx.ModelProto
    golden: Golden
    parity: parity.ParityReport
    validation: float
    """Score on the validation split, by ONNX Runtime."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The variants in the order of publication, so that the default comes last, and the reason."""

    variants: tuple[Variant, ...]
    reason: str
    speed: tuple[Comparison, ...] = ()


def make_float32(run: Exportable, graph: ExportGraph) -> Variant:
    """Export ``graph`` and hold it to PyTorch. Raises ExportError."""
    model = to_onnx(graph)
    reference, candidate = torch_predict(graph), onnx_predict(model)
    report = parity.check_parity(
        candidate, reference, graph.golden_inputs, parity.FLOAT32, "PyTorch, float32"
    )
    return Variant(
        precision="float32",
        model=model,
        golden=golden.make_golden(
            graph.golden_inputs, reference, candidate, golden.FLOAT32, golden.float32_source()
        ),
        parity=report,
        validation=run.validation_score(candidate),
    )


def make_int8(run: Exportable, graph: ExportGraph, float32: Variant) -> Variant:
    """Quantise ``float32`` and hold it to its own meaning and to float32's validation score.

    Raises:
        ExportError: the score falls by more than ``MAX_DROP`` (the text has the numbers), or the
            fused graph strays from the unfused one.
    """
    model = quantize_int8(float32.model, run.calibration_inputs(CALIBRATION_ROWS))
    reference, candidate = onnx_predict(model, optimize=False), onnx_predict(model)
    validation = run.validation_score(candidate)
    drop = float32.validation - validation
    if drop > MAX_DROP + 1e-9:
        raise ExportError(
            f"int8 refused: validation {validation:.2%} against float32's "
            f"{float32.validation:.2%}, a loss of {drop * 100:.2f} points; "
            f"allowed are {MAX_DROP * 100:.2f}"
        )
    report = parity.check_parity(
        candidate, reference, graph.golden_inputs, INT8_PARITY, "the same file, unfused"
    )
    return Variant(
        precision="int8",
        model=model,
        golden=golden.make_golden(
            graph.golden_inputs, reference, candidate, golden.INT8, golden.int8_source()
        ),
        parity=report,
        validation=validation,
    )


def choose(float32: Variant, int8: Variant, speed: Sequence[Comparison]) -> Choice:
    """Put the version that should answer by default last."""
    worst = max(comparison.ratio for comparison in speed)
    figures = (
        f"int8 takes at most {worst:.2f} of float32's time over batches of "
        f"{', '.join(str(c.batch_size) for c in speed)} and scores {int8.validation:.2%} on the "
        f"validation split against {float32.validation:.2%}"
    )
    rule = f"int8 becomes the default at {MAX_RATIO} or less with a loss of at most 0.05 points"
    if worst <= MAX_RATIO:
        order, winner = (float32, int8), "int8"
    else:
        order, winner = (int8, float32), "float32"
    reason = f"The default is {winner}: {figures} ({rule})."
    return Choice(variants=order, reason=reason, speed=tuple(speed))
