"""The chart and the kustomize folders make the same objects, where they say the same."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy import helm_charts
from tests.deploy.helm_charts import Manifest
from tests.deploy.schemas import kustomize

KUBERNETES = Path(__file__).resolve().parents[2] / "deploy" / "kubernetes"
HELM_LABELS = {
    "app.kubernetes.io/instance",
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/version",
    "helm.sh/chart",
}
CASES = {
    "cpu": ("overlays/cpu", {}),
}
"""Kustomization, values of the chart."""


def without_helm_labels(manifest: Manifest) -> Manifest:
    """Helm tells releases apart by labels, in selectors too.

    kustomize has one installation a namespace and needs none.
    """

    def clean(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: clean(value) for key, value in node.items() if key not in HELM_LABELS}
        return [clean(item) for item in node] if isinstance(node, list) else node

    cleaned: Manifest = clean(manifest)
    return cleaned


def without_checksums(manifest: Manifest) -> Manifest:
    """A changed ConfigMap rolls the pods by an annotation with its hash.

    In kustomize the hash is in its name.
    """
    annotations = (
        manifest.get("spec", {}).get("template", {}).get("metadata", {}).get("annotations", {})
    )
    annotations.pop("checksum/config", None)
    return manifest


def is_test(manifest: Manifest) -> bool:
    """``helm test`` has no counterpart in kustomize."""
    return "helm.sh/hook" in manifest["metadata"].get("annotations", {})


def of_chart(values: dict[str, Any]) -> dict[str, Manifest]:
    """The chart's objects, normalised."""
    manifests = [m for m in helm_charts.render(values) if not is_test(m)]
    return helm_charts.objects([without_checksums(without_helm_labels(m)) for m in manifests])


def without_hashes(manifests: list[Manifest]) -> list[Manifest]:
    """The names that kustomize's generators gave, without the hash of the content."""
    generated = {
        name: name.rpartition("-")[0]
        for name in (m["metadata"]["name"] for m in manifests if m["kind"] == "ConfigMap")
    }
    text = yaml.safe_dump_all(manifests)
    for hashed, name in generated.items():
        text = text.replace(hashed, name)
    return list(yaml.safe_load_all(text))


def of_kustomize(folder: str) -> dict[str, Manifest]:
    """The folder's objects, normalised."""
    return helm_charts.objects(without_hashes(kustomize(KUBERNETES / folder)))


@pytest.mark.parametrize("case", CASES)
def test_chart_makes_what_kustomize_makes(case: str) -> None:
    folder, values = CASES[case]
    chart, folder_objects = of_chart(values), of_kustomize(folder)
    assert sorted(chart) == sorted(folder_objects)
    for title, manifest in folder_objects.items():
        assert chart[title] == manifest, title
