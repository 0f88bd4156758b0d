"""Strict validation of Kubernetes manifests: schemas, then what schemas cannot see.

Core kinds are held against the OpenAPI schemas of Kubernetes 1.33 (``kubernetes-validate``), custom
resources against the compiled validators of the npm packages ``@kubernetes-models/*``. Both are
strict: an unknown field is a fault, and so is a kind that no schema is known for.
"""

import json
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

from tests.deploy.references import Objects, reference_faults
from tests.deploy.tools import require, require_node, run

KUBERNETES = "1.33"
CUSTOM_GROUPS = ("gateway.networking.k8s.io", "keda.sh", "monitoring.coreos.com")
NODE_SCRIPT = Path(__file__).with_name("custom_resources.mjs")
MODELS_PACKAGE = "@kubernetes-models/validate"

Manifest = Mapping[str, Any]


def validate(documents: Sequence[Manifest], *, existing: Collection[str] = ()) -> list[str]:
    """The faults of manifests that are applied together, each naming object and path.

    Skips the calling test if custom resources are among them and node or its packages are missing.

    Args:
        documents: parsed manifests.
        existing: what is in the cluster already, as ``Kind/name``: a Secret that users make.
    """
    shaped = [d for d in documents if isinstance(d, Mapping) and _is_object(d)]
    faults = [f"document {i}: no apiVersion, kind or metadata.name" for i in _shapeless(documents)]
    for document in shaped:
        if _group(document) not in CUSTOM_GROUPS:
            faults += _core_faults(document)
    faults += _custom_faults([d for d in shaped if _group(d) in CUSTOM_GROUPS])
    if faults:
        return faults
    return list(reference_faults(Objects(shaped, existing)))


def kustomize(folder: Path | str) -> list[dict[str, Any]]:
    """The manifests that ``kubectl kustomize`` makes of ``folder``."""
    return list(yaml.safe_load_all(run(require("kubectl"), "kustomize", str(folder))))


def title(document: Manifest) -> str:
    """``Kind/name``."""
    return f"{document['kind']}/{document['metadata']['name']}"


def _is_object(document: Manifest) -> bool:
    metadata = document.get("metadata")
    return (
        isinstance(document.get("apiVersion"), str)
        and isinstance(document.get("kind"), str)
        and isinstance(metadata, Mapping)
        and isinstance(metadata.get("name"), str)
    )


def _shapeless(documents: Sequence[Any]) -> Iterator[int]:
    for index, document in enumerate(documents):
        if not (isinstance(document, Mapping) and _is_object(document)):
            yield index


def _group(document: Manifest) -> str:
    group, _, version = str(document["apiVersion"]).rpartition("/")
    return group if version else ""


def _core_faults(document: Manifest) -> list[str]:
    """The gravest fault of one object, or none."""
    try:
        kubernetes_validate.validate(dict(document), KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        path = ".".join(str(part) for part in error.path)
        return [f"{title(document)}: {path or '.'}: {error.message}"]
    except kubernetes_validate.SchemaNotFoundError:
        return [f"{title(document)}: kind: no schema for {document['apiVersion']}"]
    return []


def _custom_faults(documents: Sequence[Manifest]) -> list[str]:
    """All faults of custom resources."""
    if not documents:
        return []
    done = subprocess.run(
        [require("node"), str(NODE_SCRIPT), str(require_node(MODELS_PACKAGE))],
        input=json.dumps(documents),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return [
        f"{title(document)}: {fault['path'][1:].replace('/', '.') or '.'}: {fault['message']}"
        for document, faults in zip(documents, json.loads(done.stdout), strict=True)
        for fault in faults
    ]
