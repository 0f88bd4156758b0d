"""Times two graphs against each other on a machine that is not quiet.

The clock is the calling thread's CPU time, in which a one-thread session does all its work: what
the scheduler gives to others does not count. Rounds alternate between the two graphs, so that what
still disturbs (caches, frequency) meets both; the figure to trust is the median of the per-round
ratios, not either absolute time.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median, quantiles

import numpy as np

from training.export.predict import Arrays, Predict, row_count, take_rows

BATCH_SIZES = (1, 8, 32)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Time of a candidate against a baseline at one batch size, one thread."""

    batch_size: int
    baseline_us_per_row: float
    """Median over the rounds, microseconds of CPU time."""
    candidate_us_per_row: float
    """Median over the rounds, microseconds of CPU time."""
    ratio: float
    """Median over the rounds of candidate / baseline; below 1 the candidate is faster."""
    ratio_quartiles: tuple[float, float]
    """First and third quartile of the same."""

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def compare_speed(
    baseline: Predict,
    candidate: Predict,
    inputs: Arrays,
    *,
    rounds: int = 101,
    clock: Callable[[], float] = time.thread_time,
) -> tuple[Comparison, ...]:
    """Time both at every size of ``BATCH_SIZES``.

    Args:
        baseline: the graph to beat.
        candidate: the graph that wants to be faster.
        inputs: rows to draw the batches from.
        rounds: alternations a batch size, 4 or more.
        clock: seconds.
    """
    return tuple(_at_size(baseline, candidate, inputs, size, rounds, clock) for size in BATCH_SIZES)


def _at_size(
    baseline: Predict,
    candidate: Predict,
    inputs: Arrays,
    size: int,
    rounds: int,
    clock: Callable[[], float],
) -> Comparison:
    batch = take_rows(inputs, np.arange(size) % row_count(inputs))
    repeats = max(2, 64 // size)
    for predict in (baseline, candidate):
        predict(batch)
    pairs = []
    for turn in range(rounds):
        order = (baseline, candidate) if turn % 2 == 0 else (candidate, baseline)
        first, second = (_seconds(predict, batch, repeats, clock) for predict in order)
        pairs.append((first, second) if turn % 2 == 0 else (second, first))
    ratios = [mine / other for other, mine in pairs]
    low, _, high = quantiles(ratios, n=4)
    return Comparison(
        batch_size=size,
        baseline_us_per_row=_us_per_row([other for other, _ in pairs], repeats * size),
        candidate_us_per_row=_us_per_row([mine for _, mine in pairs], repeats * size),
        ratio=round(median(ratios), 3),
        ratio_quartiles=(round(low, 3), round(high, 3)),
    )


def _us_per_row(seconds: Sequence[float], rows: int) -> float:
    return round(median(seconds) / rows * 1e6, 1)


def _seconds(predict: Predict, batch: Arrays, repeats: int, clock: Callable[[], float]) -> float:
    start = clock()
    for _ in range(repeats):
        predict(batch)
    return clock() - start
