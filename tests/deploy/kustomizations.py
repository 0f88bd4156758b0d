"""What is below ``deploy/kubernetes``: overlays, components, and any of them together."""

import functools
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.schemas import kustomize
from tests.deploy.tools import REPOSITORY_ROOT

KUBERNETES = REPOSITORY_ROOT / "deploy" / "kubernetes"
OVERLAYS = tuple(sorted(path.name for path in (KUBERNETES / "overlays").iterdir()))
COMPONENTS = tuple(sorted(path.name for path in (KUBERNETES / "components").iterdir()))
USERS_MAKE = ("PersistentVolumeClaim/quartet-models", "Secret/quartet-models")
"""What components need and do not bring."""


@functools.cache
def _overlay(name: str) -> str:
    return yaml.safe_dump_all(kustomize(KUBERNETES / "overlays" / name))


def overlay(name: str) -> list[dict[str, Any]]:
    """The manifests of an overlay, for the caller to change."""
    return list(yaml.safe_load_all(_overlay(name)))


def combined(folder: Path, name: str, components: Collection[str]) -> list[dict[str, Any]]:
    """The manifests of an overlay with components, written to ``folder`` as a user would."""
    (folder / "kustomization.yaml").write_text(
        yaml.safe_dump(
            {
                "apiVersion": "kustomize.config.k8s.io/v1beta1",
                "kind": "Kustomization",
                "resources": [_from(folder, KUBERNETES / "overlays" / name)],
                "components": [_from(folder, KUBERNETES / "components" / c) for c in components],
            }
        )
    )
    return kustomize(folder)


def one(documents: list[dict[str, Any]], kind: str, name: str = "quartet") -> dict[str, Any]:
    """The object of a kind that is called ``name``, whatever hash kustomize added."""
    found = [d for d in documents if d["kind"] == kind and _is_called(d, name)]
    assert len(found) == 1, [d["metadata"]["name"] for d in documents if d["kind"] == kind]
    return found[0]


def _is_called(document: dict[str, Any], name: str) -> bool:
    called: str = document["metadata"]["name"]
    if document["kind"] == "ConfigMap":
        return called.rpartition("-")[0] == name
    return called == name


def _from(folder: Path, path: Path) -> str:
    """``path`` as seen from ``folder``; kustomize takes no absolute ones."""
    return os.path.relpath(path.resolve(), folder.resolve())
