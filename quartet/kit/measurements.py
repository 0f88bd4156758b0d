"""What was measured of a repository: the schema of ``measurements.json``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from quartet.config import Config, explain
from quartet.kit.errors import KitError

FORMAT = 1

KEPT_UP = 0.9
"""Answered over offered requests."""
LATE_CLIENT = 0.25
"""Lateness of the load generator over the p99 that it measured."""

Kind = Literal["tensors", "captions", "text", "pictures"]
"""How a model is asked: protocol v2's infer, or the endpoint of its task."""


class LoadFigures(Config):
    """One load and how the server took it."""

    clients: int = Field(default=0, ge=0)
    """Clients of a closed loop; 0: arrivals of a Poisson process."""
    offered_rps: float | None = None
    """Arrivals a second of that process."""
    requests: int = Field(ge=1)
    """Answered in the window."""
    rejected: int = Field(default=0, ge=0)
    """Answered with 429."""
    requests_per_second: float = Field(gt=0)
    """Answered."""
    p50_s: float = Field(gt=0)
    """Median latency, seconds."""
    p99_s: float = Field(gt=0)
    """99th percentile; with fewer than 100 requests the longest."""
    client_cpu: float = Field(ge=0)
    """Busy share of the load generator's thread. Near 1 it is the generator that was measured."""


class SteadyFigures(LoadFigures):
    """A load of about 70 % of capacity, and what of the server's resources it took."""

    client_lateness_p99_s: float = Field(ge=0)
    """How much later than due the client itself sent, 99th percentile."""
    mean_batch_rows: float = Field(ge=0)
    """Rows of one run of the engine."""
    utilization: float = Field(ge=0)
    """Busy fraction of the engine, or of the model's instances where that is larger."""
    loop_utilization: float = Field(ge=0)
    """CPU fraction of the event loop's thread."""
    cpu_cores: float = Field(ge=0)
    """CPU seconds a second of the whole process."""
    mean_waiting_rows: float = Field(ge=0)
    """Rows that wait, on average."""
    first_symbol_p99_s: float | None = None
    """Of writers of text: bound of the server's histogram that 99 % of first symbols kept."""

    @property
    def kept_up(self) -> bool:
        """Whether the server answered as fast as requests came."""
        return self.requests_per_second >= KEPT_UP * (self.offered_rps or 0.0)

    @property
    def client_was_late(self) -> bool:
        """Whether latency is to a part the load generator's own."""
        return self.client_lateness_p99_s > LATE_CLIENT * self.p99_s


class ModelFigures(Config):
    """One model under load. Latencies are the client's."""

    name: str
    """Of the model."""
    version: str
    """That served the requests."""
    kind: Kind
    """How it was asked."""
    sample: str
    """What was sent, in words."""
    rows_per_request: int = Field(ge=1)
    """Rows, texts or pictures of one request."""
    instances: int = Field(ge=1)
    """Runs at once."""
    max_batch_rows: int = Field(ge=0)
    """Rows of one run at most; 0: the model does not batch."""
    curve: tuple[LoadFigures, ...] = Field(min_length=1)
    """Closed loops by ascending number of clients; the first is one client alone."""
    steady: SteadyFigures
    """At about 70 % of capacity."""
    memory_bytes: int = Field(ge=1)
    """Resident size after its load."""

    @property
    def unloaded(self) -> LoadFigures:
        """One client alone."""
        return self.curve[0]

    @property
    def capacity_rps(self) -> float:
        """Most requests a second that a closed loop got."""
        return max(point.requests_per_second for point in self.curve)

    @property
    def capacity_rows(self) -> float:
        """Rows a second at that rate."""
        return self.capacity_rps * self.rows_per_request


class Environment(Config):
    """Where and how it was measured."""

    command: tuple[str, ...]
    """That was measured, or the address of the server that ran already."""
    settings: Mapping[str, str] = Field(default_factory=dict)
    """Of the server, by environment variables."""
    measured_at: str
    """UTC, ISO 8601."""
    quartet: str
    """Version of the server."""
    onnxruntime: str
    """Version of the engine."""
    python: str
    """Version of this command's Python."""
    provider: str
    """Execution provider, for instance CPUExecutionProvider."""
    machine: str
    """Operating system and processor."""
    machine_cpus: int = Field(ge=1)
    """That this command may use; of a server elsewhere, its engine threads."""
    server_cpus: float = Field(gt=0)
    """That the server was given; of one elsewhere, its engine threads: one a CPU of its quota."""
    client_shares_cpus: bool
    """Whether the load generator ran on the server's CPUs, so that capacity is understated."""
    engine_threads: int = Field(ge=1)
    """Threads that run models."""
    others_cpu: float | None = Field(default=None, ge=0)
    """CPUs of the machine that other processes used meanwhile, on average; none: not seen."""


class Measurements(Config):
    """The whole of one measurement."""

    format: Literal[1] = 1
    """Of this file."""
    environment: Environment
    """Where and how."""
    ready_s: float | None = Field(default=None, gt=0)
    """From start to ready; none: the server ran already."""
    rest_bytes: int = Field(ge=1)
    """Resident size when ready, before any load."""
    peak_bytes: int = Field(ge=1)
    """Largest resident size, all loads included."""
    latency_bounds_s: tuple[float, ...] = ()
    """Bounds of the server's latency histogram. An objective must be one of them to be counted."""
    models: tuple[ModelFigures, ...] = Field(min_length=1)
    """By name."""


def load_measurements(file: Path) -> Measurements:
    """Read what ``dump_measurements`` wrote. Raises KitError naming the file and the fault."""
    try:
        return Measurements.model_validate_json(file.read_bytes())
    except OSError as error:
        raise KitError(f"--measurements: cannot read {file}: {error.strerror}") from error
    except ValidationError as error:
        raise KitError(f"--measurements: {file}: {explain(error)}") from error


def dump_measurements(measurements: Measurements) -> str:
    """The text of ``measurements.json``."""
    return measurements.model_dump_json(indent=2) + "\n"
