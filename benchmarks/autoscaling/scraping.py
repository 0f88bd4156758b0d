"""What is known of the replicas: metrics as a server exports them, as old as a scrape makes them.

Definitions are those of ``quartet_queue_size``, ``quartet_queue_age_seconds``,
``quartet_utilization`` and ``quartet_loop_utilization``; requests a second are ``rate()`` over a
minute, CPU is what the metrics server reports: a mean of 30 s. ``load`` is no metric of the server:
the part of the engine's time that its requests would take in runs of the best size.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from benchmarks.autoscaling.replicas import Integers, Replicas
from benchmarks.autoscaling.service import Floats

Signal = Literal["queue", "age", "utilization", "loop", "load", "requests", "cpu"]
SIGNALS: tuple[Signal, ...] = get_args(Signal)
WINDOWS_S: dict[Signal, int] = {
    "utilization": 15,
    "loop": 15,
    "load": 15,
    "requests": 60,
    "cpu": 30,
}
"""Seconds over which a signal is a mean; others are of the moment."""
MEMORY = max(WINDOWS_S.values()) + 1
SCRAPE_S = 15
NEVER = -np.inf


@dataclass(frozen=True, slots=True)
class _Seconds:
    """Totals at the end of each of the last seconds, [MEMORY, replicas]."""

    busy_s: Floats
    full_s: Floats
    arrived: Floats


class Scraper:
    """Reads every replica once a scrape interval, each at its own second."""

    def __init__(self, replicas: Replicas, interval_s: int = SCRAPE_S) -> None:
        size = replicas.shape.size
        self._replicas = replicas
        self._phase = np.arange(size) % interval_s
        self._interval_s = interval_s
        self._past = _Seconds(*(np.zeros((MEMORY, size)) for _ in range(3)))
        self.started_s: Floats = np.zeros(size)
        """When the process in each place became ready; infinite where there is none."""
        self.scraped_s: Floats = np.full(size, NEVER)
        """When it was last scraped."""
        self.samples: dict[Signal, Floats] = {signal: np.zeros(size) for signal in SIGNALS}

    def start(self, places: npt.NDArray[np.int64], ready_s: float) -> None:
        """New processes take ``places``; nothing is known of them."""
        self.started_s[places] = ready_s
        self.scraped_s[places] = NEVER

    def tick(self, second: int) -> None:
        """The second number ``second`` has just ended; scrape those whose turn it is."""
        now_s, row = float(second), second % MEMORY
        self._past.busy_s[row] = self._replicas.busy_until(now_s)
        self._past.full_s[row] = self._replicas.full_s
        self._past.arrived[row] = self._replicas.arrived
        turn = (self._phase == second % self._interval_s) & (self.started_s <= now_s)
        chosen = np.flatnonzero(turn)
        if chosen.size:
            self._scrape(chosen, now_s, second)
            self.scraped_s[chosen] = now_s

    def _scrape(self, chosen: Integers, now_s: float, second: int) -> None:
        replicas, service = self._replicas, self._replicas.service
        samples = self.samples
        samples["queue"][chosen] = replicas.queue[chosen] * service.request_rows
        waits = chosen[replicas.queue[chosen] > 0]
        samples["age"][chosen] = 0.0
        samples["age"][waits] = now_s - replicas.waiting_since(waits)
        past, instances = self._past, service.instances
        busy = self._rate(past.busy_s, chosen, second, "utilization")
        samples["utilization"][chosen] = np.minimum(1.0, busy / instances)
        full = self._rate(past.full_s, chosen, second, "load")
        samples["load"][chosen] = np.minimum(1.0, full / instances)
        arrived = self._rate(past.arrived, chosen, second, "loop")
        samples["loop"][chosen] = np.minimum(1.0, arrived * service.loop_s)
        samples["requests"][chosen] = self._rate(past.arrived, chosen, second, "requests")
        cores = self._rate(past.busy_s, chosen, second, "cpu") * service.cpu_share
        cores += self._rate(past.arrived, chosen, second, "cpu") * service.loop_s
        samples["cpu"][chosen] = np.minimum(1.0, cores / service.cpu_limit)

    def _rate(self, totals: Floats, chosen: Integers, second: int, signal: Signal) -> Floats:
        """Growth a second, over the signal's window or the life so far."""
        lived = np.floor(second - self.started_s[chosen]).astype(np.int64)
        window = np.clip(lived, 1, WINDOWS_S[signal])
        before = (second - window) % MEMORY
        growth: Floats = totals[second % MEMORY, chosen] - totals[before, chosen]
        growth /= window
        return growth
