"""Alerts on work that waits or is refused, and on what it waits for."""

from quartet.monitoring.rules.thresholds import Thresholds
from quartet.monitoring.rules.types import Alert, Group

MODEL = "model {{ $labels.model }} version {{ $labels.version }}"


def load_group(thresholds: Thresholds) -> Group:
    """Is there more work than the replicas can do?"""
    return Group(
        "quartet.load",
        (
            _queue_grows(thresholds.queue_rows),
            _queue_almost_full(thresholds.queue_fill),
            _requests_wait(thresholds.queue_age_s),
            _rejected(thresholds.rejected_fraction),
            _engine_saturated(thresholds.engine_utilization),
            _loop_saturated(thresholds.loop_utilization),
            _slots_full(),
        ),
    )


def _queue_grows(rows: int) -> Alert:
    return Alert(
        name="QuartetQueueGrows",
        expr=(
            f"avg_over_time(quartet_queue_size[5m]) > {rows}\n"
            f"  and deriv(quartet_queue_size[15m]) * 900 > {rows}"
        ),
        wait="5m",
        severity="warning",
        runbook="queue-grows",
        summary=f"the queue of {MODEL} grows on {{{{ $labels.instance }}}}",
        description=(
            "{{ $value | humanize }} rows wait on average of 5 minutes, and the line through the"
            f" last 15 minutes rises by more than {rows}: more work comes than is done."
        ),
    )


def _queue_almost_full(fill: float) -> Alert:
    return Alert(
        name="QuartetQueueAlmostFull",
        expr=f"avg_over_time(quartet_queue_size[2m]) / quartet_queue_limit > {fill:g}",
        wait="1m",
        severity="critical",
        runbook="queue-grows",
        summary=f"the queue of {MODEL} is almost full on {{{{ $labels.instance }}}}",
        description=(
            "{{ $value | humanizePercentage }} of the rows that may wait do so. At 100% requests"
            " are refused with 429 / RESOURCE_EXHAUSTED."
        ),
    )


def _requests_wait(seconds: float) -> Alert:
    return Alert(
        name="QuartetRequestsWait",
        expr=f"quartet_queue_age_seconds > {seconds:g}",
        wait="2m",
        severity="warning",
        runbook="queue-grows",
        summary=f"requests for {MODEL} wait long on {{{{ $labels.instance }}}}",
        description=(
            "The oldest one has waited {{ $value | humanizeDuration }} and is not being worked on;"
            f" for 2 minutes it has been more than {seconds:g} s. The engine is too slow for the"
            " load, or hangs."
        ),
    )


def _rejected(fraction: float) -> Alert:
    by = "sum by (namespace, job, model, version)"
    return Alert(
        name="QuartetRequestsRejected",
        expr=(
            f'{by} (rate(quartet_requests_total{{outcome="rejected"}}[5m]))\n'
            f"  / {by} (rate(quartet_requests_total[5m])) > {fraction:g}"
        ),
        wait="5m",
        severity="warning",
        runbook="queue-grows",
        summary=f"{{{{ $labels.job }}}} refuses requests for {MODEL}",
        description=(
            "{{ $value | humanizePercentage }} of the requests of 5 minutes were refused with 429 /"
            " RESOURCE_EXHAUSTED because a queue was full."
        ),
    )


def _engine_saturated(fraction: float) -> Alert:
    return Alert(
        name="QuartetEngineSaturated",
        expr=f"avg by (namespace, job) (avg_over_time(quartet_utilization[5m])) > {fraction:g}",
        wait="15m",
        severity="warning",
        runbook="queue-grows",
        summary="the engines of {{ $labels.job }} are busy all the time",
        description=(
            "The replicas' engines have been {{ $value | humanizePercentage }} busy on average for"
            " 15 minutes. More load would only queue: add replicas, or raise their maximum."
        ),
    )


def _loop_saturated(fraction: float) -> Alert:
    return Alert(
        name="QuartetLoopSaturated",
        expr=f"avg_over_time(quartet_loop_utilization[5m]) > {fraction:g}",
        wait="10m",
        severity="warning",
        runbook="queue-grows",
        summary="the event loop of {{ $labels.instance }} is busy all the time",
        description=(
            "The thread that reads and writes all requests has been {{ $value | humanizePercentage"
            " }} busy for 10 minutes. It is one thread however many CPUs there are: add replicas."
        ),
    )


def _slots_full() -> Alert:
    return Alert(
        name="QuartetSlotsFull",
        expr=(
            "min_over_time(quartet_generation_slot_utilization[5m]) >= 1\n"
            '  and ignoring (state) min_over_time(quartet_generation_rows{state="waiting"}[5m]) > 0'
        ),
        wait="10m",
        severity="warning",
        runbook="queue-grows",
        summary=f"all slots of {MODEL} are taken on {{{{ $labels.instance }}}}",
        description=(
            "For 15 minutes every slot has been writing a text while others waited for one. Add"
            " replicas, or raise --generation.slots if the engine has room."
        ),
    )
