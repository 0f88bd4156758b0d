"""The rules as promtool sees them: well formed, right, and each alert tried both ways."""

import copy
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from quartet.monitoring.files import monitoring_files, stale_files
from tests.deploy.promql import metric_names
from tests.deploy.promtool_cases import (
    CASES,
    CHART_RULES,
    DEPLOY,
    PROMETHEUS,
    RULE_OBJECT,
    RULES,
    alerts_of,
    case_documents,
    identity,
    kept_silent,
    raised,
    rules_of,
)
from tests.deploy.tools import REPOSITORY_ROOT, require, run

RECORDED = re.compile(r"[a-z_]+:[a-z_]+:[a-z0-9_]+")
"""``level:metric:operations``, as https://prometheus.io/docs/practices/rules/ names them."""
QUICK_CASES = PROMETHEUS / "tests" / "load.yaml"


def refusal(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode != 0, done.stdout
    return done.stdout + done.stderr


def headings(page: Path) -> dict[str, str]:
    """Anchor of each section, as GitHub makes them, and the section's text."""
    parts = re.split(r"^## (.+)$", page.read_text(), flags=re.MULTILINE)[1:]
    anchors = (re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in parts[::2])
    return dict(zip(anchors, parts[1::2], strict=True))


def test_generated_files_are_up_to_date() -> None:
    assert stale_files(DEPLOY / "monitoring", monitoring_files()) == []


@pytest.mark.parametrize("path", [RULES, CHART_RULES], ids=["plain", "chart"])
def test_promtool_accepts_the_rules(path: Path) -> None:
    run(require("promtool"), "check", "rules", str(path))


def test_promtool_refuses_a_rule_that_is_no_promql(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES.read_text().replace("quartet_ready == 0", "quartet_ready == "))

    assert "parse error" in refusal(require("promtool"), "check", "rules", str(rules))


def test_the_rule_object_holds_the_rules_of_the_chart() -> None:
    document = yaml.safe_load(RULE_OBJECT.read_text())

    assert document["spec"] == yaml.safe_load(CHART_RULES.read_text())
    assert document["kind"] == "PrometheusRule"


def test_the_chart_has_every_alert_of_the_plain_rules() -> None:
    plain = {identity(rule) for rule in alerts_of(RULES)}

    assert plain < {identity(rule) for rule in alerts_of(CHART_RULES)}


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_promtool_cases_hold(path: Path) -> None:
    run(require("promtool"), "test", "rules", str(path), timeout_s=280)


def test_a_threshold_that_is_off_fails_the_cases(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "load.yaml").write_text(QUICK_CASES.read_text())
    (tmp_path / "rules.yaml").write_text(RULES.read_text().replace("limit > 0.8", "limit > 0.7"))

    text = refusal(require("promtool"), "test", "rules", str(tmp_path / "tests" / "load.yaml"))

    assert "just under four fifths of a queue are taken" in text


def test_each_alert_is_raised_by_a_case() -> None:
    alerts = {identity(rule) for rule in alerts_of(CHART_RULES)}

    assert alerts - raised(alerts, case_documents()) == set()


def test_each_alert_is_kept_silent_by_a_near_miss() -> None:
    alerts = {identity(rule) for rule in alerts_of(CHART_RULES)}

    assert alerts - kept_silent(alerts, case_documents()) == set()


@pytest.mark.parametrize("fires", [True, False], ids=["raised", "silent"])
def test_an_alert_without_a_case_is_noticed(fires: bool) -> None:
    alert = next(rule for rule in alerts_of(RULES) if rule["alert"] == "QuartetSlotsFull")
    documents = [copy.deepcopy(document) for document in case_documents()]
    for document in documents:
        for test in document["tests"]:
            checks: list[dict[str, Any]] = test["alert_rule_test"]
            checks[:] = [
                check
                for check in checks
                if check["alertname"] != alert["alert"] or bool(check["exp_alerts"]) != fires
            ]

    found = (raised if fires else kept_silent)([identity(alert)], documents)

    assert found == set()


def test_names_of_alerts_and_recordings_follow_the_conventions() -> None:
    for rule in rules_of(CHART_RULES):
        if "record" in rule:
            assert RECORDED.fullmatch(rule["record"]), rule
        else:
            assert re.fullmatch("Quartet[A-Z][A-Za-z]+", rule["alert"]), rule
            assert rule["labels"]["severity"] in ("critical", "warning", "info")
            assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}


def test_no_two_alerts_are_the_same() -> None:
    alerts = [identity(rule) for rule in alerts_of(CHART_RULES)]

    assert len(alerts) == len(set(alerts))


def test_rules_read_no_recording_that_is_not_made() -> None:
    rules = rules_of(CHART_RULES)
    made = {rule["record"] for rule in rules if "record" in rule}
    read = {name for rule in rules for name in metric_names(rule["expr"]) if ":" in name}

    assert read <= made


def test_each_alert_is_named_in_the_runbook_that_it_links_to() -> None:
    runbooks = headings(REPOSITORY_ROOT / "docs" / "runbooks.md")
    for rule in alerts_of(CHART_RULES):
        page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert page.endswith("/docs/runbooks.md")
        assert f"`{rule['alert']}`" in runbooks[anchor]


def test_each_alert_is_explained_in_the_documentation() -> None:
    text = (REPOSITORY_ROOT / "docs" / "monitoring.md").read_text()

    assert [rule["alert"] for rule in alerts_of(CHART_RULES) if rule["alert"] not in text] == []
