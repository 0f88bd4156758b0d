"""Alerts on replicas and models that are not there."""

from quartet.monitoring.rules.thresholds import Thresholds
from quartet.monitoring.rules.types import Alert, Group


def service_group(thresholds: Thresholds) -> Group:
    """Is anybody there to answer?"""
    up = f'up{{job="{thresholds.job}"}}'
    minimum = thresholds.min_ready_replicas
    rules: tuple[Alert, ...] = (
        _no_replica_ready(up),
        _target_down(up),
        _not_ready(),
        _model_not_ready(),
        _restarts(thresholds.restarts),
    )
    if minimum > 0:
        rules = (_absent(up, thresholds.job), *rules)
    if minimum > 1:
        rules = (*rules, _replica_missing(up, minimum))
    return Group("quartet.service", rules)


def _absent(up: str, job: str) -> Alert:
    return Alert(
        name="QuartetAbsent",
        expr=f"absent({up} == 1)",
        wait="2m",
        severity="critical",
        runbook="replica-missing",
        summary=f"no server of the job {job} can be reached",
        description=(
            "Prometheus has scraped no server for 2 minutes: all are gone, their metrics port"
            " cannot be reached, or the scrape configuration does not find them."
        ),
        labels={"job": job},  # absent() of a comparison has no labels of its own
    )


def _ready_replicas(up: str) -> str:
    """Ready replicas of each service, 0 where none of its targets can be scraped."""
    ready = "sum by (namespace, job) (quartet_ready)"
    return f"({ready} or sum by (namespace, job) (0 * {up}))"


def _no_replica_ready(up: str) -> Alert:
    return Alert(
        name="QuartetNoReplicaReady",
        expr=f"{_ready_replicas(up)} == 0",
        wait="2m",
        severity="critical",
        runbook="replica-missing",
        summary="{{ $labels.job }} has no ready replica",
        description=(
            "For 2 minutes nobody has taken requests. Replicas that start are not ready until"
            " their models are loaded."
        ),
    )


def _replica_missing(up: str, minimum: int) -> Alert:
    return Alert(
        name="QuartetReplicaMissing",
        expr=f"{_ready_replicas(up)} < {minimum}",
        wait="5m",
        severity="warning",
        runbook="replica-missing",
        summary=f"{{{{ $labels.job }}}} has {{{{ $value }}}} ready replicas instead of {minimum}",
        description=(
            "For 5 minutes there have been fewer replicas that take requests than there should be"
            " at least: one is not scheduled, does not start, or is not ready."
        ),
    )


def _target_down(up: str) -> Alert:
    return Alert(
        name="QuartetTargetDown",
        expr=f"{up} == 0",
        wait="2m",
        severity="warning",
        runbook="replica-missing",
        summary="{{ $labels.instance }} of {{ $labels.job }} cannot be scraped",
        description=(
            "Prometheus knows this replica but has not reached its metrics port for 2 minutes. Its"
            " other alerts are silent as long as that lasts."
        ),
    )


def _not_ready() -> Alert:
    return Alert(
        name="QuartetNotReady",
        expr="quartet_ready == 0",
        wait="5m",
        severity="warning",
        runbook="model-does-not-become-ready",
        summary="{{ $labels.instance }} of {{ $labels.job }} is not ready",
        description=(
            "The server runs but has not been ready for 5 minutes: a required model does not load,"
            " or it drains longer than its settings allow. GET /v2/health/ready says which."
        ),
    )


def _model_not_ready() -> Alert:
    return Alert(
        name="QuartetModelNotReady",
        expr="quartet_model_ready == 0",
        wait="5m",
        severity="warning",
        runbook="model-does-not-become-ready",
        summary=(
            "model {{ $labels.model }} version {{ $labels.version }} is not ready"
            " on {{ $labels.instance }}"
        ),
        description=(
            "The version lies in the repository but has not been ready for 5 minutes; requests for"
            " it get 503. GET /v2/models/{{ $labels.model }}/versions/{{ $labels.version }}/ready"
            " and the log say why."
        ),
    )


def _restarts(times: int) -> Alert:
    return Alert(
        name="QuartetRestarts",
        expr=(
            "changes(process_start_time_seconds[1h])"
            f" >= {times} and on (job, instance) last_over_time(quartet_ready[1h])"
        ),
        severity="warning",
        runbook="replica-missing",
        summary="{{ $labels.instance }} of {{ $labels.job }} restarts again and again",
        description=(
            "{{ $value }} restarts within an hour. Look for the reason of the last end: memory"
            " limit (OOMKilled), a liveness probe that fails, or a fault at start."
        ),
    )
