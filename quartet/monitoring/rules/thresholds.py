"""What the alerts compare with: limits of load and memory, and service level objectives.

Source of the objectives' form: Google, The Site Reliability Workbook, chapters 2 and 5.
"""

from dataclasses import dataclass, field
from typing import Literal

from quartet.monitoring.queries import QUEUE_TARGET_ROWS

LatencyMetric = Literal[
    "quartet_request_duration_seconds", "quartet_generation_first_symbol_seconds"
]

BOUNDS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)
"""Bucket bounds of the server's histograms of latency: requests within another time are not
counted, so an objective can name these alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """What share of valid requests must be answered.

    A request is valid unless its client is to blame: outcomes ``invalid``, ``not_found`` and
    ``cancelled`` do not count. The outcomes ``error``, ``unavailable``, ``rejected`` and
    ``deadline`` are failures.

    Raises:
        ValueError: a target outside (0, 1).
    """

    name: str = "availability"
    """Value of the label ``objective``."""
    target: float = 0.999
    """Share of good requests, in (0, 1). Below 0.93 a burn rate of 14.4 cannot be reached."""
    min_bad_requests: int = 10
    """Bad requests in the long window below which no alert is raised: with little traffic, one
    is a large share."""

    def __post_init__(self) -> None:
        if not 0 < self.target < 1:
            raise ValueError(f"{self.name}: target {self.target} is not between 0 and 1")

    @property
    def budget(self) -> float:
        """Share of requests that may be bad."""
        return round(1 - self.target, 9)


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyObjective(Objective):
    """What share of answers must come within a time.

    Raises:
        ValueError: ``threshold_s`` is no bucket bound of the server's histograms.
    """

    # `super()` without arguments does not work in a dataclass with slots.
    name: str = "latency"
    target: float = 0.99
    metric: LatencyMetric = "quartet_request_duration_seconds"
    """The histogram that is read. ``quartet_request_duration_seconds`` leaves generators of texts
    and pictures out: how long those take is what the client asked for."""
    threshold_s: float = 0.5
    """Seconds; one of ``BOUNDS_S``."""
    models: str = ".*"
    """Regular expression: the names of the models that it is promised for."""

    def __post_init__(self) -> None:
        Objective.__post_init__(self)
        if self.threshold_s not in BOUNDS_S:
            raise ValueError(
                f"{self.name}: {self.threshold_s} s is no bucket bound of {self.metric}, "
                f"expected one of {', '.join(map(str, BOUNDS_S))}"
            )


def _latency_objectives() -> tuple[LatencyObjective, ...]:
    return (
        LatencyObjective(),
        LatencyObjective(
            name="first_symbol",
            metric="quartet_generation_first_symbol_seconds",
            threshold_s=1,
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """Every number that an alert compares with. Fractions are of 1.

    Raises:
        ValueError: two objectives have one name.
    """

    job: str = "quartet"
    """Prometheus' job of the servers; only the alerts on ``up`` need it."""
    min_ready_replicas: int = 1
    """Fewer ready replicas than this raise an alert; 0 for services that scale to zero, where no
    replica at all is in order."""
    queue_rows: int = QUEUE_TARGET_ROWS
    """Waiting rows of one model in one replica, and their growth in 15 minutes."""
    queue_fill: float = 0.8
    """Waiting rows over the queue's limit."""
    queue_age_s: float = 10.0
    """Seconds that the oldest request waits."""
    rejected_fraction: float = 0.01
    """Rejected requests over all, of one model."""
    engine_utilization: float = 0.9
    """Mean busy fraction of the replicas' engines."""
    loop_utilization: float = 0.9
    """Busy fraction of one replica's event loop."""
    memory_fraction: float = 0.9
    """Resident memory over the limit."""
    memory_growth_hours: int = 24
    """Hours ahead within which memory that grows must not reach the limit."""
    gpu_memory_fraction: float = 0.95
    """Used over total memory of a GPU."""
    file_descriptor_fraction: float = 0.8
    """Open file descriptors over their limit."""
    restarts: int = 3
    """Restarts of one replica within an hour."""
    availability: Objective = field(default_factory=Objective)
    latency: tuple[LatencyObjective, ...] = field(default_factory=_latency_objectives)
    """Any number; each has a name of its own."""

    def __post_init__(self) -> None:
        names = [self.availability.name, *(one.name for one in self.latency)]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two objectives are called {name!r}; their budgets would mix")
