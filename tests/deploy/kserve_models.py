"""Holds KServe's resources against the models of KServe's own Python package, strictly.

Runs in the environment of that package, whose requirements are not ours: a JSON list of manifests
on standard input, a JSON list of each one's faults on standard output. The package's own way from
JSON to models passes over keys that it does not know; here they are faults.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import kserve.models  # type: ignore[import-not-found]  # of another environment
import kubernetes.client.models  # type: ignore[import-not-found]  # of another environment

ROOTS = {
    ("serving.kserve.io/v1alpha1", "ServingRuntime"): "V1alpha1ServingRuntime",
    ("serving.kserve.io/v1alpha1", "ClusterServingRuntime"): "V1alpha1ClusterServingRuntime",
    ("serving.kserve.io/v1beta1", "InferenceService"): "V1beta1InferenceService",
}
PLAIN: Mapping[str, type | tuple[type, ...]] = {
    "str": str,
    "int": int,
    "float": (int, float),
    "bool": bool,
}
OPEN = ("object", "datetime", "V1beta1MetricQuantity", "ResourceQuantity")
"""Types that take more than one form of JSON; Kubernetes' quantities and numbers or names."""


def faults(kind: str, value: Any, path: str) -> Iterator[str]:
    """What keeps ``value`` from being a ``kind``, each with its path."""
    listed = re.fullmatch(r"[Ll]ist\[(.+)\]", kind)
    mapped = re.fullmatch(r"[Dd]ict[(\[]str, (.+)[)\]]", kind)
    if listed:
        yield from _expected(value, list, "a list", path)
        for index, item in enumerate(value if isinstance(value, list) else ()):
            yield from faults(listed[1], item, f"{path}[{index}]")
    elif mapped:
        yield from _expected(value, dict, "an object", path)
        for key, item in (value if isinstance(value, dict) else {}).items():
            yield from faults(mapped[1], item, f"{path}.{key}")
    elif kind in PLAIN:
        is_wrong_bool = isinstance(value, bool) and kind != "bool"
        if is_wrong_bool or not isinstance(value, PLAIN[kind]):
            yield f"{path}: expected {kind}, got {value!r}"
    elif kind in OPEN:
        if not isinstance(value, (str, int, float, dict)):
            yield f"{path}: expected {kind}, got {value!r}"
    else:
        yield from _object_faults(kind, value, path)


def _object_faults(kind: str, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path}: expected {kind}, got {value!r}"
        return
    model = _model(kind)
    attributes = {key: name for name, key in model.attribute_map.items()}
    for key in value:
        if key not in attributes:
            yield f"{path}.{key}: unknown field of {kind}"
    known = {attributes[key]: item for key, item in value.items() if key in attributes}
    try:
        model(**known)
    except ValueError as error:  # what is required, and what is one of few
        yield f"{path}: {' '.join(str(error).split())}"
    for name, item in known.items():
        yield from faults(model.openapi_types[name], item, f"{path}.{model.attribute_map[name]}")


def _model(kind: str) -> Any:
    """A class of KServe's package, else one of Kubernetes', which KServe names by its package."""
    found = getattr(kserve.models, kind, None)
    if found is None:
        short = re.sub(r"^K8sIoApi(Apps|Autoscaling)(V[0-9])", r"\2", kind)
        found = getattr(kubernetes.client.models, short, None)
    if found is None:
        raise LookupError(f"no model {kind}")
    return found


def _expected(value: Any, wanted: type, name: str, path: str) -> Iterator[str]:
    if not isinstance(value, wanted):
        yield f"{path}: expected {name}, got {value!r}"


def main() -> None:
    """See the module."""
    answers = []
    for document in json.load(sys.stdin):
        root = ROOTS.get((document.get("apiVersion"), document.get("kind")))
        if root is None:
            answers.append([f"no model for {document.get('apiVersion')} {document.get('kind')}"])
        else:
            answers.append(list(faults(root, document, document["kind"])))
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
