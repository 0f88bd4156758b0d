"""Which Service a route of the Gateway API leads to, by the specification's precedence.

https://gateway-api.sigs.k8s.io/reference/spec/: an exact path before a prefix, the longest prefix
before others; prefixes match whole elements of the path. For gRPC the longest service, then the
longest method, then the most headers.
"""

from collections.abc import Mapping
from typing import Any

Manifest = Mapping[str, Any]


def http_backend(route: Manifest, path: str) -> str | None:
    """The Service that a request for ``path`` reaches; None: no rule matches."""
    found = [
        (match["path"]["type"] == "Exact", len(match["path"]["value"]), rule)
        for rule in route["spec"]["rules"]
        for match in rule["matches"]
        if _matches(match["path"], path)
    ]
    return _backend(max(found, key=lambda item: item[:2])[2]) if found else None


def grpc_backend(
    route: Manifest, service: str, method: str, metadata: Mapping[str, str]
) -> str | None:
    """The Service that a call of ``service`` reaches."""
    found = []
    for rule in route["spec"]["rules"]:
        for match in rule["matches"]:
            names, headers = match.get("method", {}), match.get("headers", [])
            if (
                names.get("service", service) == service
                and names.get("method", method) == method
                and all(metadata.get(h["name"]) == h["value"] for h in headers)
            ):
                longest = len(names.get("service", "")), len(names.get("method", ""))
                found.append((*longest, len(headers), rule))
    return _backend(max(found, key=lambda item: item[:3])[3]) if found else None


def _matches(match: Mapping[str, str], path: str) -> bool:
    if match["type"] == "Exact":
        return path == match["value"]
    prefix = match["value"].rstrip("/")
    return path == prefix or path.startswith(f"{prefix}/")


def _backend(rule: Manifest) -> str:
    (backend,) = rule["backendRefs"]
    return str(backend["name"])
