"""Rules that follow the thresholds; whether they are right, promtool says (tests/deploy)."""

from quartet.monitoring.rules.build import rule_groups
from quartet.monitoring.rules.thresholds import LatencyObjective, Objective, Thresholds
from quartet.monitoring.rules.types import Alert, Recording


def rules(thresholds: Thresholds) -> list[Alert | Recording]:
    return [rule for group in rule_groups(thresholds) for rule in group.rules]


def alert(thresholds: Thresholds, name: str) -> Alert:
    return next(r for r in rules(thresholds) if isinstance(r, Alert) and r.name == name)


def alert_names(thresholds: Thresholds) -> set[str]:
    return {rule.name for rule in rules(thresholds) if isinstance(rule, Alert)}


def test_thresholds_are_what_alerts_compare_with() -> None:
    own = Thresholds(queue_age_s=3, engine_utilization=0.55, restarts=7, memory_fraction=0.66)

    assert alert(own, "QuartetRequestsWait").expr.endswith("> 3")
    assert alert(own, "QuartetEngineSaturated").expr.endswith("> 0.55")
    assert ">= 7 " in alert(own, "QuartetRestarts").expr
    assert alert(own, "QuartetMemoryNearLimit").expr.endswith("> 0.66")


def test_one_replica_is_missed_as_no_replica() -> None:
    assert "QuartetReplicaMissing" not in alert_names(Thresholds(min_ready_replicas=1))


def test_some_replicas_are_missed_one_by_one() -> None:
    missing = alert(Thresholds(min_ready_replicas=3), "QuartetReplicaMissing")

    assert missing.expr.endswith("< 3")
    assert missing.summary.endswith("instead of 3")


def test_nothing_is_missed_of_what_scales_to_zero() -> None:
    names = alert_names(Thresholds(min_ready_replicas=0))

    assert not {"QuartetAbsent", "QuartetReplicaMissing"} & names
    assert {"QuartetNoReplicaReady", "QuartetTargetDown"} <= names


def test_the_job_is_named_where_only_up_is_left() -> None:
    own = Thresholds(job="digits")

    assert alert(own, "QuartetTargetDown").expr == 'up{job="digits"} == 0'
    assert alert(own, "QuartetAbsent").labels == {"job": "digits"}


def test_an_objective_of_some_models_reads_no_others() -> None:
    objective = LatencyObjective(name="fast", models="mnist|face-.+", threshold_s=0.02)
    recordings = [
        rule
        for rule in rules(Thresholds(latency=(objective,)))
        if isinstance(rule, Recording) and rule.labels == {"objective": "fast"}
    ]

    assert len(recordings) == 2
    assert all('model=~"mnist|face-.+"' in rule.expr for rule in recordings)
    assert 'le="0.02"' in recordings[0].expr


def test_bounds_are_written_as_the_server_writes_them() -> None:
    exprs = [
        rule.expr
        for seconds in (0.0005, 1, 60)
        for rule in rules(Thresholds(latency=(LatencyObjective(threshold_s=seconds),)))
        if isinstance(rule, Recording) and "_bucket" in rule.expr
    ]

    for text, expr in zip(("0.0005", "1.0", "60.0"), exprs, strict=True):
        assert f'le="{text}"' in expr


def test_budgets_burn_at_multiples_of_what_the_objective_allows() -> None:
    own = Thresholds(availability=Objective(target=0.995), latency=())
    burns = [r for r in rules(own) if isinstance(r, Alert) and r.name == "QuartetErrorBudgetBurns"]

    assert [one.severity for one in burns] == ["critical", "critical", "warning", "warning"]
    assert [one.expr.split("\n")[0].split(" > ")[1] for one in burns] == [
        "14.4 * 0.005",
        "6 * 0.005",
        "3 * 0.005",
        "1 * 0.005",
    ]
