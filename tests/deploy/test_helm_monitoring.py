"""Rules and queries of a release: the generated ones, about its own job, pods and replicas."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from quartet.monitoring import queries
from quartet.monitoring.files import monitoring_files
from tests.deploy.helm_charts import CHART, Values, objects, render
from tests.deploy.tools import require, run

ON = {"enabled": True}
RULES = CHART / "files" / "rules.yaml"
DASHBOARD = CHART / "files" / "dashboard.json"
ROUTED = {"httpRoute": ON}
ASLEEP = {"autoscaling": {"hpa": {"enabled": False}, "keda": {**ON, "scaleToZero": True}}}
KEDA_FROM_ZERO = {**ASLEEP, **ROUTED}


def groups(values: Values | None = None) -> list[dict[str, Any]]:
    """Groups of a release's PrometheusRule."""
    given = dict(values or {})
    chosen = {**ON, **given.pop("prometheusRule", {})}
    rule = objects(render({**given, "prometheusRule": chosen}))["PrometheusRule/quartet"]
    found: list[dict[str, Any]] = rule["spec"]["groups"]
    return found


def alerts(values: Values | None = None) -> dict[str, dict[str, Any]]:
    """A release's alerts by name."""
    rules = [rule for group in groups(values) for rule in group["rules"]]
    return {rule["alert"]: rule for rule in rules if "alert" in rule}


def test_file_of_the_chart_is_the_generated_one() -> None:
    """``python -m quartet.monitoring --out deploy/monitoring`` writes it."""
    assert RULES.read_text() == monitoring_files()["../helm/quartet/files/rules.yaml"]


def test_dashboard_of_the_chart_is_the_generated_one() -> None:
    """``python -m quartet.monitoring --out deploy/monitoring`` writes it."""
    text = DASHBOARD.read_text()
    assert text == monitoring_files()["../helm/quartet/files/dashboard.json"]
    rendered = objects(render({"grafanaDashboard": ON}))["ConfigMap/quartet-dashboard"]
    assert rendered["data"]["quartet.json"] == text
    assert rendered["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_rules_are_those_of_the_file() -> None:
    assert groups() == yaml.safe_load(RULES.read_text())["groups"]


def test_braces_of_alerts_reach_prometheus() -> None:
    texts = [text for alert in alerts().values() for text in alert["annotations"].values()]
    assert any("{{ $labels." in text for text in texts)
    assert any("{{ $value" in text for text in texts)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"nameOverride": "pictures", "fullnameOverride": "quartet"},
        KEDA_FROM_ZERO,
        {"pools": {"a": {}, "b": {}}},
    ],
)
def test_rules_are_sound(values: Values, tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": groups(values)}))
    run(require("promtool"), "check", "rules", str(file))


def test_rules_are_about_the_job_of_the_release() -> None:
    values = {"nameOverride": "pictures", "fullnameOverride": "quartet"}
    text = yaml.safe_dump(groups(values))
    assert 'job="pictures"' in text
    assert 'job="quartet"' not in text
    monitor = objects(render({**values, "serviceMonitor": ON}))["ServiceMonitor/quartet"]
    assert monitor["spec"]["jobLabel"] == "app.kubernetes.io/name"
    assert monitor["metadata"]["labels"]["app.kubernetes.io/name"] == "pictures"


@pytest.mark.parametrize(
    ("values", "least"),
    [
        ({"autoscaling": {"minReplicas": 3}}, 3),
        ({"autoscaling": {"hpa": {"enabled": False}}, "replicaCount": 1}, 1),
        ({"pools": {"a": {}, "b": {"autoscaling": {"minReplicas": 4}}}}, 6),
        ({**ROUTED, "pools": {"a": ASLEEP, "b": {"autoscaling": {"minReplicas": 4}}}}, 4),
        (
            {
                **ROUTED,
                "pools": {
                    "a": {"autoscaling": {**ASLEEP["autoscaling"], "minReplicas": 3}},
                    "b": ASLEEP,
                },
            },
            2,
        ),
    ],
)
def test_alert_on_missing_replicas_knows_how_many_there_should_be(
    values: Values, least: int
) -> None:
    alert = alerts(values)["QuartetReplicaMissing"]
    assert alert["expr"].endswith(f"< {least}")
    assert alert["annotations"]["summary"].endswith(f"instead of {least}")


def test_release_that_scales_to_zero_is_not_missed_when_it_does() -> None:
    assert alerts().keys() - alerts(KEDA_FROM_ZERO).keys() == {"QuartetAbsent"}


def test_release_of_no_replicas_has_no_alert_on_missing_ones() -> None:
    without = alerts({"autoscaling": {"hpa": {"enabled": False}}, "replicaCount": 0})
    assert alerts().keys() - without.keys() == {"QuartetAbsent", "QuartetReplicaMissing"}


def test_disabled_alert_is_left_out() -> None:
    without = alerts({"prometheusRule": {"disabledAlerts": ["QuartetRestarts"]}})
    assert alerts().keys() - without.keys() == {"QuartetRestarts"}


def triggers(values: Values) -> dict[str, str]:
    """Queries of a release's ScaledObjects."""
    return {
        f"{title}/{trigger['name']}": trigger["metadata"]["query"]
        for title, manifest in objects(render(values, namespace="models")).items()
        if manifest["kind"] == "ScaledObject"
        for trigger in manifest["spec"]["triggers"]
    }


def test_keda_asks_what_alerts_and_dashboards_ask() -> None:
    selector = 'namespace="models",job="quartet",pod=~"quartet-[a-z0-9]+-[a-z0-9]{5}"'
    gateway = (
        'envoy_http_conn_manager_prefix=~"https?-.*",'
        'gateway_envoyproxy_io_owning_gateway_name="quartet",'
        'gateway_envoyproxy_io_owning_gateway_namespace="models"'
    )
    assert triggers(KEDA_FROM_ZERO) == {
        "ScaledObject/quartet/queue": queries.waiting_rows(selector),
        "ScaledObject/quartet/utilization": queries.busy_engines(selector),
        "ScaledObject/quartet/loop": queries.busy_loops(selector),
        "ScaledObject/quartet/gateway": queries.gateway_requests(gateway),
    }


def test_keda_asks_for_the_pods_of_its_pool() -> None:
    keda = {"autoscaling": {"hpa": {"enabled": False}, "keda": ON}}
    asked = triggers({**keda, "pools": {"a": {}, "b": {}}})
    assert 'pod=~"quartet-a-[a-z0-9]+-[a-z0-9]{5}"' in asked["ScaledObject/quartet-a/queue"]
    assert 'pod=~"quartet-b-[a-z0-9]+-[a-z0-9]{5}"' in asked["ScaledObject/quartet-b/queue"]


def pods_asked_for(deployment: str) -> str:
    """The regular expression of pods in the queries of a Deployment of that name."""
    keda = {"autoscaling": {"hpa": {"enabled": False}, "keda": ON}}
    asked = triggers({**keda, "fullnameOverride": deployment})[f"ScaledObject/{deployment}/queue"]
    found = re.search(r'pod=~"([^"]*)"', asked)
    assert found is not None
    return found[1]


def pod_name(deployment: str) -> str:
    """A name as the controllers of Deployments and ReplicaSets make it."""
    return f"{deployment}-7c9f8d6b5d-"[:58] + "x2k4p"


@pytest.mark.parametrize("length", [1, 7, 46, 47, 57, 58, 63])
def test_pods_asked_for_are_those_of_the_deployment(length: int) -> None:
    name = "q" * length
    assert re.fullmatch(pods_asked_for(name), pod_name(name))


def test_pods_asked_for_are_not_those_of_a_longer_name() -> None:
    assert not re.fullmatch(pods_asked_for("quartet"), pod_name("quartet-a"))


def test_keda_asks_for_the_samples_that_values_name() -> None:
    keda = {"hpa": {"enabled": False}, "keda": {**ON, "selector": 'app="mine"'}}
    asked = triggers({"autoscaling": keda})
    assert asked["ScaledObject/quartet/queue"] == queries.waiting_rows('app="mine"')


def test_keda_asks_at_the_gateway_of_the_route() -> None:
    route = {**ON, "parentRefs": [{"name": "shared", "namespace": "gateways"}]}
    asked = triggers({**KEDA_FROM_ZERO, "httpRoute": route})["ScaledObject/quartet/gateway"]
    assert 'owning_gateway_name="shared"' in asked
    assert 'owning_gateway_namespace="gateways"' in asked


def test_targets_are_those_of_the_queries() -> None:
    metrics = objects(render())["HorizontalPodAutoscaler/quartet"]["spec"]["metrics"]
    targets = {m["pods"]["metric"]["name"]: m["pods"]["target"]["averageValue"] for m in metrics}
    assert targets == {
        "quartet_queue_size": str(queries.QUEUE_TARGET_ROWS),
        "quartet_utilization": f"{queries.UTILIZATION_TARGET * 1000:g}m",
        "quartet_loop_utilization": f"{queries.UTILIZATION_TARGET * 1000:g}m",
    }


def test_target_of_zero_is_not_looked_at() -> None:
    values = {"autoscaling": {"targets": {"loopUtilization": 0}}}
    metrics = objects(render(values))["HorizontalPodAutoscaler/quartet"]["spec"]["metrics"]
    assert len(metrics) == 2
