"""Overlays and components render, and strict validation finds nothing in any of them."""

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from quartet.monitoring import queries
from tests.deploy.kustomizations import (
    COMPONENTS,
    KUBERNETES,
    OVERLAYS,
    USERS_MAKE,
    combined,
    one,
    overlay,
)
from tests.deploy.schemas import kustomize, validate
from tests.deploy.tools import require, run

GPU_ONLY = {"gpu-mig", "gpu-shared"}
EITHER = ({"gpu-mig", "gpu-shared"}, {"models-pvc", "models-object-store"})
"""Components that decide the same thing differently."""
CORE_OVERLAYS = ("cpu", "gpu", "dev")
ON_CPU = [c for c in COMPONENTS if c not in GPU_ONLY]


def together(components: Iterable[str]) -> bool:
    """Whether components can be used at once."""
    return not any(pair <= set(components) for pair in EITHER)


def largest(usable: Iterable[str]) -> list[tuple[str, ...]]:
    """Every set of components to which none can be added."""
    choices = itertools.product(*(sorted(pair & set(usable)) or [""] for pair in EITHER))
    others = [c for c in usable if not any(c in pair for pair in EITHER)]
    return [tuple(sorted({*others, *choice} - {""})) for choice in choices]


COMBINATIONS = [
    *(("cpu", pair) for pair in itertools.combinations(ON_CPU, 2) if together(pair)),
    *(("cpu", components) for components in largest(ON_CPU)),
    *(("gpu", components) for components in largest(COMPONENTS)),
    # No autoscaler that KEDA could replace.
    *(("dev", components) for components in largest([c for c in ON_CPU if c != "keda"])),
]


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay_is_valid(name: str) -> None:
    assert validate(overlay(name)) == []


@pytest.mark.parametrize("name", CORE_OVERLAYS)
def test_an_overlay_for_any_cluster_needs_no_custom_resources(name: str) -> None:
    groups = {str(document["apiVersion"]).partition("/")[0] for document in overlay(name)}
    assert groups <= {"v1", "apps", "autoscaling", "networking.k8s.io", "policy"}


@pytest.mark.parametrize(
    ("name", "components"),
    COMBINATIONS,
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_components_are_valid_together(
    name: str, components: tuple[str, ...], tmp_path: Path
) -> None:
    assert validate(combined(tmp_path, name, components), existing=USERS_MAKE) == []


@pytest.mark.parametrize("component", ["models-pvc", "models-object-store", "prometheus-operator"])
def test_a_component_reaches_every_share_of_several_deployments(
    component: str, tmp_path: Path
) -> None:
    documents = combined(tmp_path, "multi-model", [component])
    assert validate(documents, existing=USERS_MAKE) == []
    if component.startswith("models"):
        for share in ("vision", "text", "images"):
            pod = one(documents, "Deployment", f"quartet-{share}")["spec"]["template"]["spec"]
            assert "models" in {volume["name"] for volume in pod["volumes"]}


@pytest.mark.parametrize("name", CORE_OVERLAYS)
def test_an_overlay_can_be_applied_to_any_namespace(name: str) -> None:
    assert not [d for d in overlay(name) if "namespace" in d["metadata"]]
    assert not [d for d in overlay(name) if d["kind"] == "Namespace"]


@pytest.mark.parametrize("name", OVERLAYS)
def test_images_are_pinned(name: str) -> None:
    for deployment in (d for d in overlay(name) if d["kind"] == "Deployment"):
        for container in deployment["spec"]["template"]["spec"]["containers"]:
            tag = container["image"].partition(":")[2]
            assert tag not in ("", "latest")


def test_a_changed_setting_rolls_the_pods(tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text(
        "resources: [base]\n"
        "configMapGenerator: [{name: quartet, behavior: merge, literals: [QUARTET_THREADS=3]}]\n"
    )
    (tmp_path / "base").symlink_to(KUBERNETES / "base")
    before = one(overlay("cpu"), "ConfigMap")["metadata"]["name"]
    changed = kustomize(tmp_path)
    after = one(changed, "ConfigMap")["metadata"]["name"]
    assert after != before
    container = one(changed, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    assert {"configMapRef": {"name": after}} in container["envFrom"]


def test_the_namespace_of_the_full_overlay_is_the_one_its_queries_ask_for() -> None:
    scaled = one(overlay("full"), "ScaledObject")
    namespace = scaled["metadata"]["namespace"]
    for trigger in scaled["spec"]["triggers"]:
        assert f'namespace="{namespace}"' in trigger["metadata"]["query"]


def test_keda_asks_what_alerts_and_dashboards_ask() -> None:
    selector = 'namespace="models",job="quartet"'
    gateway = (
        'envoy_http_conn_manager_prefix=~"https?-.*",'
        'gateway_envoyproxy_io_owning_gateway_name="quartet",'
        'gateway_envoyproxy_io_owning_gateway_namespace="models"'
    )
    triggers = one(overlay("full"), "ScaledObject")["spec"]["triggers"]
    assert {t["name"]: t["metadata"]["query"] for t in triggers} == {
        "queue": queries.waiting_rows(selector),
        "utilization": queries.busy_engines(selector),
        "loop": queries.busy_loops(selector),
        "gateway": queries.gateway_requests(gateway),
    }


def test_having_no_replica_is_no_alert_where_that_is_meant(tmp_path: Path) -> None:
    def alerts(documents: list[dict[str, Any]]) -> list[str]:
        groups = one(documents, "PrometheusRule")["spec"]["groups"]
        return [rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule]

    always = alerts(combined(tmp_path, "cpu", ["prometheus-operator"]))
    assert "QuartetAbsent" in always
    assert alerts(overlay("full")) == [name for name in always if name != "QuartetAbsent"]


def test_keda_and_the_autoscaler_agree() -> None:
    scaled = one(overlay("full"), "ScaledObject")["spec"]
    autoscaler = one(overlay("cpu"), "HorizontalPodAutoscaler")["spec"]
    assert scaled["minReplicaCount"] == autoscaler["minReplicas"]
    assert scaled["maxReplicaCount"] == autoscaler["maxReplicas"]
    advanced = scaled["advanced"]["horizontalPodAutoscalerConfig"]
    assert advanced["behavior"] == autoscaler["behavior"]
    targets = [float(t["metadata"]["threshold"]) for t in scaled["triggers"][:3]]
    assert targets == [
        queries.QUEUE_TARGET_ROWS,
        queries.UTILIZATION_TARGET,
        queries.UTILIZATION_TARGET,
    ]


def test_the_autoscalers_targets_are_those_of_the_queries() -> None:
    metrics = one(overlay("cpu"), "HorizontalPodAutoscaler")["spec"]["metrics"]
    assert {m["pods"]["metric"]["name"]: m["pods"]["target"]["averageValue"] for m in metrics} == {
        "quartet_queue_size": str(queries.QUEUE_TARGET_ROWS),
        "quartet_utilization": f"{queries.UTILIZATION_TARGET * 1000:.0f}m",
        "quartet_loop_utilization": f"{queries.UTILIZATION_TARGET * 1000:.0f}m",
    }


def test_the_command_line_validator_agrees(tmp_path: Path) -> None:
    rendered = tmp_path / "cpu.yaml"
    rendered.write_text(run(require("kubectl"), "kustomize", str(KUBERNETES / "overlays/cpu")))
    run(require("kubernetes-validate"), "--strict", "-k", "1.33", str(rendered))
