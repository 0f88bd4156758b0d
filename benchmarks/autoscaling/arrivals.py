"""How many requests a second come, over time."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Rate = Callable[[float], float]
"""Seconds since the beginning -> requests a second."""

BURST_FACTOR = 10.0
BURST_FROM_S, BURST_UNTIL_S = 300.0, 900.0
BURST_RAMP_S = 10.0
BURST_LASTS_S = 1500.0
DAY_S = 2400.0
DAY_NIGHT = 0.1
"""Of the day's greatest rate."""
SLOWER_FROM_S = 600.0
SLOWER_FACTOR = 2.0


@dataclass(frozen=True, slots=True)
class Trace:
    """A course of the load, and of what a request costs."""

    name: str
    description: str
    lasts_s: float
    rate: Rate
    cost: Rate
    """Seconds since the beginning -> how many times as long as measured runs take."""


def burst(peak: float) -> Trace:
    """A tenth of ``peak`` requests a second, all of it for ten minutes, a tenth again."""

    def rate(at_s: float) -> float:
        up = np.clip((at_s - BURST_FROM_S) / BURST_RAMP_S, 0, 1)
        down = np.clip((at_s - BURST_UNTIL_S) / BURST_RAMP_S, 0, 1)
        return float(peak / BURST_FACTOR + peak * (1 - 1 / BURST_FACTOR) * (up - down))

    text = "ten times the load for 10 of 25 minutes, within 10 s"
    return Trace("burst", text, BURST_LASTS_S, rate, lambda _: 1.0)


def day(peak: float) -> Trace:
    """A day in 40 minutes: a sine from a tenth of ``peak`` to all of it."""

    def rate(at_s: float) -> float:
        swing = (1 - np.cos(2 * np.pi * at_s / DAY_S)) / 2
        return float(peak * (DAY_NIGHT + (1 - DAY_NIGHT) * swing))

    text = "a day's sine, from a tenth to all, in 40 minutes"
    return Trace("day", text, DAY_S, rate, lambda _: 1.0)


def slower(peak: float) -> Trace:
    """Half of ``peak`` all the time; after ten minutes a request costs twice as much."""

    def cost(at_s: float) -> float:
        return SLOWER_FACTOR if at_s >= SLOWER_FROM_S else 1.0

    text = "the same load, of which a request costs twice as much after 10 of 20 minutes"
    return Trace("slower", text, 2 * SLOWER_FROM_S, lambda _: peak / SLOWER_FACTOR, cost)


TRACES: dict[str, Callable[[float], Trace]] = {"burst": burst, "day": day, "slower": slower}
"""Name -> the trace for a greatest load of so many requests a second (of the cost at the start)."""
