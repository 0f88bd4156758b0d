"""Clusters under one load, each with an autoscaler of its own."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from benchmarks.autoscaling.arrivals import Trace
from benchmarks.autoscaling.balancing import Balancing, share_out
from benchmarks.autoscaling.hpa import SYNC_PERIOD_S, Hpa, PodsMetric
from benchmarks.autoscaling.replica_calculator import PodValues
from benchmarks.autoscaling.replicas import Integers, Replicas, Shape
from benchmarks.autoscaling.scraping import SCRAPE_S, WINDOWS_S, Scraper, Signal
from benchmarks.autoscaling.service import Floats, Service
from benchmarks.autoscaling.strategies import MIN_REPLICAS, Strategy

BOUNDS_S = (0.25, 0.5, 1.0)
"""Latencies whose excess is counted."""
TARGET_S = 0.5
"""The one that is promised: the objective of the shipped alerts."""
MAX_STEP_S = 0.005
END_S = 10.0
"""For how long a replica that is taken away costs: the preStop hook, and the requests in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One simulation."""

    service: Service
    trace: Trace
    strategies: Sequence[Strategy]
    initial: int
    """Replicas at the beginning."""
    most: int
    """maxReplicas."""
    start_s: float
    """From the container's start to readiness."""
    pod_s: float = 3.0
    """From the autoscaler's decision to the container's start, and from readiness to the first
    request: scheduling, container, endpoints, on a node that has the image."""
    balancing: Balancing = "least"
    scrape_s: int = SCRAPE_S
    seed: int = 0


@dataclass(slots=True)
class Outcome:
    """What became of one cluster."""

    strategy: Strategy
    requests: int
    """Answered and refused."""
    late: npt.NDArray[np.int64]
    """int64 [bounds], those that took longer than each of ``BOUNDS_S``, refused ones included."""
    rejected: int
    replica_s: float
    """Seconds that replicas were paid for, from the decision to their end."""
    replicas: npt.NDArray[np.int64]
    """int64 [seconds], wanted ones."""
    late_each_s: npt.NDArray[np.int64]
    """int64 [seconds], requests later than ``TARGET_S``, or refused, in each second."""

    def missed(self, bound_s: float) -> float:
        """Part of the requests that took longer than ``bound_s`` or were refused, 0 to 1."""
        return float(self.late[BOUNDS_S.index(bound_s)]) / max(1, self.requests)


@dataclass(slots=True)
class _Pods:
    """The pods of one cluster, oldest first; the place of a pod is its number."""

    wanted: int
    ready_s: list[float] = field(default_factory=list)
    runs_s: list[float] = field(default_factory=list)
    """When the container of each starts; until then the pod is pending."""
    replica_s: float = 0.0


class Simulation:
    """The state while it runs."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        curve = plan.service.curve()
        self.step_s = min(MAX_STEP_S, float(curve[1:].min()))
        places = max([plan.most, *(strategy.fixed for strategy in plan.strategies)])
        self.shape = Shape(len(plan.strategies), places)
        self.replicas = Replicas(self.shape, plan.service, self.step_s, BOUNDS_S)
        self.scraper = Scraper(self.replicas, plan.scrape_s)
        self.scraper.started_s[:] = np.inf
        self.pods = [_Pods(0) for _ in plan.strategies]
        self.hpas = [Hpa(strategy.spec(plan.most)) for strategy in plan.strategies]
        self.ready: Integers = np.zeros(self.shape.clusters, np.int64)
        for cluster, strategy in enumerate(plan.strategies):
            self._scale(cluster, -1e9, strategy.fixed or max(plan.initial, MIN_REPLICAS))
        self._update_ready(0.0)

    def run(self) -> list[Outcome]:
        """Simulate the whole trace; one outcome a strategy."""
        plan, seconds = self.plan, int(self.plan.trace.lasts_s)
        generator = np.random.default_rng(plan.seed)
        wanted = np.zeros((seconds, self.shape.clusters), np.int64)
        late = np.zeros((seconds + 1, self.shape.clusters), np.int64)
        for second in range(seconds):
            self._run_until(second + 1, generator)
            self.scraper.tick(second + 1)
            if (second + 1) % int(SYNC_PERIOD_S) == 0:
                self._decide(float(second + 1))
            self._update_ready(float(second + 1))
            for cluster, pods in enumerate(self.pods):
                pods.replica_s += pods.wanted
                wanted[second, cluster] = pods.wanted
            target = BOUNDS_S.index(TARGET_S)
            late[second + 1] = self.replicas.late[target] + self.replicas.rejected
        each = np.diff(late, axis=0)
        return [self._outcome(c, wanted[:, c], each[:, c]) for c in range(self.shape.clusters)]

    def _run_until(self, second: int, generator: np.random.Generator) -> None:
        replicas, trace = self.replicas, self.plan.trace
        rate, cost = trace.rate(second - 1.0), trace.cost(second - 1.0)
        steps = round(second / self.step_s) - replicas.now_step
        counts = generator.poisson(rate * self.step_s, steps)
        for count in counts:
            draws = generator.random((2, count))
            in_flight = replicas.in_flight() if self.plan.balancing == "least" else None
            replicas.step(share_out(draws, self.ready, self.shape, in_flight), cost)

    def _decide(self, now_s: float) -> None:
        for cluster, strategy in enumerate(self.plan.strategies):
            if strategy.targets:
                metrics = [
                    PodsMetric(self._values(cluster, signal, now_s), target)
                    for signal, target in strategy.targets
                ]
                wanted = self.pods[cluster].wanted
                self._scale(cluster, now_s, self.hpas[cluster].decide(now_s, wanted, metrics))

    def _values(self, cluster: int, signal: Signal, now_s: float) -> PodValues:
        """What the metrics API has of a cluster's pods."""
        pods = self.pods[cluster]
        first = cluster * self.shape.replicas
        running = bisect_right(pods.runs_s, now_s)
        places = slice(first, first + running)
        known = self.scraper.scraped_s[places] >= 0
        if signal == "cpu":  # counted once a whole window lies after readiness
            known &= self.scraper.started_s[places] + WINDOWS_S["cpu"] <= now_s
        values = self.scraper.samples[signal][places][known].tolist()
        unknown, pending = running - len(values), pods.wanted - running
        if signal == "cpu":
            return PodValues(values=values, unready=pending + unknown)
        return PodValues(values=values, missing=unknown, unready=pending)

    def _scale(self, cluster: int, now_s: float, wanted: int) -> None:
        pods, plan = self.pods[cluster], self.plan
        first = cluster * self.shape.replicas
        for _ in range(pods.wanted, wanted):
            runs_s = now_s + plan.pod_s
            place = np.array([first + len(pods.ready_s)])
            pods.runs_s.append(runs_s)
            pods.ready_s.append(runs_s + plan.start_s)
            self.scraper.start(place, max(0.0, runs_s + plan.start_s))
        if wanted < pods.wanted:
            pods.replica_s += END_S * (pods.wanted - wanted)
            del pods.runs_s[wanted:], pods.ready_s[wanted:]
            self.scraper.started_s[first + wanted : first + pods.wanted] = np.inf
        pods.wanted = wanted

    def _update_ready(self, now_s: float) -> None:
        for cluster, pods in enumerate(self.pods):
            self.ready[cluster] = max(1, bisect_right(pods.ready_s, now_s))

    def _outcome(
        self, cluster: int, wanted: npt.NDArray[np.int64], each: npt.NDArray[np.int64]
    ) -> Outcome:
        replicas = self.replicas
        rejected = int(replicas.rejected[cluster])
        return Outcome(
            strategy=self.plan.strategies[cluster],
            requests=int(replicas.answered()[cluster]) + rejected,
            late=replicas.late[:, cluster] + rejected,
            rejected=rejected,
            replica_s=self.pods[cluster].replica_s,
            replicas=wanted,
            late_each_s=each,
        )


def ideal_replica_s(service: Service, trace: Trace) -> Floats:
    """Replicas that bear the load if it spread evenly and all was known, float64 [seconds]."""
    seconds = np.arange(int(trace.lasts_s), dtype=np.float64)
    needed = [trace.rate(s) * trace.cost(s) / service.capacity for s in seconds]
    return np.maximum(MIN_REPLICAS, np.ceil(needed))
