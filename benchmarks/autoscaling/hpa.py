"""A HorizontalPodAutoscaler (autoscaling/v2) of Kubernetes 1.33, with an injected time.

Source: kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale ("Configurable scaling
behavior") and the controller's ``horizontal.go``: several metrics, stabilization windows, policies.
Times are seconds on any one clock.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from benchmarks.autoscaling.replica_calculator import (
    TOLERANCE,
    NoMetricError,
    PodValues,
    external_metric_replicas,
    pods_metric_replicas,
)

SYNC_PERIOD_S = 15.0
"""How often the controller decides (``--horizontal-pod-autoscaler-sync-period``)."""


@dataclass(frozen=True, slots=True)
class Policy:
    """At most so many replicas may come or go within a period."""

    kind: Literal["Pods", "Percent"]
    value: int
    """Replicas, or per cent of the replicas at the period's start."""
    period_s: float


@dataclass(frozen=True, slots=True)
class Rules:
    """``behavior.scaleUp`` or ``behavior.scaleDown``."""

    policies: Sequence[Policy]
    stabilization_s: float
    select: Literal["Max", "Min", "Disabled"] = "Max"


DEFAULT_UP = Rules((Policy("Percent", 100, 15), Policy("Pods", 4, 15)), 0)
DEFAULT_DOWN = Rules((Policy("Percent", 100, 15),), 300)


@dataclass(frozen=True, slots=True, kw_only=True)
class HpaSpec:
    """What the autoscaler is told besides its metrics."""

    min_replicas: int
    max_replicas: int
    up: Rules = DEFAULT_UP
    down: Rules = DEFAULT_DOWN
    tolerance: float = TOLERANCE


@dataclass(frozen=True, slots=True)
class PodsMetric:
    """A metric of type Pods with target AverageValue, as it is now."""

    pods: PodValues
    target: float

    def replicas(self, current: int, tolerance: float) -> int:
        """Replicas it asks for. Raises NoMetricError."""
        return pods_metric_replicas(current, self.pods, self.target, tolerance)


@dataclass(frozen=True, slots=True)
class ExternalMetric:
    """A metric of type External with target AverageValue, as it is now."""

    total: float | None
    """Of all replicas together; None if the source gave none."""
    target: float

    def replicas(self, current: int, tolerance: float) -> int:
        """Replicas it asks for. Raises NoMetricError."""
        if self.total is None:
            raise NoMetricError("the source gives no value")
        return external_metric_replicas(current, self.total, self.target, tolerance)


Metric = PodsMetric | ExternalMetric


def replicas_for_metrics(current: int, metrics: Sequence[Metric], tolerance: float) -> int:
    """The most that any metric asks for.

    Raises:
        NoMetricError: none has a value, or one has none and the others would scale down.
    """
    wanted, faults = [], []
    for metric in metrics:
        try:
            wanted.append(metric.replicas(current, tolerance))
        except NoMetricError as error:
            faults.append(error)
    if not wanted or (faults and max(wanted) < current):
        raise NoMetricError(f"{len(faults)} of {len(metrics)} metrics have no value: {faults[0]}")
    return max(wanted)


@dataclass(slots=True)
class _Change:
    at_s: float
    replicas: int


@dataclass(slots=True)
class Hpa:
    """One autoscaler and what it remembers."""

    spec: HpaSpec
    _recommended: list[_Change] = field(default_factory=list)
    _added: list[_Change] = field(default_factory=list)
    _removed: list[_Change] = field(default_factory=list)

    def decide(self, now_s: float, current: int, metrics: Sequence[Metric]) -> int:
        """Replicas from now on, given ``current`` ones and what is known; called once a period."""
        spec = self.spec
        if not self._recommended:
            self._recommended.append(_Change(now_s, current))
        if current == 0 and spec.min_replicas > 0:
            return 0  # an autoscaler is switched off by hand in this way, or by KEDA
        if not spec.min_replicas <= current <= spec.max_replicas:
            wanted = min(max(current, spec.min_replicas), spec.max_replicas)
        else:
            try:
                asked = replicas_for_metrics(current, metrics, spec.tolerance)
            except NoMetricError:
                return current
            wanted = self._limit(now_s, current, self._stabilize(now_s, current, asked))
        if wanted > current:
            self._added.append(_Change(now_s, wanted - current))
        elif wanted < current:
            self._removed.append(_Change(now_s, current - wanted))
        return wanted

    def _stabilize(self, now_s: float, current: int, asked: int) -> int:
        """The change from ``current`` that all recent recommendations agree to."""
        up_s, down_s = self.spec.up.stabilization_s, self.spec.down.stabilization_s
        least = min([asked, *(r.replicas for r in self._recommended if r.at_s > now_s - up_s)])
        most = max([asked, *(r.replicas for r in self._recommended if r.at_s > now_s - down_s)])
        oldest = now_s - max(up_s, down_s)
        self._recommended = [r for r in self._recommended if r.at_s >= oldest]
        self._recommended.append(_Change(now_s, asked))
        return min(max(current, least), most)

    def _limit(self, now_s: float, current: int, wanted: int) -> int:
        """``wanted`` within the policies and the bounds."""
        spec = self.spec
        if wanted > current:
            most = self._reach(now_s, current, spec.up, grow=True)
            return min(wanted, spec.max_replicas, max(most, current))
        if wanted < current:
            least = self._reach(now_s, current, spec.down, grow=False)
            return max(wanted, spec.min_replicas, min(least, current))
        return wanted

    def _reach(self, now_s: float, current: int, rules: Rules, *, grow: bool) -> int:
        """Replicas that the policies allow at most (``grow``) or at least."""
        if rules.select == "Disabled":
            return current
        reached = [self._reach_by(now_s, current, policy, grow=grow) for policy in rules.policies]
        widest: Callable[[list[int]], int] = max if grow else min
        narrowest: Callable[[list[int]], int] = min if grow else max
        return widest(reached) if rules.select == "Max" else narrowest(reached)

    def _reach_by(self, now_s: float, current: int, policy: Policy, *, grow: bool) -> int:
        since = now_s - policy.period_s
        added = sum(change.replicas for change in self._added if change.at_s > since)
        removed = sum(change.replicas for change in self._removed if change.at_s > since)
        start = current - added + removed
        if policy.kind == "Pods":
            return start + policy.value if grow else start - policy.value
        if grow:  # rounded up, so that one replica can become two
            return math.ceil(start * (1 + policy.value / 100))
        return int(start * (1 - policy.value / 100))
