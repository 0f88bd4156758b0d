"""Rows on single models: are they ready, what do they get, how do they batch."""

from quartet.monitoring import queries
from quartet.monitoring.dashboard.panels import Panel, Query, at_least, limits
from quartet.monitoring.dashboard.variables import MODEL, WINDOW
from quartet.monitoring.rules.thresholds import Thresholds

NAME = "{{model}} {{version}}"
VERSION = "model, version"


def models(thresholds: Thresholds) -> tuple[Panel, ...]:
    """Each model version on its own, over the chosen replicas."""
    return (
        _ready(),
        _load_time(),
        _per_version(
            "Requests by model",
            "Requests a second.",
            queries.rate("quartet_requests_total", MODEL, VERSION, WINDOW),
            unit="reqps",
        ),
        _per_version(
            "Latency p99 by model",
            "99 % of requests took no longer.",
            queries.quantile(0.99, "quartet_request_duration_seconds", MODEL, VERSION, WINDOW),
            unit="s",
            runbook="latency-budget-burns",
        ),
        _failures(),
        _fill(thresholds),
        _age(thresholds),
        _busy(),
    )


def batching() -> tuple[Panel, ...]:
    """What becomes of rows between the queue and the engine."""
    return (
        _batch_sizes(),
        _per_version(
            "Mean batch size",
            "Rows of a run. Larger batches use the engine better; they need rows that wait.",
            queries.mean("quartet_batch_size", MODEL, VERSION, WINDOW),
            unit="short",
        ),
        _per_version(
            "Rows a second",
            "Rows that the engine computed: the throughput of a model.",
            queries.rate("nv_inference_count", MODEL, VERSION, WINDOW),
            unit="rowsps",
        ),
        _two_quantiles(
            "Queue time",
            "From a request's submission until its batch was formed, p50 and p99.",
            "quartet_queue_duration_seconds",
        ),
        _two_quantiles(
            "Execution time",
            "One run of the engine, p50 and p99. It grows with the batch.",
            "quartet_execution_duration_seconds",
        ),
        _per_version(
            "Runs a second",
            "Runs of the engine.",
            queries.rate("nv_inference_exec_count", MODEL, VERSION, WINDOW),
            unit="cps",
        ),
    )


def _per_version(title: str, description: str, expr: str, *, unit: str, runbook: str = "") -> Panel:
    return Panel(
        title=title,
        description=description,
        queries=(Query(expr, NAME),),
        unit=unit,
        runbook=runbook,
    )


def _ready() -> Panel:
    return Panel(
        title="Ready by model",
        description="Share of the replicas on which a version is ready. 1: on all of them.",
        queries=(Query(f"avg by ({VERSION}) (quartet_model_ready{{{MODEL}}})", NAME),),
        unit="percentunit",
        kind="stat",
        width=16,
        height=6,
        steps=at_least(1),
        runbook="model-does-not-become-ready",
    )


def _load_time() -> Panel:
    return Panel(
        title="Load time",
        description="Seconds from the start of a version's load until it was ready; the slowest.",
        queries=(Query(f"max by ({VERSION}) (quartet_model_load_seconds{{{MODEL}}})", NAME),),
        unit="s",
        kind="stat",
        height=6,
        runbook="model-does-not-become-ready",
    )


def _failures() -> Panel:
    refused = f'{MODEL},outcome!~"ok|cancelled"'
    by = f"{VERSION}, outcome"
    return Panel(
        title="Failures by model",
        description="Requests a second that were not answered, by outcome.",
        queries=(
            Query(
                f"{queries.rate('quartet_requests_total', refused, by, WINDOW)} > 0",
                f"{NAME} {{{{outcome}}}}",
            ),
        ),
        unit="reqps",
        runbook="error-budget-burns",
    )


def _fill(thresholds: Thresholds) -> Panel:
    return Panel(
        title="Queue fill",
        description="Waiting rows over the queue's limit, fullest replica. At 1 requests get 429.",
        queries=(
            Query(
                f"max by ({VERSION})"
                f" (quartet_queue_size{{{MODEL}}} / quartet_queue_limit{{{MODEL}}})",
                NAME,
            ),
        ),
        unit="percentunit",
        maximum=1,
        steps=limits(thresholds.queue_fill),
        runbook="queue-grows",
    )


def _age(thresholds: Thresholds) -> Panel:
    return Panel(
        title="Oldest waiting request",
        description="How long the request that waits longest has waited so far, any replica.",
        queries=(Query(f"max by ({VERSION}) (quartet_queue_age_seconds{{{MODEL}}})", NAME),),
        unit="s",
        steps=limits(thresholds.queue_age_s),
        runbook="queue-grows",
    )


def _busy() -> Panel:
    return Panel(
        title="Busy instances",
        description="Runs under way over the model's instances, mean of the replicas over 15 s.",
        queries=(Query(f"avg by ({VERSION}) (quartet_model_utilization{{{MODEL}}})", NAME),),
        unit="percentunit",
        maximum=1,
        runbook="capacity-planning",
    )


def _batch_sizes() -> Panel:
    return Panel(
        title="Batch sizes",
        description="Runs by their number of rows: a run stands at the bound that it stays below.",
        queries=(
            Query(
                f"sum by (le) (increase(quartet_batch_size_bucket{{{MODEL}}}[{WINDOW}]))", "{{le}}"
            ),
        ),
        unit="short",
        kind="heatmap",
    )


def _two_quantiles(title: str, description: str, histogram: str) -> Panel:
    return Panel(
        title=title,
        description=description,
        queries=tuple(
            Query(
                queries.quantile(share, histogram, MODEL, VERSION, WINDOW),
                f"p{share * 100:g} {NAME}",
            )
            for share in (0.5, 0.99)
        ),
        unit="s",
    )
