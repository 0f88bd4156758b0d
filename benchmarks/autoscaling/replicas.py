"""Queues and engines of many replicas of many clusters at once, in small steps of time.

Every array is flat over clusters and replicas: replica i of cluster c is element c * N + i. Time
is cut into steps no longer than the shortest run, so an engine starts at most one run a step. Runs
begin when an engine is free and requests wait, take all of them up to the largest batch, and last
as measured. Requests count as arrived when their step begins, so latencies are exact but for a
step: those of a run are late that had come by its end less the bound, which is read from a ring of
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
        size, instances = shape.size, service.instances
        self._curve = service.curve()
        self._left_some: npt.NDArray[np.bool_] = np.zeros(size, np.bool_)
        """Whether the last run that began could not take all that waited."""
        # If it could, what the next run takes came while the last one went on, at the earliest.
        self._prompt_s = 2 * float(self._curve[1:].max()) + service.beyond_s
        self.queue: Integers = np.zeros(size, np.int64)
        """Requests that wait."""
        self.free_at: Floats = np.zeros((instances, size))
        """When each engine is free, seconds."""
        self._running: Integers = np.zeros((instances, size), np.int64)
        self.arrived: Integers = np.zeros(size, np.int64)
        """Requests accepted so far."""
        self.busy_s: Floats = np.zeros(size)
        """Of all runs that were started, to their end."""
        self.full_s: Floats = np.zeros(size)
        """What the same requests would have taken in runs of the best size."""
        self._best_s = service.instances / service.capacity
        self.late: Integers = np.zeros((len(self.bounds_s), shape.clusters), np.int64)
        """Requests of each cluster that took longer than each bound."""
        self.rejected: Integers = np.zeros(shape.clusters, np.int64)
        self.now_step = 0
        # A run ends up to its length after the step in which the ring is read.
        self._ring = np.zeros((int(self.bounds_s[-1] / step_s) + 3, size), np.int64)

    @property
    def now_s(self) -> float:
        """The beginning of the step that is next."""
        return self.now_step * self.step_s

    def answered(self) -> Integers:
        """Requests of each cluster whose runs have begun."""
        taken = (self.arrived - self.queue).reshape(self.shape.clusters, -1)
        counts: Integers = np.sum(taken, axis=1)
        return counts

    def in_flight(self) -> Integers:
        """Requests that wait or run, a replica, at the beginning of the step."""
        total: Integers = self.queue.copy()
        for running, free_at in zip(self._running, self.free_at, strict=True):
            total += running * (free_at > self.now_s)
        return total

    def busy_until(self, at_s: float) -> Floats:
        """Seconds that each replica's engines have been busy up to ``at_s``, at least now."""
        ahead: Floats = np.maximum(self.free_at - at_s, 0.0)
        return self.busy_s - np.sum(ahead, axis=0, dtype=np.float64)

    def waiting_since(self, chosen: Integers) -> Floats:
        """When the request that has waited longest came, for replicas where one waits, seconds.

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
        """Let ``arrivals`` requests come to each replica, and engines begin what they can.

        Args:
            arrivals: requests for each replica.
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
        taken = np.minimum(waiting, self.service.max_batch)
        lasts = self._curve[taken] * cost
        begins = np.maximum(self.free_at[instance, chosen], self.now_s)
        ends = begins + lasts + self.service.beyond_s
        if self._prompt_s * cost < self.bounds_s[0]:
            slow = np.flatnonzero(self._left_some[chosen])
            self._count(chosen[slow], taken[slow], ends[slow])
        else:
            self._count(chosen, taken, ends)
        self._left_some[chosen] = waiting > taken
        self.queue[chosen] -= taken
        self.free_at[instance, chosen] = begins + lasts
        self._running[instance, chosen] = taken
        self.busy_s[chosen] += lasts
        self.full_s[chosen] += taken * (self._best_s * cost)

    def _count(self, chosen: Integers, size: Integers, ends: Floats) -> None:
        """Count the late ones of the runs that end at ``ends``, whose requests still wait."""
        if not chosen.size:
            return
        taken = self.arrived[chosen] - self.queue[chosen]
        for number, bound in enumerate(self.bounds_s):
            # Those are late that came before the end less the bound. All of a step come at its
            # beginning, so those of the step in which that moment lies are late too.
            step = ((ends - bound) / self.step_s).astype(np.int64)
            step = np.minimum(step, self.now_step)
            before = self._ring[step % len(self._ring), chosen]
            some = np.flatnonzero((before > taken) & (ends > bound))
            if not some.size:  # then none is later than the greater bounds
                return
            chosen, size, ends, taken = chosen[some], size[some], ends[some], taken[some]
            late = np.minimum(before[some] - taken, size)
            cluster = chosen // self.shape.replicas
            counts = np.bincount(cluster, late, self.shape.clusters)
            self.late[number] += counts.astype(np.int64)
