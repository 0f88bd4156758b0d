"""What one model allows a replica to do: its latency objective, its load, its queue."""

from dataclasses import dataclass

from quartet.kit.measurements import Kind, Measurements, ModelFigures
from quartet.kit.options import KitOptions

LEAST_LOAD = 0.1
"""Share of capacity below which no replica is planned, whatever the objective."""
QUEUE_SHARE = 0.5
"""Of the time that an objective leaves for waiting; the rest is for a replica to start working."""
NATURAL_QUEUE = 2.0
"""Queue target over the mean queue at the steady load, below which it would scale for nothing."""
MIN_QUEUE_TARGET = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSizing:
    """Numbers of one model."""

    name: str
    kind: Kind
    objective_s: float
    """99 of 100 requests are answered within it, seconds."""
    alert_s: float | None
    """The histogram's bound that alerts take for it; none: the task has no objective there."""
    of_first_symbol: bool
    """``alert_s`` is of the first symbol of a text, not of the whole answer."""
    reachable: bool
    """Whether a request alone keeps the objective."""
    load: float
    """Share of capacity at which p99 keeps the objective, at most the measured one."""
    capacity_rps: float
    capacity_rows: float
    utilization: float
    """Busy fraction of the engine at ``load``."""
    loop_utilization: float
    """Of the event loop."""
    cpu_cores: float
    """CPUs that are busy at ``load``."""
    queue_time_s: float
    """That a request may wait and keep the objective, halved."""
    queue_target_rows: int
    """Rows that wait so long."""
    useful_queue_rows: int
    """Rows that are served within the wait that clients have use for."""

    @property
    def engine_bound(self) -> bool:
        """Whether it fills the engine more than the event loop."""
        return self.utilization >= self.loop_utilization


def size_model(model: ModelFigures, measurements: Measurements, options: KitOptions) -> ModelSizing:
    """Size for one model."""
    objective_s = latency_objective(model, measurements.latency_bounds_s, options)
    steady_load = min(1.0, (model.steady.offered_rps or 0.0) / model.capacity_rps)
    load = load_for(model.unloaded.p99_s, model.steady.p99_s, steady_load, objective_s)
    part = load / steady_load
    queue_time_s = max(0.0, objective_s - model.unloaded.p99_s) * QUEUE_SHARE
    alert_s = alert_bound(model, measurements.latency_bounds_s, objective_s, options)
    return ModelSizing(
        name=model.name,
        kind=model.kind,
        objective_s=objective_s,
        alert_s=alert_s,
        of_first_symbol=model.steady.first_symbol_p99_s is not None,
        reachable=model.unloaded.p99_s <= objective_s,
        load=load,
        capacity_rps=model.capacity_rps,
        capacity_rows=model.capacity_rows,
        utilization=model.steady.utilization * part,
        loop_utilization=model.steady.loop_utilization * part,
        cpu_cores=model.steady.cpu_cores * part,
        queue_time_s=queue_time_s,
        queue_target_rows=queue_target(model, queue_time_s),
        useful_queue_rows=max(1, int(model.capacity_rows * options.queue_timeout_s)),
    )


def latency_objective(
    model: ModelFigures, bounds_s: tuple[float, ...], options: KitOptions
) -> float:
    """The stated one, or the p99 at the steady load times a factor, up to a bound if there is one.

    Bounds are those of the server's histogram: between two of them Prometheus cannot tell. It is
    never longer than the wait that clients have use for.
    """
    if model.name in options.latency_objective_ms:
        return options.latency_objective_ms[model.name] / 1000
    seconds = min(model.steady.p99_s * options.latency_factor, options.queue_timeout_s)
    return _bound_above(seconds, bounds_s)


def alert_bound(
    model: ModelFigures, bounds_s: tuple[float, ...], objective_s: float, options: KitOptions
) -> float | None:
    """What alerts compare with.

    Of tensors, the smallest bound that is not below the objective. Of texts and captions, the same
    of the first symbol, since the length of the rest is the client's choice; of pictures none.
    """
    if model.kind == "tensors":
        seconds = objective_s
    elif model.steady.first_symbol_p99_s is not None:
        seconds = model.steady.first_symbol_p99_s * options.latency_factor
        seconds = min(seconds, options.queue_timeout_s)
    else:
        return None
    bound = _bound_above(seconds, bounds_s)
    return bound if bound in bounds_s else None


def _bound_above(seconds: float, bounds_s: tuple[float, ...]) -> float:
    return min((bound for bound in bounds_s if bound >= seconds), default=seconds)


def load_for(unloaded_s: float, steady_s: float, steady_load: float, objective_s: float) -> float:
    """Share of capacity at which latency is the objective; at most ``steady_load``.

    Waiting grows with load r as r / (1 - r) (Pollaczek and Khinchine: Kleinrock 1975, "Queueing
    Systems" I, section 5.6). The curve unloaded + b * r / (1 - r) goes through the measured point
    at ``steady_load``; it is never followed beyond that.
    """
    waited_s = steady_s - unloaded_s
    if steady_s <= objective_s or waited_s <= 0:
        return steady_load if steady_s <= objective_s else LEAST_LOAD
    growth_s = waited_s * (1 - steady_load) / steady_load
    odds = max(0.0, objective_s - unloaded_s) / growth_s
    return min(steady_load, max(LEAST_LOAD, odds / (1 + odds)))


def queue_target(model: ModelFigures, queue_time_s: float) -> int:
    """Rows that wait ``queue_time_s``: L = X * W (Little 1961), with X the capacity.

    Not below twice the queue of a replica at its steady load, which needs no help.
    """
    least = max(MIN_QUEUE_TARGET, NATURAL_QUEUE * model.steady.mean_waiting_rows)
    return round(max(least, model.capacity_rows * queue_time_s))
