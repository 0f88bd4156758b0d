"""What manifests tell the server, and whether the server understands it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from serving.cli import ENV_PREFIX
from serving.settings import ServerSettings

Manifest = Mapping[str, Any]


def container_of(documents: Sequence[Manifest], deployment: str = "quartet") -> Mapping[str, Any]:
    """The server's container in a Deployment."""
    found: list[Mapping[str, Any]] = [
        container
        for document in documents
        if document["kind"] == "Deployment" and document["metadata"]["name"] == deployment
        for container in document["spec"]["template"]["spec"]["containers"]
        if container["name"] == "quartet"
    ]
    assert len(found) == 1, f"{len(found)} containers of the server in Deployment/{deployment}"
    return found[0]


def environment_of(documents: Sequence[Manifest], deployment: str = "quartet") -> dict[str, str]:
    """The variables that the container has from its ConfigMaps and its own ``env``."""
    container = container_of(documents, deployment)
    values: dict[str, str] = {}
    for source in container.get("envFrom", []):
        name = source.get("configMapRef", {}).get("name")
        for document in documents:
            if document["kind"] == "ConfigMap" and document["metadata"]["name"] == name:
                values |= document["data"]
    values |= {v["name"]: v["value"] for v in container.get("env", []) if "value" in v}
    return values


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """``QUARTET_*`` variables that are no setting.

    The server ignores them, so nobody else sees a misspelt one.
    """
    known = set(_variables(ServerSettings, ENV_PREFIX))
    return sorted(n for n in environment if n.startswith(ENV_PREFIX) and n not in known)


def _variables(schema: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in schema.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _variables(kind, f"{prefix}{name}__".upper())
        yield f"{prefix}{name}".upper()
