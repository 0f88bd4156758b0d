"""Holds an exported graph to the reference it came from, before anything is published."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from training.export.errors import ExportError
from training.export.predict import Arrays, Predict, row_count, take_rows

BATCH_SIZES = (1, 2, 7, 64)
"""Batches compared: alone, the example's own size, an odd one, the server's largest."""
COMPANIES = range(2, 65)
"""Sizes of the batches in which a row must be what it is alone."""
_SEED = 20240


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """Outputs agree where ``|got - expected| <= atol + rtol * |expected|``."""

    atol: float
    rtol: float

    def excess(self, got: npt.NDArray[np.generic], expected: npt.NDArray[np.generic]) -> float:
        """Largest ``|got - expected| - rtol * |expected|``; agreement is ``<= atol``."""
        wanted = expected.astype(np.float64)
        return float(np.max(np.abs(got.astype(np.float64) - wanted) - self.rtol * np.abs(wanted)))


FLOAT32 = Tolerance(atol=1e-5, rtol=1e-4)
"""PyTorch against ONNX Runtime in float32: sums in another order, nothing more."""


@dataclass(frozen=True, kw_only=True)
class ParityReport:
    """What was measured; stored in ``run.json``."""

    reference: str
    atol: float
    rtol: float
    max_abs_difference: dict[str, float]
    """Batch size (as text, for JSON) -> largest absolute difference over all outputs."""
    max_abs_batch_difference: float
    """Largest absolute difference of a row computed alone from the same row in a batch of 7."""

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def check_parity(
    predict: Predict, reference: Predict, inputs: Arrays, tolerance: Tolerance, label: str
) -> ParityReport:
    """Compare ``predict`` with ``reference`` at every size of ``BATCH_SIZES``, and with itself.

    Args:
        predict: the exported graph.
        reference: what it must reproduce.
        inputs: rows to draw the batches from, with repeats where there are fewer than 64.
        tolerance: largest difference allowed.
        label: names the reference, for the report and the error.

    Raises:
        ExportError: a difference beyond ``tolerance``, an output that is not finite, or a row
            whose result depends on the rows beside it by more than ``tolerance``.
    """
    return ParityReport(
        reference=label,
        atol=tolerance.atol,
        rtol=tolerance.rtol,
        max_abs_difference=differences(predict, reference, inputs, tolerance, label),
        max_abs_batch_difference=batch_dependence(predict, inputs, tolerance),
    )


def differences(
    predict: Predict,
    reference: Predict,
    inputs: Arrays,
    tolerance: Tolerance,
    label: str,
    *,
    sizes: Sequence[int] = BATCH_SIZES,
) -> dict[str, float]:
    """Batch size, as text -> largest absolute difference. As ``check_parity`` otherwise."""
    generator = np.random.default_rng(_SEED)
    found = {}
    for size in sizes:
        count = row_count(inputs)
        batch = take_rows(inputs, generator.choice(count, size, replace=size > count))
        found[str(size)] = compare(
            predict(batch), reference(batch), tolerance, f"batch {size}, against {label}"
        )
    return found


def batch_dependence(
    predict: Predict, inputs: Arrays, tolerance: Tolerance, rows: int = 7
) -> float:
    """Largest absolute difference of a row alone from itself in a batch of ``rows``.

    Raises:
        ExportError: it exceeds ``tolerance``.
    """
    batch = take_rows(inputs, np.arange(rows) % row_count(inputs))
    joint = predict(batch)
    worst = 0.0
    for row in range(rows):
        index = np.asarray([row])
        alone = predict(take_rows(batch, index))
        expected = take_rows(joint, index)
        worst = max(worst, compare(alone, expected, tolerance, f"row {row} alone, against batch"))
    return worst


def check_batch_invariance(predict: Predict, inputs: Arrays) -> None:
    """Hold every row to the same bits alone and in batches of each size of ``COMPANIES``.

    A server joins requests as they come, and an answer must not tell which.

    Raises:
        ExportError: it names the first row, batch size and output that differ.
    """
    count = row_count(inputs)
    alone = [predict(take_rows(inputs, np.asarray([row]))) for row in range(count)]
    for size in COMPANIES:
        rows = (np.arange(size) + size) % count  # a row is not always at the same place
        joint = predict(take_rows(inputs, rows))
        for place, row in enumerate(rows):
            for name, values in alone[row].items():
                if not np.array_equal(values[0], joint[name][place]):
                    raise ExportError(
                        f"row {place} of a batch of {size} has another {name!r} than alone; "
                        "rows must not depend on their company"
                    )


def compare(got: Arrays, expected: Arrays, tolerance: Tolerance, label: str) -> float:
    """Largest absolute difference over the outputs in ``expected``.

    Raises ExportError, which begins with ``label``, where one is not allowed.
    """
    worst = 0.0
    for name, wanted in expected.items():
        value = got[name]
        if value.shape != wanted.shape or value.dtype != wanted.dtype:
            raise ExportError(
                f"{label}: output {name!r} is {value.dtype}{list(value.shape)}, "
                f"wanted {wanted.dtype}{list(wanted.shape)}"
            )
        difference = np.abs(value.astype(np.float64) - wanted.astype(np.float64))
        if not np.isfinite(difference).all():
            raise ExportError(f"{label}: output {name!r} has values that are not finite")
        if tolerance.excess(value, wanted) > tolerance.atol:
            raise ExportError(
                f"{label}: output {name!r} differs by up to {difference.max():.2e}, "
                f"allowed are {tolerance.atol:g} + {tolerance.rtol:g} * |expected|"
            )
        worst = max(worst, float(difference.max()))
    return worst
