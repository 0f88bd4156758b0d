"""Measurements with round numbers."""

from pathlib import Path
from typing import Any

from quartet.kit.measurements import (
    Environment,
    Kind,
    LoadFigures,
    Measurements,
    ModelFigures,
    SteadyFigures,
)
from quartet.kit.options import KitOptions

BOUNDS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)
MIB = 1024 * 1024


def options(**given: Any) -> KitOptions:
    """Options with the defaults but for ``given``."""
    return KitOptions.model_validate({"model_repo": Path("r"), "out": Path("o"), **given})


def load(rate: float = 100.0, p99_s: float = 0.005, **given: Any) -> LoadFigures:
    """A closed loop."""
    values: dict[str, Any] = {"clients": 1, "requests": 500, "client_cpu": 0.1}
    return LoadFigures.model_validate(
        {**values, "requests_per_second": rate, "p50_s": p99_s / 2, "p99_s": p99_s, **given}
    )


def model(
    name: str = "m",
    *,
    capacity: float = 100.0,
    steady_load: float = 0.7,
    unloaded_p99_s: float = 0.005,
    steady_p99_s: float = 0.010,
    kind: Kind = "tensors",
    rows_per_request: int = 1,
    **of_steady: Any,
) -> ModelFigures:
    """A model whose rate is ``capacity`` with 16 clients and falls with 64."""
    rate = capacity * steady_load
    steady = {
        **load(rate, steady_p99_s).model_dump(),
        "clients": 0,
        "offered_rps": rate,
        "client_lateness_p99_s": 0.0,
        "mean_batch_rows": 4.0,
        "utilization": 0.6,
        "loop_utilization": 0.3,
        "cpu_cores": 0.9,
        "mean_waiting_rows": 0.5,
        **of_steady,
    }
    return ModelFigures(
        name=name,
        version="1",
        kind=kind,
        sample="one row",
        rows_per_request=rows_per_request,
        instances=2,
        max_batch_rows=64,
        curve=(
            load(capacity / 4, unloaded_p99_s, clients=1),
            load(capacity, steady_p99_s * 2, clients=16),
            load(capacity * 0.9, steady_p99_s * 4, clients=64),
        ),
        steady=SteadyFigures.model_validate(steady),
        memory_bytes=300 * MIB,
    )


def environment(**given: Any) -> Environment:
    """A quiet machine of four CPUs."""
    values: dict[str, Any] = {
        "command": ("quartet", "serve", "--model-repository", "r"),
        "measured_at": "2026-01-02T03:04:05+00:00",
        "quartet": "0.1.0",
        "onnxruntime": "1.31.1",
        "python": "3.11.7",
        "provider": "CPUExecutionProvider",
        "machine": "Linux x86_64",
        "machine_cpus": 4,
        "server_cpus": 2.0,
        "client_shares_cpus": False,
        "engine_threads": 2,
        "others_cpu": 0.0,
    }
    return Environment.model_validate({**values, **given})


def measurements(
    *models: ModelFigures, peak_bytes: int = 400 * MIB, ready_s: float | None = 2.0, **of: Any
) -> Measurements:
    """Measurements of ``models``, or of one; ``of`` is of the environment."""
    return Measurements(
        environment=environment(**of),
        ready_s=ready_s,
        rest_bytes=200 * MIB,
        peak_bytes=peak_bytes,
        latency_bounds_s=BOUNDS_S,
        models=models or (model(),),
    )
