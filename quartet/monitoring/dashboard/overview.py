"""Rows on the service as a whole: is it there, does it answer, how fast, how busy."""

from quartet.monitoring import queries
from quartet.monitoring.dashboard.panels import Panel, Query, at_least, limits
from quartet.monitoring.dashboard.variables import MODEL, SERVER, SERVICE, WINDOW
from quartet.monitoring.rules.objectives import FAILED, ratio
from quartet.monitoring.rules.thresholds import Objective, Thresholds

REQUESTS = "quartet_requests_total"
DURATION = "quartet_request_duration_seconds"
PERCENTILES = (0.5, 0.95, 0.99)


def overview(thresholds: Thresholds) -> tuple[Panel, ...]:
    """Six figures, then the same over time."""
    return (
        *_figures(thresholds),
        _requests(),
        _failures(thresholds),
        _latency(),
        _queue(thresholds),
        _utilization(thresholds),
        _by_replica(),
    )


def objectives(thresholds: Thresholds) -> tuple[Panel, ...]:
    """How fast the error budgets are spent."""
    every = (thresholds.availability, *thresholds.latency)
    return (
        _burn_rate(every, "1h", 14.4),
        _burn_rate(every, "6h", 6),
        _burn_rate(every, "3d", 1),
    )


def _figures(thresholds: Thresholds) -> tuple[Panel, ...]:
    total = f"sum(rate({REQUESTS}{{{MODEL}}}[{WINDOW}]))"
    queue_limit = f"sum(quartet_queue_limit{{{MODEL}}})"
    return (
        _figure(
            "Ready replicas",
            "Replicas that take requests, of those that Prometheus knows.",
            queries.ready_replicas(SERVER),
            steps=at_least(thresholds.min_ready_replicas),
            runbook="replica-missing",
        ),
        _figure("Requests", "Requests a second, whatever became of them.", total, unit="reqps"),
        _figure(
            "Failed",
            "Share of valid requests that failed: outcomes error, unavailable, rejected, deadline.",
            _failed_share(MODEL),
            unit="percentunit",
            steps=limits(thresholds.availability.budget, 14.4 * thresholds.availability.budget),
            runbook="error-budget-burns",
        ),
        _figure(
            "Latency p99",
            "99 % of requests took no longer, generators of texts and pictures included.",
            queries.quantile(0.99, DURATION, MODEL, "", WINDOW),
            unit="s",
            runbook="latency-budget-burns",
        ),
        _figure(
            "Waiting rows",
            "Rows in all queues over the rows that the queues hold.",
            f"{queries.waiting_rows(MODEL)} / {queue_limit}",
            unit="percentunit",
            steps=limits(0.5, thresholds.queue_fill),
            runbook="queue-grows",
        ),
        _figure(
            "Engine busy",
            "Mean busy fraction of the replicas' engines. At 1, more load only queues.",
            f"avg(quartet_utilization{{{SERVER}}})",
            unit="percentunit",
            steps=limits(queries.UTILIZATION_TARGET, thresholds.engine_utilization),
            runbook="capacity-planning",
        ),
    )


def _figure(
    title: str,
    description: str,
    expr: str,
    *,
    unit: str = "short",
    steps: tuple[tuple[float | None, str], ...] = (),
    runbook: str = "",
) -> Panel:
    return Panel(
        title=title,
        description=description,
        queries=(Query(expr),),
        unit=unit,
        kind="stat",
        width=4,
        height=4,
        steps=steps,
        runbook=runbook,
    )


def _failed_share(selector: str) -> str:
    valid = f'{selector},outcome=~"ok|{FAILED}"'
    failed = f'{selector},outcome=~"{FAILED}"'
    return (
        f"sum(rate({REQUESTS}{{{failed}}}[{WINDOW}])) / sum(rate({REQUESTS}{{{valid}}}[{WINDOW}]))"
    )


def _requests() -> Panel:
    return Panel(
        title="Requests by outcome",
        description="Requests a second. invalid, not_found and cancelled are their clients' doing.",
        queries=(Query(queries.rate(REQUESTS, MODEL, "outcome", WINDOW), "{{outcome}}"),),
        unit="reqps",
        stacked=True,
    )


def _failures(thresholds: Thresholds) -> Panel:
    failed = f'{MODEL},outcome=~"{FAILED}"'
    every = f"ignoring (outcome) group_left sum(rate({REQUESTS}{{{MODEL}}}[{WINDOW}]))"
    return Panel(
        title="Failed requests",
        description="Share of all requests, by outcome. The line is what the objective allows.",
        queries=(
            Query(f"{queries.rate(REQUESTS, failed, 'outcome', WINDOW)} / {every}", "{{outcome}}"),
        ),
        unit="percentunit",
        steps=limits(thresholds.availability.budget),
        stacked=True,
        runbook="error-budget-burns",
    )


def _latency() -> Panel:
    return Panel(
        title="Latency",
        description="From the decoded request to its answer, over all chosen models.",
        queries=tuple(
            Query(queries.quantile(share, DURATION, MODEL, "", WINDOW), f"p{share * 100:g}")
            for share in PERCENTILES
        ),
        unit="s",
        runbook="latency-budget-burns",
    )


def _queue(thresholds: Thresholds) -> Panel:
    return Panel(
        title="Waiting rows by replica",
        description="Rows of all models that wait in a replica. The line is what one should hold.",
        queries=(Query(f"sum by (pod) (quartet_queue_size{{{MODEL}}})", "{{pod}}"),),
        unit="short",
        steps=limits(thresholds.queue_rows),
        runbook="queue-grows",
    )


def _utilization(thresholds: Thresholds) -> Panel:
    return Panel(
        title="Busy fraction",
        description=(
            "Of the engine, and of the event loop that reads and writes all requests, for each"
            " replica over 15 s. Small models fill the loop before the engine."
        ),
        queries=(
            Query(f"quartet_utilization{{{SERVER}}}", "engine {{pod}}"),
            Query(f"quartet_loop_utilization{{{SERVER}}}", "loop {{pod}}"),
        ),
        unit="percentunit",
        maximum=1,
        steps=limits(queries.UTILIZATION_TARGET, thresholds.engine_utilization),
        runbook="capacity-planning",
    )


def _by_replica() -> Panel:
    return Panel(
        title="Requests by replica",
        description="Requests a second. Lines far apart: clients do not balance their connections.",
        queries=(Query(queries.rate(REQUESTS, MODEL, "pod", WINDOW), "{{pod}}"),),
        unit="reqps",
    )


def _burn_rate(every: tuple[Objective, ...], window: str, factor: float) -> Panel:
    return Panel(
        title=f"Burn rate, {window}",
        description=(
            "How many times faster than in 30 days the error budgets were spent in the last"
            f" {window}. Above the line for long enough, an alert is raised. Needs the recording"
            " rules."
        ),
        queries=tuple(
            Query(
                f'{ratio(window)}{{{SERVICE},objective="{one.name}"}} / {one.budget:g}',
                f"{one.name} {{{{job}}}}",
            )
            for one in every
        ),
        unit="short",
        steps=limits(factor),
        runbook="error-budget-burns",
    )
