"""Medians, spreads and percentiles."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """Several measurements of one thing."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f}-{self.high:.2f})"


def spread(values: Sequence[float]) -> Spread:
    """Median, least and greatest of ``values``. Raises ValueError if there are none."""
    if not values:
        raise ValueError("no measurement to summarise")
    return Spread(statistics.median(values), min(values), max(values))


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """Quotients of what was measured in the same repetition, so that noise hits both alike."""
    return [a / b for a, b in zip(numerators, denominators, strict=True)]


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile of ``ordered``, ascending and not empty; 0 < percent <= 100."""
    rank = math.ceil(percent / 100 * len(ordered))
    return ordered[max(rank, 1) - 1]
