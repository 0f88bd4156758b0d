"""Times two graphs, or one at several batch sizes, on a machine that is not quiet.

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
"""Of two graphs."""
GROWING_SIZES = (1, 2, 4, 8, 16, 32)
"""Of one."""


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


@dataclass(frozen=True, kw_only=True)
class BatchTime:
    """Time of one graph at one batch size, one thread."""

    batch_size: int
    us_per_row: float
    """Median over the rounds, microseconds of CPU time."""
    ratio: float
    """Median over the rounds of the time of a row in the batch / alone; below 1 batches gain."""

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


def time_batches(
    predict: Predict,
    inputs: Arrays,
    *,
    rounds: int = 31,
    clock: Callable[[], float] = time.thread_time,
) -> tuple[BatchTime, ...]:
    """Time a graph at every size of ``GROWING_SIZES``, all of them in each round.

    Args:
        predict: the graph.
        inputs: rows to draw the batches from.
        rounds: measurements of each size.
        clock: seconds.
    """
    batches = {
        size: take_rows(inputs, np.arange(size) % row_count(inputs)) for size in GROWING_SIZES
    }
    repeats = {size: max(1, GROWING_SIZES[-1] // size) for size in batches}
    for batch in batches.values():
        predict(batch)
    found: dict[int, list[float]] = {size: [] for size in batches}
    for _ in range(rounds):
        for size, batch in batches.items():
            spent = _seconds(predict, batch, repeats[size], clock)
            found[size].append(spent / (repeats[size] * size))
    return tuple(
        BatchTime(
            batch_size=size,
            us_per_row=round(median(times) * 1e6, 1),
            ratio=round(median(t / one for t, one in zip(times, found[1], strict=True)), 3),
        )
        for size, times in found.items()
    )


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
