"""What one replica does with its time: measured by ``measurement``, used by the simulation."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field

Floats = npt.NDArray[np.float64]


class Service(BaseModel):
    """One model on one server."""

    name: str
    description: str
    instances: int = Field(ge=1)
    """Runs at once, and engine threads."""
    request_rows: int = Field(default=1, ge=1)
    """Rows of every request."""
    max_batch: int = Field(ge=1)
    """Requests of one run, at most."""
    sizes: list[int]
    """Requests of the runs that were measured, from 1 to ``max_batch``."""
    run_s: list[float]
    """Seconds that such a run keeps an engine thread busy where nothing else runs."""
    loop_s: float = Field(ge=0)
    """CPU seconds of the event loop a request."""
    cpu_share: float = Field(ge=0)
    """CPU seconds a second that the engine is busy: 1 for one on the CPU, less on a device."""
    beyond_s: float = Field(ge=0)
    """Latency of a request that meets no other, less its run."""
    cpu_limit: float = Field(gt=0)
    """CPUs that the container may use."""
    queue_limit: int = Field(default=1024, ge=1)
    """Requests that may wait before more are refused."""

    def curve(self) -> Floats:
        """Seconds of a run by its requests, index 0 unused; between what was measured, linear."""
        sizes = np.arange(self.max_batch + 1)
        return np.interp(sizes, self.sizes, self.run_s)

    @property
    def capacity(self) -> float:
        """Requests a second with all instances busy and batches of the best size."""
        curve = self.curve()
        return float(self.instances * np.max(np.arange(1, len(curve)) / curve[1:]))


class Measured(BaseModel):
    """Everything the simulation takes from a real server."""

    environment: list[str]
    """What it was measured on and with."""
    start_s: float
    """From the start of the process to readiness, all models loaded, on a CPU of its own."""
    services: list[Service]

    def service(self, name: str) -> Service:
        """The service of that name. Raises KeyError."""
        return {service.name: service for service in self.services}[name]


def load_measured(file: Path) -> Measured:
    """Read what ``measurement`` wrote. Raises OSError, pydantic.ValidationError."""
    return Measured.model_validate_json(file.read_text(encoding="utf-8"))
