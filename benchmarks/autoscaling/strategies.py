"""The autoscalers that are compared: signals, targets, and the shipped rules of change."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.autoscaling.hpa import HpaSpec, Policy, Rules
from benchmarks.autoscaling.scraping import Signal
from benchmarks.autoscaling.service import Service
from quartet.monitoring.queries import QUEUE_TARGET_ROWS, UTILIZATION_TARGET

SHIPPED_UP = Rules((Policy("Percent", 100, 15), Policy("Pods", 4, 15)), 0)
SHIPPED_DOWN = Rules((Policy("Percent", 25, 60), Policy("Pods", 1, 60)), 300)
"""``behavior`` of deploy/kubernetes/base/horizontalpodautoscaler.yaml."""
MIN_REPLICAS = 2


@dataclass(frozen=True, slots=True)
class Strategy:
    """A HorizontalPodAutoscaler's metrics, each of type Pods with target AverageValue."""

    family: str
    """What is plotted as one line."""
    label: str
    targets: Sequence[tuple[Signal, float]]
    """Empty: the number of replicas is fixed."""
    fixed: int = 0
    """Replicas, where it is."""

    def spec(self, most: int) -> HpaSpec:
        """Bounds and rules of change."""
        return HpaSpec(
            min_replicas=MIN_REPLICAS, max_replicas=most, up=SHIPPED_UP, down=SHIPPED_DOWN
        )


def one_signal(family: str, signal: Signal, targets: Sequence[float], unit: str) -> list[Strategy]:
    """A strategy for each target of one signal."""
    return [Strategy(family, f"{target:g} {unit}", [(signal, target)]) for target in targets]


def combined(queue: float, busy: float, family: str = "queue and busy") -> Strategy:
    """The shipped three signals with other targets."""
    targets: list[tuple[Signal, float]] = [("queue", queue), ("utilization", busy), ("loop", busy)]
    return Strategy(family, f"{queue:g} rows, {busy:g}", targets)


def shipped() -> Strategy:
    """What the manifests say."""
    return combined(QUEUE_TARGET_ROWS, UTILIZATION_TARGET, "shipped")


def with_requests(a_second: float) -> Strategy:
    """Waiting rows, and requests a second as measured once."""
    targets: list[tuple[Signal, float]] = [("queue", QUEUE_TARGET_ROWS), ("requests", a_second)]
    return Strategy(
        "queue and requests", f"{QUEUE_TARGET_ROWS} rows, {a_second:g} a second", targets
    )


def with_load(load: float) -> Strategy:
    """Waiting rows, and the part of the engine that the requests would take in full runs."""
    targets: list[tuple[Signal, float]] = [("queue", QUEUE_TARGET_ROWS), ("load", load)]
    return Strategy("queue and load", f"{QUEUE_TARGET_ROWS} rows, {load:g}", targets)


def fixed(replicas: int) -> Strategy:
    """No autoscaler."""
    return Strategy("fixed", f"{replicas} replicas", [], replicas)


def all_strategies(service: Service, peak: int) -> list[Strategy]:
    """Everything that is compared, for a greatest load that ``peak`` replicas bear."""
    requests = [round(service.capacity * share, 1) for share in (0.5, 0.7, 0.9)]
    return [
        *one_signal("cpu", "cpu", (0.3, 0.5, 0.7), "of the limit"),
        *one_signal("requests", "requests", requests, "a second"),
        *one_signal("queue", "queue", (4, 16, 64), "rows"),
        *one_signal("age", "age", (0.1, 0.5), "s"),
        *one_signal("utilization", "utilization", (0.5, 0.6, 0.7, 0.8, 0.9), "busy"),
        *(combined(queue, 0.7) for queue in (4, 64)),
        *(combined(16, busy) for busy in (0.5, 0.6, 0.8, 0.9)),
        with_requests(requests[1]),
        *(with_load(load) for load in (0.6, 0.7, 0.8)),
        shipped(),
        fixed(peak),
    ]


def few_strategies(service: Service, peak: int) -> list[Strategy]:
    """One of each family, for large clusters."""
    requests = round(service.capacity * 0.7, 1)
    return [
        *one_signal("cpu", "cpu", (0.7,), "of the limit"),
        *one_signal("requests", "requests", (requests,), "a second"),
        *one_signal("queue", "queue", (16,), "rows"),
        *one_signal("age", "age", (0.1,), "s"),
        *one_signal("utilization", "utilization", (0.7,), "busy"),
        with_requests(requests),
        with_load(0.7),
        shipped(),
        fixed(peak),
    ]
