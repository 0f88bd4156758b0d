"""From measurements to the numbers of a deployment. Pure functions; each names its source.

Loads are shares of capacity, 0 to 1, capacity being the most a closed loop got of one replica.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from quartet.kit.doubts import Doubt, find_doubts
from quartet.kit.errors import KitError
from quartet.kit.measurements import Measurements
from quartet.kit.model_sizing import ModelSizing, size_model
from quartet.kit.options import KitOptions

MIB = 1024 * 1024
MEMORY_STEP_MIB = 64
"""Memory is rounded up to this."""
REQUEST_MARGIN = 1.1
"""Memory request over the measured peak: what differs from run to run."""
LIMIT_MARGIN = 1.5
"""Memory limit over the request: larger bodies and pictures than the measured ones, and what an
allocator keeps. Beyond it the kernel ends the process."""
LEAST_HEADROOM_MIB = 256
"""Of the limit over the request: a few of the largest bodies (64 MiB) at once."""
CPU_STEP_MILLI = 50
STARTUP_FACTOR = 10
"""Time allowed for a start over the measured one: cold files, a slow disk, a CPU that is shared."""
MIN_STARTUP_S = 60
DEFAULT_STARTUP_S = 300
"""Where no start was measured; that of the base."""
DEFAULT_MAX_REPLICAS = 8
DEFAULT_QUEUE_ROWS = 1024
"""The server's own limits, never raised: each row that waits holds its connection and body."""
MIN_QUEUE_ROWS = 64
MAX_TARGET = 0.8
"""Of a busy fraction as a scaling target. The fraction ends at 1, and a HorizontalPodAutoscaler
ignores ratios of less than 1.1, so that a target near 1 would never be passed."""
MIN_TARGET = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizing:
    """Every number that the kit writes."""

    cpu_request_milli: int
    """Thousandths of a CPU."""
    cpu_limit_milli: int
    memory_request_mib: int
    memory_limit_mib: int
    startup_s: int
    """That a replica may take to start."""
    load: float
    """Share of capacity that a replica is given: the least of its models'."""
    capacity_rps: float
    """Requests a second of one replica with the given mix."""
    queue_target_rows: int
    """Waiting rows of one replica beyond which another is wanted."""
    utilization_target: float
    """Busy fraction of the engine, the same."""
    loop_target: float
    """Busy fraction of the event loop, the same."""
    max_queue_rows: int
    """Rows of one model that may wait before requests are refused."""
    max_waiting_texts: int | None
    """Texts of one model that may wait for a slot, the same; none: no model writes text."""
    replicas: int | None
    """That the stated load needs; none: no load was stated."""
    min_replicas: int
    max_replicas: int
    models: tuple[ModelSizing, ...]
    doubts: tuple[Doubt, ...]
    """What in the measurement should not be trusted as it is."""


def size(measurements: Measurements, options: KitOptions) -> Sizing:
    """Size a deployment.

    Raises:
        KitError: options name a model that was not measured, or contradict each other.
    """
    weights = request_shares([m.name for m in measurements.models], options.mix)
    _check_names(measurements, options.latency_objective_ms, "--latency-objective-ms")
    models = tuple(size_model(m, measurements, options) for m in measurements.models)
    used = [model for model in models if weights[model.name] > 0]
    load = min(model.load for model in used)
    capacity = mixed_capacity({m.name: m.capacity_rps for m in models}, weights)
    engine, loop = busy_targets(used, time_shares(used, weights))
    cores = min(max(model.cpu_cores for model in used), measurements.environment.server_cpus)
    request_mib = _up(measurements.peak_bytes / MIB * REQUEST_MARGIN, MEMORY_STEP_MIB)
    replicas, most = replica_range(options, capacity, load)
    texts = [m.useful_queue_rows for m in used if m.kind in ("text", "captions")]
    return Sizing(
        cpu_request_milli=_up(cores * 1000, CPU_STEP_MILLI),
        cpu_limit_milli=_up(measurements.environment.server_cpus * 1000, CPU_STEP_MILLI),
        memory_request_mib=request_mib,
        memory_limit_mib=_up(
            max(request_mib * LIMIT_MARGIN, request_mib + LEAST_HEADROOM_MIB), MEMORY_STEP_MIB
        ),
        startup_s=startup_time(measurements.ready_s),
        load=load,
        capacity_rps=capacity,
        queue_target_rows=min(model.queue_target_rows for model in queueing_models(used)),
        utilization_target=engine,
        loop_target=loop,
        max_queue_rows=queue_limit([m.useful_queue_rows for m in used if m.kind != "text"]),
        max_waiting_texts=queue_limit(texts) if texts else None,
        replicas=replicas,
        min_replicas=options.min_replicas,
        max_replicas=most,
        models=models,
        doubts=find_doubts(measurements, models),
    )


def request_shares(names: Sequence[str], mix: Mapping[str, float]) -> dict[str, float]:
    """Share of each model in the requests, adding up to 1; equal ones where ``mix`` is empty.

    A model that a mix does not name gets none. Raises KitError for a name that was not measured.
    """
    for name in mix:
        if name not in names:
            raise KitError(f"--mix {name}: measured were {', '.join(names)}")
    weights = {name: mix.get(name, 0.0) if mix else 1.0 for name in names}
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()}


def mixed_capacity(capacities: Mapping[str, float], shares: Mapping[str, float]) -> float:
    """Requests a second of a replica whose requests are divided by ``shares``.

    A request of model i takes 1/C_i of a replica's second, so one of the mix takes the sum of
    w_i / C_i (utilization law, Denning and Buzen 1978). Pessimistic where models need different
    resources, such as the engine and the event loop.
    """
    return 1 / sum(share / capacities[name] for name, share in shares.items() if share > 0)


def time_shares(models: Sequence[ModelSizing], shares: Mapping[str, float]) -> dict[str, float]:
    """Share of a replica's time that each model takes, for given shares of the requests."""
    times = {model.name: shares[model.name] / model.capacity_rps for model in models}
    total = sum(times.values())
    return {name: time / total for name, time in times.items()}


def busy_targets(models: Sequence[ModelSizing], shares: Mapping[str, float]) -> tuple[float, float]:
    """Scaling targets of the engine's and the event loop's busy fractions.

    At its load each model fills the engine or the loop more. The target of each is the least of
    what the models that fill it more make of it: so any model alone passes one of both targets
    when it has its load. In a mix both could stay below; then both are lowered until the mix, which
    fills each by the models' shares of time, passes one.
    """
    engine = min((m.utilization for m in models if m.engine_bound), default=MAX_TARGET)
    loop = min((m.loop_utilization for m in models if not m.engine_bound), default=MAX_TARGET)
    mixed_engine = sum(shares[m.name] * m.utilization for m in models)
    mixed_loop = sum(shares[m.name] * m.loop_utilization for m in models)
    scale = min(1.0, max(mixed_engine / engine, mixed_loop / loop))
    return _target(engine * scale), _target(loop * scale)


def queueing_models(models: Sequence[ModelSizing]) -> Sequence[ModelSizing]:
    """Those whose queue tells that a replica is wanted.

    Texts share runs and wait only once all slots are taken, far beyond a replica's load; and where
    one request alone misses the objective, no length of a queue is right.
    """
    return [m for m in models if m.kind != "text" and m.reachable] or models


def _target(fraction: float) -> float:
    """Down to hundredths, within what a target can be."""
    return min(MAX_TARGET, max(MIN_TARGET, math.floor(fraction * 100) / 100))


def startup_time(ready_s: float | None) -> int:
    """Seconds that a replica may take to start, whole tens."""
    if ready_s is None:
        return DEFAULT_STARTUP_S
    return _up(max(MIN_STARTUP_S, ready_s * STARTUP_FACTOR), 10)


def queue_limit(useful_rows: Sequence[int]) -> int:
    """Rows of any one model that may wait.

    One setting for all models: the largest that any has use for, so that none is refused early.
    """
    return min(DEFAULT_QUEUE_ROWS, max((MIN_QUEUE_ROWS, *useful_rows)))


def replica_range(options: KitOptions, capacity_rps: float, load: float) -> tuple[int | None, int]:
    """Replicas that the stated load needs, and how many there may be.

    n = X / (load * C), rounded up: each replica stays at its share of capacity. The most is what
    the load times ``burst`` needs, at least ``min_replicas``, and one for what was not foreseen.

    Raises:
        KitError: ``--max-replicas`` is below ``--min-replicas`` or below what the load needs.
    """
    needed = None
    most = max(DEFAULT_MAX_REPLICAS, options.min_replicas)
    if options.requests_per_second is not None:
        of_one = load * capacity_rps
        needed = max(1, math.ceil(options.requests_per_second / of_one))
        peak = math.ceil(options.requests_per_second * options.burst / of_one)
        most = max(options.min_replicas, peak) + 1
    if options.max_replicas is not None:
        if options.max_replicas < max(needed or 1, options.min_replicas):
            raise KitError(
                f"--max-replicas {options.max_replicas}: the load needs {needed or 1}, "
                f"--min-replicas {options.min_replicas}"
            )
        most = options.max_replicas
    return needed, most


def _check_names(measurements: Measurements, given: Mapping[str, float], flag: str) -> None:
    measured = [model.name for model in measurements.models]
    for name in given:
        if name not in measured:
            raise KitError(f"{flag} {name}: measured were {', '.join(measured)}")


def _up(value: float, step: int) -> int:
    """``value`` up to a multiple of ``step``; what a float adds by rounding does not count."""
    return math.ceil(round(value / step, 6)) * step
