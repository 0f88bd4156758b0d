"""The manifests that docs/kubernetes.md shows are right ones."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.kustomizations import COMPONENTS, KUBERNETES, OVERLAYS, USERS_MAKE
from tests.deploy.pod_security import restricted_faults
from tests.deploy.pods import pods_of
from tests.deploy.schemas import kustomize, validate
from tests.deploy.tools import REPOSITORY_ROOT

PAGE = REPOSITORY_ROOT / "docs" / "kubernetes.md"
REMOTE = re.compile(
    r"https://github\.com/quartet-serving/quartet//deploy/kubernetes/([\w/-]+)\?ref=\S+"
)


def blocks() -> list[dict[str, Any]]:
    """The YAML that the page shows, of kustomize and of Kubernetes."""
    found = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    documents = [d for text in found for d in yaml.safe_load_all(text)]
    return [document for document in documents if "apiVersion" in document]


def test_objects_are_valid_and_admitted() -> None:
    objects = [block for block in blocks() if block["kind"] != "Kustomization"]
    assert len(objects) >= 2
    assert validate(objects) == []
    faults = [f for block in objects for pod in pods_of(block) for f in restricted_faults(pod)]
    assert faults == []


def test_the_overlay_of_ones_own_renders(tmp_path: Path) -> None:
    (example,) = [block for block in blocks() if block["kind"] == "Kustomization"]
    kubernetes = tmp_path / "kubernetes"
    kubernetes.symlink_to(KUBERNETES)
    for field in ("resources", "components"):
        example[field] = [REMOTE.sub(r"kubernetes/\1", entry) for entry in example[field]]
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(example))
    documents = kustomize(tmp_path)
    assert validate(documents, existing=USERS_MAKE) == []
    assert {document["metadata"].get("namespace") for document in documents} == {"models"}
    assert "image: registry.example.com/team/quartet:0.1.0" in yaml.safe_dump(documents)


@pytest.mark.parametrize("name", [*OVERLAYS, *COMPONENTS])
def test_everything_is_on_the_page(name: str) -> None:
    assert f"`{name}`" in PAGE.read_text()
