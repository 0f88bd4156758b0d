"""SIZING.md: what was measured, and where each number of the kit comes from."""

from collections.abc import Iterable, Iterator, Sequence

from quartet.kit.alerts import SATURATED, thresholds
from quartet.kit.measurements import Measurements, ModelFigures
from quartet.kit.model_sizing import NATURAL_QUEUE, QUEUE_SHARE, ModelSizing
from quartet.kit.options import KitOptions
from quartet.kit.quantities import cpu, fraction, memory, milliseconds
from quartet.kit.sizing import (
    DEFAULT_QUEUE_ROWS,
    LEAST_HEADROOM_MIB,
    LIMIT_MARGIN,
    MAX_TARGET,
    MEMORY_STEP_MIB,
    MIB,
    REQUEST_MARGIN,
    STARTUP_FACTOR,
    Sizing,
    request_shares,
)

Row = Sequence[str]


def report(measurements: Measurements, sizing: Sizing, options: KitOptions) -> str:
    """The text of SIZING.md."""
    blocks = [
        "# Sizing",
        _how(measurements),
        *(_doubts(sizing) if sizing.doubts else ()),
        "## Measured\n\n" + _measured(measurements),
        _curves(measurements),
        "## Numbers and where they come from\n\n" + _numbers(measurements, sizing, options),
        "## Models\n\n" + _models(sizing, options),
        *_narrow_queues(sizing, options),
        "## Replicas\n\n" + _replicas(sizing, options),
    ]
    return "\n\n".join(block.rstrip() for block in blocks) + "\n"


def _how(measurements: Measurements) -> str:
    environment = measurements.environment
    settings = "".join(f", {k}={v}" for k, v in environment.settings.items())
    others = (
        f" Other processes used {environment.others_cpu:.2g} CPUs meanwhile."
        if environment.others_cpu is not None
        else ""
    )
    return (
        f"Measured {environment.measured_at} by `{' '.join(environment.command)}`{settings} on "
        f"{environment.machine}: the server on {environment.server_cpus:g} of "
        f"{environment.machine_cpus} CPUs, {environment.engine_threads} engine thread(s), "
        f"{environment.provider}, quartet {environment.quartet}, ONNX Runtime "
        f"{environment.onnxruntime}.{others} All figures are in `measurements.json`; with "
        "`quartet kit --measurements` the kit is written anew without measuring. Replicas are as "
        "fast as this only on processors like this machine's."
    )


def _doubts(sizing: Sizing) -> Iterator[str]:
    lines = [f"- {'**Grave.** ' if one.grave else ''}{one.text}" for one in sizing.doubts]
    yield "## Doubts\n\n" + "\n".join(lines)


def _measured(measurements: Measurements) -> str:
    ready = f"{measurements.ready_s:.3g} s" if measurements.ready_s else "not measured"
    memory_line = (
        f"Start to ready: {ready}. Resident memory: {measurements.rest_bytes / MIB:.0f} MiB at "
        f"rest, {measurements.peak_bytes / MIB:.0f} MiB at most."
    )
    head = (
        *("model", "request", "alone p50/p99 ms", "capacity req/s"),
        *(
            "at load req/s",
            "p50/p99 ms",
            "rows a run",
            "engine",
            "loop",
            "waiting",
            "CPUs",
            "CPU ms a request",
        ),
    )
    return f"{memory_line}\n\n" + _table(head, map(_measured_row, measurements.models))


def _measured_row(model: ModelFigures) -> Row:
    steady = model.steady
    return (
        f"{model.name}:{model.version}",
        model.sample,
        f"{_ms(model.unloaded.p50_s)} / {_ms(model.unloaded.p99_s)}",
        f"{model.capacity_rps:.4g}",
        f"{steady.requests_per_second:.4g}",
        f"{_ms(steady.p50_s)} / {_ms(steady.p99_s)}",
        f"{steady.mean_batch_rows:.3g}",
        f"{steady.utilization:.2f}",
        f"{steady.loop_utilization:.2f}",
        f"{steady.mean_waiting_rows:.2g}",
        f"{steady.cpu_cores:.2f}",
        _ms(steady.cpu_cores / (steady.offered_rps or steady.requests_per_second)),
    )


def _curves(measurements: Measurements) -> str:
    head = ("model", "clients", "requests/s", "p50 ms", "p99 ms", "load generator busy")
    rows = [
        (
            f"{model.name}:{model.version}",
            f"{point.clients}",
            f"{point.requests_per_second:.4g}",
            _ms(point.p50_s),
            _ms(point.p99_s),
            f"{point.client_cpu:.0%}",
        )
        for model in measurements.models
        for point in model.curve
    ]
    text = "Closed loops, each client sending when it is answered; capacity is the highest rate:"
    return f"{text}\n\n" + _table(head, rows)


def _numbers(measurements: Measurements, sizing: Sizing, options: KitOptions) -> str:
    rows = [*_resources(measurements, sizing), *_scaling(sizing), *_alerts(sizing, options)]
    return _table(("number", "value", "from"), rows)


def _resources(measurements: Measurements, sizing: Sizing) -> Iterator[Row]:
    yield (
        "memory request",
        memory(sizing.memory_request_mib),
        f"peak x {REQUEST_MARGIN:g}, up to {MEMORY_STEP_MIB} Mi",
    )
    yield (
        "memory limit",
        memory(sizing.memory_limit_mib),
        f"request x {LIMIT_MARGIN:g}, at least {LEAST_HEADROOM_MIB} Mi more",
    )
    yield (
        "CPU request",
        cpu(sizing.cpu_request_milli),
        "CPUs busy at a replica's load, of the model that keeps most busy",
    )
    yield "CPU limit", cpu(sizing.cpu_limit_milli), "CPUs that the measured server had"
    source = (
        f"start to ready x {STARTUP_FACTOR}, at least 60 s"
        if measurements.ready_s
        else "the base's: no start was measured"
    )
    yield "startup probe", f"{sizing.startup_s} s", source


def _scaling(sizing: Sizing) -> Iterator[Row]:
    yield (
        "load of a replica",
        f"{sizing.load:.2f}",
        "share of capacity at which each p99 keeps its objective; at most the measured one",
    )
    yield (
        "quartet_queue_size",
        f"{sizing.queue_target_rows} rows",
        f"capacity x queue time (Little's law), least of the models; at least {NATURAL_QUEUE:g} x "
        "the queue measured at load",
    )
    yield (
        "quartet_utilization",
        fraction(sizing.utilization_target),
        f"measured at load, least of the models that fill the engine first; at most {MAX_TARGET:g}",
    )
    yield (
        "quartet_loop_utilization",
        fraction(sizing.loop_target),
        "the same of those that fill the event loop first; both lowered until the mix passes one",
    )
    yield (
        "QUARTET_MAX_QUEUE_ROWS",
        f"{sizing.max_queue_rows}",
        f"capacity x --queue-timeout-s of the fastest model, at most {DEFAULT_QUEUE_ROWS}",
    )
    if sizing.max_waiting_texts is not None:
        yield (
            "QUARTET_GENERATION__MAX_WAITING_ROWS",
            f"{sizing.max_waiting_texts}",
            "the same of models that write texts",
        )


def _alerts(sizing: Sizing, options: KitOptions) -> Iterator[Row]:
    limits = thresholds(sizing, options)
    yield (
        "alert: queue grows",
        f"{limits.queue_rows} rows",
        "twice the scaling target, for 5 minutes",
    )
    yield "alert: oldest request", f"{limits.queue_age_s:g} s", "--queue-timeout-s"
    yield (
        "alert: engine / loop full",
        f"{limits.engine_utilization:g} / {limits.loop_utilization:g}",
        f"{SATURATED:g} x the busy fraction at full capacity, by the utilization law",
    )
    yield "availability", f"{options.availability:.4%}", "--availability"


def _models(sizing: Sizing, options: KitOptions) -> str:
    shares = request_shares([m.name for m in sizing.models], options.mix)
    head = (
        *("model", "share", "objective p99 ms", "alert bound", "load", "a replica takes req/s"),
        *("fills first", "queue time ms", "queue target rows"),
    )
    rows = [_model_row(model, shares[model.name]) for model in sizing.models]
    text = (
        f"Queue time is {QUEUE_SHARE:.0%} of what the objective leaves beyond the p99 of a request "
        "alone. Objectives are stated, or the p99 at load x --latency-factor up to the next bound "
        "of the server's histogram. Alerts on texts are about their first symbol."
    )
    return f"{text}\n\n" + _table(head, rows)


def _model_row(model: ModelSizing, share: float) -> Row:
    alert = "none" if model.alert_s is None else f"{_ms(model.alert_s)} ms"
    if model.of_first_symbol:
        alert += ", first symbol"
    return (
        model.name,
        f"{share:.0%}",
        _ms(model.objective_s),
        alert,
        f"{model.load:.2f}",
        f"{model.load * model.capacity_rps:.4g}",
        "engine" if model.engine_bound else "event loop",
        _ms(model.queue_time_s),
        f"{model.queue_target_rows}",
    )


def _narrow_queues(sizing: Sizing, options: KitOptions) -> Iterator[str]:
    slow = [
        model
        for model in sizing.models
        if model.kind in ("tensors", "pictures") and model.useful_queue_rows < sizing.max_queue_rows
    ]
    if not slow:
        return
    yield (
        "The queue's limit holds for every model; in these it is longer than what is served within "
        f"{options.queue_timeout_s:g} s. Their `config.pbtxt` can lower it:"
    )
    lines = [
        f"# {model.name}\ndynamic_batching {{ default_queue_policy {{ "
        f"max_queue_size: {model.useful_queue_rows} }} }}"
        for model in slow
    ]
    yield "```\n" + "\n".join(lines) + "\n```"


def _replicas(sizing: Sizing, options: KitOptions) -> str:
    of_one = sizing.load * sizing.capacity_rps
    text = (
        f"One replica does {sizing.capacity_rps:.4g} requests/s of the mix at most (the inverse of "
        f"the mean time of a request) and is given {of_one:.4g}. "
        f"Replicas: {sizing.min_replicas} to {sizing.max_replicas}."
    )
    if sizing.replicas is not None:
        text += (
            f" The expected {options.requests_per_second:g} requests/s need {sizing.replicas}; "
            f"{options.burst:g} times as many, and one more, give the most."
        )
    counts = sorted({1, 2, sizing.min_replicas, 4, 8, sizing.replicas or 1, sizing.max_replicas})
    rows = [(f"{count}", f"{count * of_one:.4g}") for count in counts]
    return f"{text}\n\n" + _table(("replicas", "requests/s of the mix"), rows)


def _table(head: Row, rows: Iterable[Row]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _ms(seconds: float) -> str:
    return milliseconds(seconds)
