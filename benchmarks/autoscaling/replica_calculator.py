"""Replicas that one metric asks for, as the autoscaler of Kubernetes 1.33 computes them.

Source: "Algorithm details" of kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale and
the controller's ``replica_calculator.go`` (``calcPlainMetricReplicas``,
``GetExternalPerPodMetricReplicas``). Kubernetes counts quantities in thousandths, as integers, and
so does this module. What is left of a thousandth is cut off, as prometheus-adapter and KEDA do.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

TOLERANCE = 0.1
"""Of the ratio of value to target: the controller's ``--horizontal-pod-autoscaler-tolerance``."""
MILLI = 1000


class NoMetricError(Exception):
    """A metric that no pod reports; the autoscaler cannot use it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodValues:
    """What is known of the pods of a Deployment for one metric of type Pods."""

    values: Sequence[float]
    """Of the running pods that report one. Readiness does not matter except for CPU."""
    missing: int = 0
    """Running pods that report none, for instance because they were not scraped yet."""
    unready: int = 0
    """Pending pods; for CPU also those that are not ready, or were not for a whole window."""


def pods_metric_replicas(
    current: int, pods: PodValues, target: float, tolerance: float = TOLERANCE
) -> int:
    """Replicas for a metric of type Pods with target AverageValue.

    Args:
        current: the Deployment's replicas.
        pods: the metric's values.
        target: wanted mean a pod, in the metric's unit, > 0.
        tolerance: part of the target within which nothing changes.

    Raises:
        NoMetricError: no pod reports a value.
    """
    if not pods.values:
        raise NoMetricError("no running pod reports the metric")
    total = sum(int(value * MILLI) for value in pods.values)
    target_milli = round(target * MILLI)
    ratio = _ratio(total, len(pods.values), target_milli)
    unready = pods.unready if ratio > 1 else 0
    if ratio == 1 or (not unready and not pods.missing):
        if _is_within(ratio, tolerance):
            return current
        return math.ceil(ratio * len(pods.values))
    # Pods of which nothing is known damp the change: on the way down they count as just right, on
    # the way up as idle.
    total += pods.missing * target_milli if ratio < 1 else 0
    count = len(pods.values) + pods.missing + unready
    damped = _ratio(total, count, target_milli)
    if _is_within(damped, tolerance) or (ratio < 1 < damped) or (damped < 1 < ratio):
        return current
    wanted = math.ceil(damped * count)
    turns = wanted > current if damped < 1 else wanted < current
    return current if turns else wanted


def external_metric_replicas(
    current: int, total: float, target: float, tolerance: float = TOLERANCE
) -> int:
    """Replicas for a metric of type External with target AverageValue, which KEDA's triggers are.

    Args:
        current: the Deployment's replicas, ready or not, >= 1.
        total: the metric's value, of all replicas together.
        target: wanted share of one replica, in the metric's unit, > 0.
        tolerance: part of the target within which nothing changes.
    """
    total_milli, target_milli = int(total * MILLI), round(target * MILLI)
    if _is_within(total_milli / (target_milli * current), tolerance):
        return current
    return math.ceil(total_milli / target_milli)


def _is_within(ratio: float, tolerance: float) -> bool:
    return 1 - tolerance <= ratio <= 1 + tolerance


def _ratio(total_milli: int, count: int, target_milli: int) -> float:
    """The mean, in whole thousandths, over the target."""
    return (total_milli // count) / target_milli
