"""Figures of a classifier on a held-out split. NumPy alone; every figure names its source."""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Integers = npt.NDArray[np.integer]


def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion (Wilson 1927, JASA 22, 209-212).

    Unlike p +- z sqrt(p(1-p)/n) it stays inside [0, 1] and holds its level near 1, where
    accuracies lie (Brown, Cai, DasGupta 2001).

    Args:
        successes: correct answers, 0 to ``trials``.
        trials: all answers, 1 or more.
        confidence: level of the two-sided interval, in (0, 1).
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"want 0 <= successes <= trials and trials >= 1: {successes}, {trials}")
    z = NormalDist().inv_cdf((1.0 + confidence) / 2.0)
    p = successes / trials
    denominator = 1.0 + z * z / trials
    centre = (p + z * z / (2 * trials)) / denominator
    half = z / denominator * math.sqrt(p * (1 - p) / trials + z * z / (4 * trials * trials))
    return max(0.0, centre - half), min(1.0, centre + half)


def confusion_matrix(targets: Integers, predictions: Integers, classes: int) -> Integers:
    """Counts [classes, classes]: row = true class, column = predicted class."""
    flat = np.bincount(targets * classes + predictions, minlength=classes * classes)
    return flat.reshape(classes, classes)


@dataclass(frozen=True, kw_only=True)
class ClassFigures:
    """One class against the rest. A figure with an empty denominator is 0."""

    precision: float
    """True positives / predicted positives."""
    recall: float
    """True positives / actual positives."""
    f1: float
    """Harmonic mean of the two (van Rijsbergen 1979)."""
    support: int
    """Actual positives."""


def per_class(confusion: Integers) -> tuple[ClassFigures, ...]:
    """Figures of each class from a confusion matrix (rows true, columns predicted)."""
    hits = np.diag(confusion)
    predicted, actual = confusion.sum(axis=0), confusion.sum(axis=1)
    return tuple(
        ClassFigures(
            precision=_ratio(hits[i], predicted[i]),
            recall=_ratio(hits[i], actual[i]),
            f1=_ratio(2 * hits[i], predicted[i] + actual[i]),
            support=int(actual[i]),
        )
        for i in range(len(confusion))
    )


def _ratio(numerator: int, denominator: int) -> float:
    return float(numerator / denominator) if denominator else 0.0


def negative_log_likelihood(log_probabilities: Floats, targets: Integers) -> float:
    """Mean of -log p(true class), nats. ``log_probabilities`` is [N, classes]."""
    return float(-log_probabilities[np.arange(len(targets)), targets].mean())


@dataclass(frozen=True, kw_only=True)
class ReliabilityBin:
    """Answers whose confidence lies in (lower, upper]."""

    lower: float
    upper: float
    count: int
    confidence: float
    """Mean confidence; 0 if empty."""
    accuracy: float
    """Share of correct answers; 0 if empty."""


def reliability(
    confidence: Floats, correct: npt.NDArray[np.bool_], bins: int = 15
) -> tuple[ReliabilityBin, ...]:
    """Reliability diagram: equally wide bins of confidence (Guo et al. 2017, section 2).

    Args:
        confidence: probability of the predicted class [N], in [0, 1].
        correct: whether the prediction was right [N].
        bins: how many bins; the paper uses 15.
    """
    edges = np.linspace(0.0, 1.0, bins + 1)
    index = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    result = []
    for i in range(bins):
        members = index == i
        count = int(members.sum())
        result.append(
            ReliabilityBin(
                lower=float(edges[i]),
                upper=float(edges[i + 1]),
                count=count,
                confidence=float(confidence[members].mean()) if count else 0.0,
                accuracy=float(correct[members].mean()) if count else 0.0,
            )
        )
    return tuple(result)


def expected_calibration_error(bins: tuple[ReliabilityBin, ...]) -> float:
    """Sum over bins of (count / N) * |accuracy - confidence| (Guo et al. 2017, eq. 3)."""
    total = sum(entry.count for entry in bins)
    if total == 0:
        raise ValueError("a calibration error needs at least one answer")
    return sum(entry.count / total * abs(entry.accuracy - entry.confidence) for entry in bins)
