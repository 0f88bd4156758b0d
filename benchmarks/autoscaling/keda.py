"""A ScaledObject of KEDA 2 with Prometheus triggers: to and from zero, and an HPA in between.

Source: keda.sh/docs (ScaledObject specification; "Activating and scaling thresholds"; Prometheus
scaler) and the operator's ``scale_scaledobjects.go``. Times are seconds on any one clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmarks.autoscaling.hpa import ExternalMetric, Hpa, HpaSpec

POLLING_INTERVAL_S = 30.0
COOLDOWN_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """A Prometheus trigger with ``metricType: AverageValue``."""

    threshold: float
    """Share of one replica, > 0."""
    activation_threshold: float = 0.0
    """The trigger is active while its value is greater."""
    ignore_null_values: bool = True
    """Whether an empty answer counts as 0; else it is an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaledObject:
    """What the operator is told."""

    triggers: Sequence[Trigger]
    hpa: HpaSpec
    """``min_replicas`` is minReplicaCount, which may be 0."""
    idle_replicas: int | None = None
    """idleReplicaCount, less than ``hpa.min_replicas``: replicas while no trigger is active."""
    cooldown_s: float = COOLDOWN_S
    """Time after the last active trigger before the last replicas go, to zero or to idle."""


class Keda:
    """The operator's loop and the autoscaler that it makes, for one ScaledObject."""

    def __init__(self, scaled: ScaledObject) -> None:
        self.scaled = scaled
        # The HPA that KEDA makes has at least one replica: zero is the operator's own affair.
        self._hpa = Hpa(replace(scaled.hpa, min_replicas=max(1, scaled.hpa.min_replicas)))
        self._last_active_s: float | None = None

    def poll(self, now_s: float, current: int, values: Sequence[float | None]) -> int:
        """The operator's part, once a polling interval: from zero and to zero.

        Args:
            now_s: the time.
            current: replicas.
            values: of the triggers' queries; None for an empty answer.
        """
        least, idle = self.scaled.hpa.min_replicas, self.scaled.idle_replicas
        if self.active(values):
            self._last_active_s = now_s
            starts = current == 0 or (idle is not None and current < least)
            return max(1, least) if starts else current
        floor = 0 if least == 0 else idle
        if floor is None:
            return max(current, least)
        last = self._last_active_s
        cooled = last is None or last + self.scaled.cooldown_s < now_s
        return floor if current > floor and cooled else current

    def decide(self, now_s: float, current: int, values: Sequence[float | None]) -> int:
        """The HPA's part, once a sync period: between one replica and the most."""
        metrics = [
            ExternalMetric(_counted(value, trigger), trigger.threshold)
            for value, trigger in zip(values, self.scaled.triggers, strict=True)
        ]
        return self._hpa.decide(now_s, current, metrics)

    def active(self, values: Sequence[float | None]) -> bool:
        """Whether any trigger is."""
        counted = [
            (_counted(value, trigger), trigger)
            for value, trigger in zip(values, self.scaled.triggers, strict=True)
        ]
        return any(
            value is not None and value > trigger.activation_threshold for value, trigger in counted
        )


def _counted(value: float | None, trigger: Trigger) -> float | None:
    return 0.0 if value is None and trigger.ignore_null_values else value
