"""Dashboard, rules and scaling on a real Prometheus that scrapes real servers under load."""

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from quartet.monitoring.rules.thresholds import BOUNDS_S
from tests.deploy.monitored import Monitored, monitored_servers, write_quick_rules
from tests.deploy.prometheus import Prometheus, Target, started_prometheus
from tests.deploy.promql import metric_names, selectors
from tests.deploy.promtool_cases import CHART_RULES, DEPLOY, alerts_of, rules_of
from tests.deploy.replicas import as_targets, started_replicas
from tests.deploy.test_dashboard import BOARD, EXPRESSIONS, PANELS, name_of
from tests.deploy.tools import require, run
from tests.e2e.graphs import plus, write_model
from tests.e2e.process import ServerProcess

NO_GPU = re.compile(r"\bnv_gpu_")
NOT_SHIPPED = re.compile(r"\bquartet_sequences\b")
"""No shipped model keeps state between requests."""
OWN = {"up", "ALERTS"}
"""What Prometheus makes itself."""
TYPE_LINE = re.compile(r"^# TYPE (\S+) (\S+)$", re.MULTILINE)
COMPARISON = re.compile(r"(?:==|[<>]=?) [\d.]+")
HISTOGRAM = ("_bucket", "_sum", "_count")


@pytest.fixture(scope="module")
def monitored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitored]:
    with monitored_servers(tmp_path_factory.mktemp("monitored")) as parts:
        yield parts


def may_be_empty(expr: str) -> bool:
    return bool(NO_GPU.search(expr) or NOT_SHIPPED.search(expr))


def exported_names(text: str) -> set[str]:
    """Every name that samples of these ``# TYPE`` lines may have."""
    names: set[str] = set()
    for name, kind in TYPE_LINE.findall(text):
        names |= {name + end for end in HISTOGRAM} if kind == "histogram" else {name}
    return names


def unknown_names(expressions: list[str], server: ServerProcess) -> set[str]:
    """Metrics in ``expressions`` that neither the server exports nor a rule records."""
    used = set(itertools.chain.from_iterable(map(metric_names, expressions)))
    recorded = {rule["record"] for rule in rules_of(CHART_RULES) if "record" in rule}
    exported = exported_names(server.request("GET", "/metrics").body.decode())
    return used - exported - recorded - OWN


def all_expressions() -> list[str]:
    rules = [rule["expr"] for rule in rules_of(CHART_RULES)]
    return [*EXPRESSIONS, *rules, *(one["expr"] for one in BOARD["annotations"]["list"])]


def test_the_metrics_pass_promtool(monitored: Monitored, tmp_path: Path) -> None:
    text = monitored.servers[0].request("GET", "/metrics").body
    (tmp_path / "metrics").write_bytes(text)

    # Its hints on names are for Triton's, whose names are what they are.
    run("sh", "-c", f"{require('promtool')} check metrics < {tmp_path / 'metrics'} || test $? = 3")


def test_every_metric_is_one_that_the_server_exports(monitored: Monitored) -> None:
    assert unknown_names(all_expressions(), monitored.servers[0]) == set()


@pytest.mark.parametrize(
    "wrong",
    ["quartet_queue_rows", "quartet_requests", "quartet_batch_size", "kube_pod_status_ready"],
)
def test_a_wrong_name_is_noticed(monitored: Monitored, wrong: str) -> None:
    expr = f'sum by (model) (rate({wrong}{{model="up"}}[5m])) / on (job) up'

    assert unknown_names([expr], monitored.servers[0]) == {wrong}


@pytest.mark.parametrize("panel", PANELS, ids=name_of)
def test_panel_shows_something(monitored: Monitored, panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        expr = target["expr"]
        found = monitored.query(expr)
        if may_be_empty(expr):
            assert found == []
        elif panel["title"] == "Failures by model":
            assert {labels["outcome"] for labels, _ in found} == {"invalid"}
        else:
            assert any(value == value for _, value in found), expr  # not all NaN


@pytest.mark.parametrize("panel", PANELS, ids=name_of)
def test_panel_is_within_its_unit(monitored: Monitored, panel: dict[str, Any]) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    values = [
        value
        for target in panel["targets"]
        for _, value in monitored.query(target["expr"])
        if value == value
    ]
    highest = 1.001 if defaults["unit"] == "percentunit" else float("inf")

    assert all(0 <= value <= highest for value in values), values


def test_rules_are_evaluated_without_a_fault(monitored: Monitored) -> None:
    groups = monitored.prometheus.api("rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]

    assert len(rules) > 40
    assert {rule["health"] for rule in rules} == {"ok"}
    assert [rule["lastError"] for rule in rules if rule.get("lastError")] == []


@pytest.mark.parametrize("rule", rules_of(CHART_RULES), ids=lambda rule: next(iter(rule.values())))
def test_rule_reads_series_that_there_are(monitored: Monitored, rule: dict[str, Any]) -> None:
    for selector in selectors(rule["expr"]):
        found = monitored.query(f"last_over_time({selector}[5m])")
        assert found or may_be_empty(selector), selector


@pytest.mark.parametrize("rule", alerts_of(CHART_RULES), ids=lambda rule: rule["alert"])
def test_both_sides_of_an_alert_have_labels_that_match(
    monitored: Monitored, rule: dict[str, Any]
) -> None:
    always, comparisons = COMPARISON.subn(">= -1e18", rule["expr"])

    assert comparisons
    if rule["alert"] != "QuartetAbsent" and not may_be_empty(rule["expr"]):
        assert monitored.query(always), always


def test_no_alert_is_raised_by_servers_that_do_well(monitored: Monitored) -> None:
    alerts = monitored.prometheus.api("alerts")["alerts"]
    names = {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    # How fast a busy machine answers is not what is tested.
    assert names - {"QuartetLatencyBudgetBurns"} == set()


def test_recorded_requests_are_those_of_no_client_at_fault(monitored: Monitored) -> None:
    recorded = "namespace_job_objective:quartet_valid_requests:rate5m"
    found = {labels["objective"]: value for labels, value in monitored.query(recorded)}

    assert found.keys() == {"availability", "latency", "first_symbol"}
    # Nonsense is counted by none, generators not by the latency of whole requests.
    assert 0 < found["latency"] < found["availability"]


def test_annotations_mark_the_start_and_what_is_new(monitored: Monitored) -> None:
    marks = {
        one["name"]: [labels for labels, _ in monitored.query(one["expr"])]
        for one in BOARD["annotations"]["list"]
    }

    assert {"version"} == marks["New release"][0].keys()
    assert {labels["model"] for labels in marks["New model version"]} > {"mnist", "shakespeare"}
    assert {labels["pod"] for labels in marks["Start"]} <= {"quartet-0", "quartet-1"}


def test_buckets_are_those_that_objectives_may_name(monitored: Monitored) -> None:
    for metric in (
        "quartet_request_duration_seconds_bucket",
        "quartet_generation_first_symbol_seconds_bucket",
    ):
        found = monitored.query(f"group by (le) ({metric})")
        bounds = sorted(float(labels["le"]) for labels, _ in found)
        assert bounds == [*BOUNDS_S, float("inf")]


@pytest.mark.parametrize(
    "rule",
    yaml.safe_load((DEPLOY / "monitoring" / "prometheus-adapter" / "values.yaml").read_text())[
        "rules"
    ]["custom"],
    ids=lambda rule: rule["name"]["as"],
)
def test_the_adapter_gives_one_value_for_each_pod(
    monitored: Monitored, rule: dict[str, Any]
) -> None:
    series = rule["name"]["as"]
    query = (
        rule["metricsQuery"]
        .replace("<<.Series>>", series)
        .replace("<<.LabelMatchers>>", 'namespace="default",pod=~"quartet-0|quartet-1"')
        .replace("<<.GroupBy>>", "pod")
    )

    assert monitored.query(rule["seriesQuery"])
    assert sorted(labels["pod"] for labels, _ in monitored.query(query)) == [
        "quartet-0",
        "quartet-1",
    ]


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A server that is not ready for want of a model, and a target that is not there."""
    folder = tmp_path_factory.mktemp("broken")
    write_model(folder / "models", "plus", plus(1))
    write_model(folder / "models", "torn", plus(1))
    (folder / "models" / "torn" / "1" / "model.onnx").write_bytes(b"version https://git-lfs")
    rules = write_quick_rules(folder / "rules.yaml")
    flags = ("--required-models", "torn")
    with (
        started_replicas(folder / "models", 1, *flags, required=False) as servers,
        started_prometheus(folder / "prometheus", rules=[rules]) as prometheus,
    ):
        servers[0].wait_log("model torn")
        gone = Target("127.0.0.1:1", "quartet-gone").as_file_sd()
        prometheus.scrape(as_targets(servers))
        targets = [gone, *(target.as_file_sd() for target in as_targets(servers))]
        (folder / "prometheus" / "targets.json").write_text(json.dumps(targets))
        prometheus.wait_query('up{pod="quartet-gone"}', lambda value: value == 0)
        yield prometheus


@pytest.mark.parametrize(
    ("alert", "labels"),
    [
        ("QuartetTargetDown", {"pod": "quartet-gone"}),
        ("QuartetNotReady", {"pod": "quartet-0"}),
        ("QuartetModelNotReady", {"pod": "quartet-0", "model": "torn", "version": "1"}),
        ("QuartetNoReplicaReady", {"job": "quartet", "namespace": "default"}),
    ],
)
def test_faults_of_real_servers_raise_alerts(
    broken: Prometheus, alert: str, labels: dict[str, str]
) -> None:
    rule = next(rule for rule in alerts_of(CHART_RULES) if rule["alert"] == alert)

    found = [series for series, _ in broken.query(rule["expr"])]

    assert len(found) == 1
    assert labels.items() <= found[0].items()
