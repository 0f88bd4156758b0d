"""Service level objectives: bad and valid requests, and alerts on the rate that a budget burns at.

Source: Google, The Site Reliability Workbook, chapter 5, "Multiwindow, Multi-Burn-Rate Alerts".
A burn rate of 1 spends the budget of 30 days in 30 days.

Long windows average the recorded rates of 5 minutes, so that three days of a thousand replicas
cost one series each and not millions of samples. Numerator and denominator are averaged apart:
a window's ratio weighs each request alike, busy hour or not.
"""

from dataclasses import dataclass

from quartet.monitoring.queries import matcher
from quartet.monitoring.rules.thresholds import LatencyObjective, Objective, Thresholds
from quartet.monitoring.rules.types import EVALUATION_S, Alert, Group, Recording, Severity

BAD = "namespace_job_objective:quartet_bad_requests:rate5m"
"""Requests a second that miss an objective."""
VALID = "namespace_job_objective:quartet_valid_requests:rate5m"
"""Requests a second that an objective counts."""
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
FAILED = "error|unavailable|rejected|deadline"
"""Outcomes that are the service's fault."""
COUNTED = f"ok|{FAILED}"
GENERATORS = (
    "(last_over_time(quartet_generation_slots[10m])"
    " or last_over_time(quartet_images_in_flight[10m]))"
)
"""Models whose requests take as long as the client asks for. Looks back further than a rate does,
so that a replica's end does not turn its texts into slow requests."""


def ratio(window: str) -> str:
    """Name of the recorded share of bad requests over ``window``, one of ``WINDOWS``."""
    return f"namespace_job_objective:quartet_bad_requests:ratio_rate{window}"


@dataclass(frozen=True, slots=True)
class BurnRate:
    """One pair of windows of the workbook's table 5-8."""

    factor: float
    """Burn rate above which the alert is raised."""
    long: str
    """Window that makes it significant."""
    short: str
    """Window that ends it soon after the cause is gone."""
    severity: Severity


BURN_RATES = (
    BurnRate(14.4, "1h", "5m", "critical"),
    BurnRate(6, "6h", "30m", "critical"),
    BurnRate(3, "1d", "2h", "warning"),
    BurnRate(1, "3d", "6h", "warning"),
)
"""2 % of a month's budget in 1 h, 5 % in 6 h, 10 % in 1 d, 10 % in 3 d."""


def objective_groups(thresholds: Thresholds) -> tuple[Group, ...]:
    """Recording rules of all objectives, and their alerts."""
    objectives = (thresholds.availability, *thresholds.latency)
    recordings = [rule for one in objectives for rule in _rates(one)]
    recordings += [_ratio(window) for window in WINDOWS]
    alerts = [_alert(one, rate) for one in objectives for rate in BURN_RATES]
    return (
        Group("quartet.objectives", tuple(recordings)),
        Group("quartet.burn_rates", tuple(alerts)),
    )


def _rates(objective: Objective) -> tuple[Recording, Recording]:
    labels = {"objective": objective.name}
    if isinstance(objective, LatencyObjective):
        bad, valid = _latency_rates(objective)
    else:
        bad, valid = _outcomes(FAILED), _outcomes(COUNTED)
    return Recording(BAD, bad, labels), Recording(VALID, valid, labels)


def _outcomes(outcomes: str) -> str:
    return f'sum by (namespace, job) (rate(quartet_requests_total{{outcome=~"{outcomes}"}}[5m]))'


def _latency_rates(objective: LatencyObjective) -> tuple[str, str]:
    """Slow and valid requests a second.

    Of requests, the valid ones are those answered: a refusal takes no time, and counted as a
    fast request it would make an overloaded service look well.
    """
    models = "" if objective.models == ".*" else f'model=~"{objective.models}"'
    count = f"rate({objective.metric}_count{matcher(models)}[5m])"
    bound = _joined(models, f'le="{float(objective.threshold_s)!r}"')
    slow = f"{count}\n    - ignoring (le) rate({objective.metric}_bucket{matcher(bound)}[5m])"
    if objective.metric == "quartet_generation_first_symbol_seconds":
        return _total(slow), _total(count)
    others = f"unless on (job, instance, model, version) {GENERATORS}"
    ok = matcher(_joined(models, 'outcome="ok"'))
    answered = f"rate(quartet_requests_total{ok}[5m])"
    return _total(f"({slow})\n  {others}"), _total(f"{answered}\n  {others}")


def _joined(*matchers: str) -> str:
    return ",".join(filter(None, matchers))


def _total(expr: str) -> str:
    return f"sum by (namespace, job) (\n  {expr}\n)"


def _ratio(window: str) -> Recording:
    if window == "5m":
        return Recording(ratio(window), f"{BAD} / {VALID}")
    return Recording(
        ratio(window), f"avg_over_time({BAD}[{window}])\n  / avg_over_time({VALID}[{window}])"
    )


def _alert(objective: Objective, rate: BurnRate) -> Alert:
    latency = isinstance(objective, LatencyObjective)
    chosen = f'{{objective="{objective.name}"}}'
    limit = f"{rate.factor:g} * {objective.budget:g}"
    return Alert(
        name="QuartetLatencyBudgetBurns" if latency else "QuartetErrorBudgetBurns",
        expr=(
            f"{ratio(rate.long)}{chosen} > {limit}\n"
            f"  and {ratio(rate.short)}{chosen} > {limit}\n"
            f"  and sum_over_time({BAD}{chosen}[{rate.long}]) * {EVALUATION_S}"
            f" >= {objective.min_bad_requests}"
        ),
        severity=rate.severity,
        runbook="latency-budget-burns" if latency else "error-budget-burns",
        summary=(
            f"{{{{ $labels.job }}}} spends its {objective.name} budget too fast"
            f" (burn rate above {rate.factor:g})"
        ),
        description=(
            f"{{{{ $value | humanizePercentage }}}} of the {_bad_words(objective, rate.long)}; the"
            f" objective allows {objective.budget * 100:g}%. Spent like this, the budget of 30 days"
            f" lasts {30 / rate.factor:.2g} days at most."
        ),
        labels={
            "objective": objective.name,
            "long_window": rate.long,
            "short_window": rate.short,
        },
    )


def _bad_words(objective: Objective, window: str) -> str:
    if not isinstance(objective, LatencyObjective):
        return f"requests of the last {window} failed"
    limit = f"{objective.threshold_s:g} s"
    if objective.metric == "quartet_generation_first_symbol_seconds":
        return f"texts of the last {window} had no symbol within {limit}"
    return f"answers of the last {window} took longer than {limit}"
