"""The cases of ``promtool test rules`` in deploy/monitoring, and the alerts that rules raise."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.tools import REPOSITORY_ROOT

DEPLOY = REPOSITORY_ROOT / "deploy"
PROMETHEUS = DEPLOY / "monitoring" / "prometheus"
RULES = PROMETHEUS / "rules.yaml"
CHART_RULES = DEPLOY / "helm" / "quartet" / "files" / "rules.yaml"
RULE_OBJECT = DEPLOY / "kubernetes" / "components" / "prometheus-operator" / "prometheusrule.yaml"
CASES = sorted(PROMETHEUS.joinpath("tests").glob("*.yaml"))

Identity = tuple[str, frozenset[tuple[str, str]]]
"""An alert's name and the labels that its rule gives it."""


def rules_of(path: Path) -> list[dict[str, Any]]:
    """Every rule of a rules file."""
    groups = yaml.safe_load(path.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def alerts_of(path: Path) -> list[dict[str, Any]]:
    """Every alerting rule of a rules file."""
    return [rule for rule in rules_of(path) if "alert" in rule]


def identity(rule: Mapping[str, Any]) -> Identity:
    """What tells an alerting rule from all others."""
    return rule["alert"], frozenset(rule["labels"].items())


def case_documents() -> Iterator[dict[str, Any]]:
    """The content of every file of cases."""
    for path in CASES:
        yield yaml.safe_load(path.read_text())


def expectations(documents: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, list[Any]]]:
    """Name of an alert and the alerts of that name that are expected, of every check."""
    for document in documents:
        for test in document["tests"]:
            for check in test["alert_rule_test"]:
                yield check["alertname"], check["exp_alerts"]


def raised(alerts: Iterable[Identity], documents: Iterable[Mapping[str, Any]]) -> set[Identity]:
    """Those of ``alerts`` that some check expects."""
    found = list(expectations(documents))
    return {alert for alert in alerts if any(_expected(alert, *one) for one in found)}


def kept_silent(
    alerts: Iterable[Identity], documents: Iterable[Mapping[str, Any]]
) -> set[Identity]:
    """Those of ``alerts`` that some check names and does not expect."""
    found = list(expectations(documents))
    return {
        alert
        for alert in alerts
        if any(name == alert[0] and not _expected(alert, name, given) for name, given in found)
    }


def _expected(alert: Identity, name: str, given: list[Any]) -> bool:
    return name == alert[0] and any(alert[1] <= set(one["exp_labels"].items()) for one in given)
