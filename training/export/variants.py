"""The float32 and int8 forms of a model, and the choice between them."""

from collections.abc import Sequence
from dataclasses import dataclass

from training.export.errors import ExportError
from training.export.spec import Metric, Variant
from training.export.timing import Comparison

MAX_RATIO = 0.9
"""int8 becomes the default if its time over float32's is at most this at every batch size."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The variants in the order of publication, so that the default comes last, and the reason."""

    variants: tuple[Variant, ...]
    reason: str
    speed: tuple[Comparison, ...] = ()


def check_drop(metric: Metric, float32: Variant, int8: Variant) -> None:
    """Hold int8 to float32's figure on the validation split.

    Raises ExportError if it is worse by more than ``metric.max_drop``; the text has the numbers.
    """
    drop = metric.drop(float32.validation, int8.validation)
    if drop > metric.max_drop + 1e-9:
        raise ExportError(
            f"int8 refused: validation {metric.text(int8.validation)} against float32's "
            f"{metric.text(float32.validation)}, a loss of {metric.difference(drop)} "
            f"{metric.step_unit}; allowed are {metric.difference(metric.max_drop)}"
        )


def choose(metric: Metric, float32: Variant, int8: Variant, speed: Sequence[Comparison]) -> Choice:
    """Put the version that should answer by default last."""
    worst = max(comparison.ratio for comparison in speed)
    figures = (
        f"int8 takes at most {worst:.2f} of float32's time over batches of "
        f"{', '.join(str(c.batch_size) for c in speed)} and scores "
        f"{metric.text(int8.validation)} on the "
        f"validation split against {metric.text(float32.validation)}"
    )
    rule = (
        f"int8 becomes the default at {MAX_RATIO} or less with a loss of at most "
        f"{metric.difference(metric.max_drop)} {metric.step_unit}"
    )
    if worst <= MAX_RATIO:
        order, winner = (float32, int8), "int8"
    else:
        order, winner = (int8, float32), "float32"
    reason = f"The default is {winner}: {figures} ({rule})."
    return Choice(variants=order, reason=reason, speed=tuple(speed))
