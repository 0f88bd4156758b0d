"""Queues and engines of many replicas of many clusters at once, in small steps of time.

Every array is flat over clusters and replicas: replica i of cluster c is element c * N + i. Time
is cut into steps no longer than the shortest run, so an engine starts at most one run a step. Runs
begin when an engine is free and rows wait, take all of them up to the largest batch, and last as
measured. Requests count as arrived when their step begins, so latencies are exact but for a step:
those rows of a run are late that had come by its end less the bound, which is read from a ring of
past arrival totals.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.autoscaling.service import Floats, Service

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Shape:
    """How many of what."""

    clusters: int
    replicas: int
    """At most, of one cluster."""

    @property
    def size(self) -> int:
        """Elements of the arrays."""
        return self.clusters * self.replicas


class Replicas:
    """State of all replicas, and what became of their requests."""

    def __init__(
        self, shape: Shape, service: Service, step_s: float, bounds_s: npt.ArrayLike
    ) -> None:
        """``bounds_s``: latencies whose excess is counted, seconds, ascending."""
        self.shape, self.service, self.step_s = shape, service, step_s
        self.bounds_s = np.asarray(bounds_s, np.float64)
        self._curve = service.curve()
        # Rows of a run that takes all that wait came while the run before went on, at the earliest.
        self._prompt_s = 2 * float(self._curve[1:].max()) + service.beyond_s
        size, instances = shape.size, service.instances
        self.queue: Integers = np.zeros(size, np.int64)
        """Rows that wait."""
        self.free_at: Floats = np.zeros((instances, size))
        """When each engine is free, seconds."""
        self._running: Integers = np.zeros((instances, size), np.int64)
        self.arrived: Integers = np.zeros(size, np.int64)
        """Rows accepted so far."""
        self.busy_s: Floats = np.zeros(size)
        """Of all runs that were started, to their end."""
        self.late: Integers = np.zeros((len(self.bounds_s), shape.clusters), np.int64)
        """Rows of each cluster that took longer than each bound."""
        self.rejected: Integers = np.zeros(shape.clusters, np.int64)
        self.now_step = 0
        # A run ends up to its length after the step in which the ring is read.
        self._ring = np.zeros((int(self.bounds_s[-1] / step_s) + 3, size), np.int64)

    @property
    def now_s(self) -> float:
        """The beginning of the step that is next."""
        return self.now_step * self.step_s

    def answered(self) -> Integers:
        """Rows of each cluster whose runs have begun."""
        taken: Integers = (self.arrived - self.queue).reshape(self.shape.clusters, -1)
        return np.sum(taken, axis=1, dtype=np.int64)

    def in_flight(self) -> Integers:
        """Rows that wait or run, a replica, at the beginning of the step."""
        running = self._running * (self.free_at > self.now_s)
        total: Integers = self.queue + np.sum(running, axis=0, dtype=np.int64)
        return total

    def busy_until(self, at_s: float) -> Floats:
        """Seconds that each replica's engines have been busy up to ``at_s``, at least now."""
        ahead: Floats = np.maximum(self.free_at - at_s, 0.0)
        return self.busy_s - np.sum(ahead, axis=0, dtype=np.float64)

    def waiting_since(self, chosen: Integers) -> Floats:
        """When the row that has waited longest came, for replicas where one waits, seconds.

        No earlier than what the ring still knows, which is the largest of ``bounds_s`` ago.
        """
        taken = self.arrived[chosen] - self.queue[chosen]
        known = len(self._ring)
        # The first step after which more rows had arrived than have been taken.
        low = np.full(len(chosen), max(0, self.now_step - known), np.int64)
        high = np.full(len(chosen), self.now_step - 1, np.int64)
        while np.any(low < high):
            middle = (low + high) // 2
            more = self._ring[middle % known, chosen] > taken
            high = np.where(more, middle, high)
            low = np.where(more, low, middle + 1)
        return np.asarray(low * self.step_s, np.float64)

    def step(self, arrivals: npt.NDArray[np.signedinteger[Any]], cost: float) -> None:
        """Let ``arrivals`` rows come to each replica, and engines begin what they can.

        Args:
            arrivals: rows for each replica.
            cost: how many times as long as measured runs take.
        """
        self.queue += arrivals
        self.arrived += arrivals
        over = self.queue - self.service.queue_limit
        if over.max(initial=0) > 0:
            self._reject(np.maximum(over, 0))
        self._ring[self.now_step % len(self._ring)] = self.arrived
        end = self.now_s + self.step_s
        for instance in range(self.service.instances):
            free = np.flatnonzero((self.free_at[instance] < end) & (self.queue > 0))
            if free.size:
                self._start(instance, free, cost)
        self.now_step += 1

    def _reject(self, over: Integers) -> None:
        self.queue -= over
        self.arrived -= over
        self.rejected += over.reshape(self.shape.clusters, -1).sum(axis=1)

    def _start(self, instance: int, chosen: Integers, cost: float) -> None:
        """Begin a run on one engine of each chosen replica."""
        waiting = self.queue[chosen]
        if instance + 1 < self.service.instances:
            idle = (self.free_at[instance:, chosen] < self.now_s + self.step_s).sum(axis=0)
            waiting = -(-waiting // idle)
        rows = np.minimum(waiting, self.service.max_batch)
        lasts = self._curve[rows] * cost
        begins = np.maximum(self.free_at[instance, chosen], self.now_s)
        ends = begins + lasts + self.service.beyond_s
        if self._prompt_s * cost < self.bounds_s[0]:
            slow = np.flatnonzero(waiting > rows)
            self._count(chosen[slow], rows[slow], ends[slow])
        else:
            self._count(chosen, rows, ends)
        self.queue[chosen] -= rows
        self.free_at[instance, chosen] = begins + lasts
        self._running[instance, chosen] = rows
        self.busy_s[chosen] += lasts

    def _count(self, chosen: Integers, rows: Integers, ends: Floats) -> None:
        """Count the late rows of the runs that end at ``ends``, whose rows still wait."""
        if not chosen.size:
            return
        taken = self.arrived[chosen] - self.queue[chosen]
        for number, bound in enumerate(self.bounds_s):
            # Rows are late if they came before the end less the bound. All of a step come at its
            # beginning, so those of the step in which that moment lies are late too.
            step = ((ends - bound) / self.step_s).astype(np.int64)
            step = np.minimum(step, self.now_step)
            before = self._ring[step % len(self._ring), chosen]
            some = np.flatnonzero((before > taken) & (ends > bound))
            if not some.size:  # then none is later than the greater bounds
                return
            chosen, rows, ends, taken = chosen[some], rows[some], ends[some], taken[some]
            late = np.minimum(before[some] - taken, rows)
            cluster = chosen // self.shape.replicas
            counts = np.bincount(cluster, late, self.shape.clusters)
            self.late[number] += counts.astype(np.int64)
