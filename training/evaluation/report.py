"""All figures of one split in one value that turns into JSON."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from training.evaluation.metrics import (
    ClassFigures,
    ReliabilityBin,
    confusion_matrix,
    expected_calibration_error,
    negative_log_likelihood,
    per_class,
    reliability,
    wilson_interval,
)


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """A split and what a classifier made of it, row by row."""

    images: npt.NDArray[np.uint8]
    """[N, height, width], as stored."""
    targets: npt.NDArray[np.int64]
    """True classes [N]."""
    log_probabilities: npt.NDArray[np.float64]
    """[N, classes], nats."""


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """One wrong answer."""

    index: int
    """Row in the split."""
    target: int
    predicted: int
    confidence: float
    """Probability given to ``predicted``."""


@dataclass(frozen=True, kw_only=True)
class ClassificationReport:
    """Figures of a classifier on one split."""

    labels: tuple[str, ...]
    count: int
    correct: int
    interval_95: tuple[float, float]
    """Wilson's 95 % interval of the accuracy."""
    nll: float
    """Mean negative log-likelihood, nats."""
    ece: float
    """Expected calibration error over the bins of ``reliability``."""
    classes: tuple[ClassFigures, ...]
    confusion: npt.NDArray[np.integer]
    """[classes, classes], row = true, column = predicted."""
    reliability: tuple[ReliabilityBin, ...]
    mistakes: tuple[Mistake, ...]
    """Surest first."""

    @property
    def accuracy(self) -> float:
        """Share of correct answers."""
        return self.correct / self.count

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "count": self.count,
            "correct": self.correct,
            "accuracy": self.accuracy,
            "accuracy_interval_95": list(self.interval_95),
            "nll": self.nll,
            "ece": self.ece,
            "macro_f1": float(np.mean([figures.f1 for figures in self.classes])),
            "per_class": {
                label: asdict(figures)
                for label, figures in zip(self.labels, self.classes, strict=True)
            },
            "confusion": self.confusion.tolist(),
            "reliability": [asdict(entry) for entry in self.reliability],
            "mistakes": [asdict(mistake) for mistake in self.mistakes],
        }


def make_report(predictions: Predictions, labels: tuple[str, ...]) -> ClassificationReport:
    """Compute every figure. Ties of the largest probability go to the lower class."""
    targets = predictions.targets
    predicted = predictions.log_probabilities.argmax(axis=1)
    confidence = np.exp(predictions.log_probabilities.max(axis=1))
    right = predicted == targets
    confusion = confusion_matrix(targets, predicted, len(labels))
    bins = reliability(confidence, right)
    wrong = sorted(np.flatnonzero(~right), key=lambda row: -confidence[row])
    return ClassificationReport(
        labels=labels,
        count=len(targets),
        correct=int(right.sum()),
        interval_95=wilson_interval(int(right.sum()), len(targets)),
        nll=negative_log_likelihood(predictions.log_probabilities, targets),
        ece=expected_calibration_error(bins),
        classes=per_class(confusion),
        confusion=confusion,
        reliability=bins,
        mistakes=tuple(
            Mistake(
                index=int(row),
                target=int(targets[row]),
                predicted=int(predicted[row]),
                confidence=float(confidence[row]),
            )
            for row in wrong
        ),
    )


def describe(values: dict[str, Any]) -> str:
    """A report as ``as_dict`` gives it, as text for a terminal."""
    low, high = values["accuracy_interval_95"]
    lines = [
        f"accuracy {values['accuracy']:.2%} ({values['correct']} of {values['count']}), "
        f"95 % interval {low:.2%} to {high:.2%}",
        f"negative log-likelihood {values['nll']:.4f} nats, "
        f"expected calibration error {values['ece']:.4f}, macro F1 {values['macro_f1']:.4f}",
        f"{'class':>8} {'precision':>10} {'recall':>8} {'F1':>8} {'support':>8}",
    ]
    for label, row in values["per_class"].items():
        lines.append(
            f"{label:>8} {row['precision']:>10.4f} {row['recall']:>8.4f} "
            f"{row['f1']:>8.4f} {row['support']:>8}"
        )
    return "\n".join(lines)
