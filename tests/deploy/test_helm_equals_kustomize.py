"""The chart and the kustomize folders make the same objects, where they say the same."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.helm_charts import Manifest, example, render
from tests.deploy.helm_normal_form import (
    differences,
    of_chart,
    of_kustomize,
)
from tests.deploy.kustomizations import combined, overlay

NAMESPACE = "models"
"""The one that kustomize's queries name."""
Case = tuple[str, tuple[str, ...], Mapping[str, Any]]
GPU = example("gpu")
MONITORING = {"serviceMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}}
CASES: dict[str, Case] = {
    "cpu": ("cpu", (), {}),
    "dev": ("dev", (), example("dev")),
    "gpu": ("gpu", (), GPU),
    "gpu-mig": (
        "gpu",
        ("gpu-mig",),
        {**GPU, "gpu": {"enabled": True, "resource": "nvidia.com/mig-1g.10gb"}},
    ),
    "gpu-shared": (
        "gpu",
        ("gpu-shared",),
        {**GPU, "gpu": {"enabled": True, "resource": "nvidia.com/gpu.shared"}},
    ),
    "models-pvc": ("cpu", ("models-pvc",), example("models-on-a-volume")),
    "models-object-store": ("cpu", ("models-object-store",), example("models-in-a-store")),
    "session-affinity": (
        "cpu",
        ("session-affinity",),
        {"service": {"http": {"sessionAffinity": "ClientIP"}}},
    ),
    "prometheus-operator": ("cpu", ("prometheus-operator",), MONITORING),
    "gateway-api": (
        "cpu",
        ("gateway-api",),
        {"httpRoute": {"enabled": True}, "grpcRoute": {"enabled": True}},
    ),
    "keda": (
        "cpu",
        ("keda", "gateway-api"),
        {**example("keda"), "serviceMonitor": {"enabled": False}},
    ),
    "full": ("full", (), {**example("full"), "grafanaDashboard": {"enabled": False}}),
    "multi-model": ("multi-model", (), example("multi-model")),
}
"""Overlay, components, values of the chart."""


def both(case: str, folder: Path) -> tuple[dict[str, Manifest], dict[str, Manifest]]:
    """The chart's objects and kustomize's, in their normal forms."""
    name, components, values = CASES[case]
    theirs = combined(folder, name, components) if components else overlay(name)
    return of_chart(render(values, namespace=NAMESPACE)), of_kustomize(theirs)


@pytest.mark.parametrize("case", CASES)
def test_chart_makes_what_kustomize_makes(case: str, tmp_path: Path) -> None:
    chart, folder_objects = both(case, tmp_path)
    assert list(differences(chart, folder_objects)) == []


def test_comparison_sees_a_difference(tmp_path: Path) -> None:
    chart, folder_objects = both("cpu", tmp_path)
    chart["Service/quartet"]["spec"]["ports"][0]["appProtocol"] = "https"
    assert list(differences(chart, folder_objects)) == [
        ".Service/quartet.spec.ports[0].appProtocol: chart 'https', kustomize 'http'"
    ]
