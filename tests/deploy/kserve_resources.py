"""KServe's resources: are they valid, and which container does KServe make of two of them?"""

import copy
import json
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.deploy.tools import require_python

HERE = Path(__file__).parent
KSERVE = HERE.parents[1] / "deploy" / "kserve"
CONTAINER = "kserve-container"
PROTOCOLS = ("v1", "v2", "grpc-v1", "grpc-v2")
AUTOSCALERS = ("hpa", "keda", "external", "none")
MODES = ("Standard", "Knative")
GRACE_S = 30.0
"""What a pod has to end if an InferenceService says nothing (Kubernetes' default)."""

Manifest = Mapping[str, Any]


def schema_faults(documents: Sequence[Manifest]) -> list[list[str]]:
    """Of each document: unknown fields, missing ones and wrong types.

    By the models of KServe's package, whose import takes seconds: give many at once.
    """
    done = subprocess.run(
        [require_python("kserve"), str(HERE / "kserve_models.py")],
        input=json.dumps(documents),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    answers: list[list[str]] = json.loads(done.stdout)
    return answers


def merge_container(runtime: Manifest, service: Manifest) -> dict[str, Any]:
    """The server's container of ``service``'s pods.

    As KServe does it (MergeRuntimeContainers and ReplacePlaceholders of its controller): lists with
    a key are merged by it, arguments are appended, then ``{{.Name}}`` is filled in.
    """
    base = next(c for c in runtime["spec"]["containers"] if c["name"] == CONTAINER)
    model = service["spec"]["predictor"]["model"]
    not_of_containers = (
        "modelFormat",
        "protocolVersion",
        "runtime",
        "runtimeVersion",
        "storageUri",
    )
    patch = {key: value for key, value in model.items() if key not in not_of_containers}
    merged = _merge(base, patch, "")
    merged["args"] = [*base.get("args", ()), *patch.get("args", ())]
    if version := model.get("runtimeVersion"):
        merged["image"] = re.sub(r":[\w.\-]*$", "", merged["image"]) + f":{version}"
    text = json.dumps(merged).replace("{{.Name}}", service["metadata"]["name"])
    filled: dict[str, Any] = json.loads(text)
    return filled


_KEYS = {"env": "name", "ports": "containerPort", "volumeMounts": "mountPath"}
"""List of a container -> what its elements are merged by (Kubernetes' patchMergeKey)."""


def _merge(base: Any, patch: Any, field: str) -> Any:
    if isinstance(base, dict) and isinstance(patch, dict):
        merged = copy.deepcopy(base)
        for key, value in patch.items():
            merged[key] = _merge(base[key], value, key) if key in base else copy.deepcopy(value)
        return merged
    if isinstance(base, list) and isinstance(patch, list) and field in _KEYS:
        key = _KEYS[field]
        mine = {item[key]: item for item in patch}
        kept = [_merge(item, mine.pop(item[key], {}), "") for item in base]
        return [*kept, *mine.values()]
    return copy.deepcopy(patch)


def runtime_of(service: Manifest, runtimes: Sequence[Manifest]) -> Manifest:
    """The runtime that KServe takes: the one named, else the first by priority that supports it.

    Raises LookupError.
    """
    model = service["spec"]["predictor"]["model"]
    if "runtime" in model:
        fitting = [r for r in runtimes if r["metadata"]["name"] == model["runtime"]]
    else:
        fitting = [r for r in runtimes if _supports(r, model)]
    if not fitting:
        raise LookupError(f"no runtime for {service['metadata']['name']}")
    return max(fitting, key=lambda r: int(r["spec"]["supportedModelFormats"][0].get("priority", 0)))


def _supports(runtime: Manifest, model: Mapping[str, Any]) -> bool:
    wanted = model["modelFormat"]
    return model.get("protocolVersion", "v1") in runtime["spec"]["protocolVersions"] and any(
        f["name"] == wanted["name"]
        and f.get("autoSelect")
        and wanted.get("version", f.get("version")) == f.get("version")
        for f in runtime["spec"]["supportedModelFormats"]
    )


def runtime_faults(runtime: Manifest) -> Iterator[str]:
    """What schemas cannot see of a runtime for both of KServe's deployment modes."""
    spec, name = runtime["spec"], runtime["metadata"]["name"]
    if any(p not in PROTOCOLS for p in spec["protocolVersions"]):
        yield f"{name}: protocolVersions {spec['protocolVersions']}, expected some of {PROTOCOLS}"
    if [c["name"] for c in spec["containers"]] != [CONTAINER]:
        yield f"{name}: the one container must be called {CONTAINER}"
        return
    container = spec["containers"][0]
    yield from (f"{name}: {fault}" for fault in _knative_faults(container))
    yield from (f"{name}: {fault}" for fault in _restricted_faults(container))
    yield from (f"{name}: {fault}" for fault in _drain_faults(container, GRACE_S))
    port = spec["annotations"]["prometheus.kserve.io/port"]
    if f"--http_port={port}" not in container["args"]:
        yield f"{name}: metrics are scraped at {port}, which is not the HTTP port"
    mounts, volumes = container.get("volumeMounts", ()), spec.get("volumes", ())
    if {m["name"] for m in mounts} != {v["name"] for v in volumes}:
        yield f"{name}: volumes and their mounts differ"


def _knative_faults(container: Mapping[str, Any]) -> Iterator[str]:
    """Knative's admission (pkg/apis/serving: k8s_validation.go, fieldmask.go)."""
    ports = container.get("ports", ())
    if len(ports) > 1:
        yield f"Knative takes one port, got {[p['containerPort'] for p in ports]}"
    yield from (
        f"Knative takes the port names h2c and http1, got {p['name']!r}"
        for p in ports
        if p.get("name", "") not in ("", "h2c", "http1")
    )
    yield from (
        f"Knative does not take {field}"
        for field in ("lifecycle", "startupProbe")
        if field in container
    )
    listening = {a.split("=")[1] for a in container["args"] if re.match(r"--\w+_port=", a)}
    for probe in ("readinessProbe", "livenessProbe"):
        handler = container[probe].get("httpGet") or container[probe].get("grpc")
        if str(handler["port"]) not in listening:
            yield f"{probe}: nothing listens on {handler['port']}"


def _restricted_faults(container: Mapping[str, Any]) -> Iterator[str]:
    """The container's part of the Pod Security Standard ``restricted``."""
    security = container["securityContext"]
    wanted = {
        "runAsNonRoot": True,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    for key, value in wanted.items():
        if security.get(key) != value:
            yield f"securityContext.{key}: expected {value}, got {security.get(key)}"


def _drain_faults(container: Mapping[str, Any], grace_s: float) -> Iterator[str]:
    values = {e["name"]: e.get("value") for e in container["env"]}
    needs_s = sum(float(values[f"QUARTET_DRAIN_{k}_S"] or 0) for k in ("DELAY", "TIMEOUT"))
    if needs_s + 5 > grace_s:
        yield f"draining may take {needs_s:g} s and closing 5 s, more than the pod's {grace_s:g} s"


def service_faults(service: Manifest) -> Iterator[str]:
    """What schemas cannot see of an InferenceService (KServe's own admission and defaults)."""
    name, predictor = service["metadata"]["name"], service["spec"]["predictor"]
    annotations = service["metadata"].get("annotations", {})
    mode = annotations.get("serving.kserve.io/deploymentMode")
    if not re.fullmatch("[a-z]([-a-z0-9]*[a-z0-9])?", name):
        yield f"{name}: no name of an InferenceService"
    if mode not in MODES:
        yield f"{name}: deploymentMode {mode!r}, expected one of {MODES}"
    scaler = annotations.get("serving.kserve.io/autoscalerClass", "hpa")
    if scaler not in AUTOSCALERS:
        yield f"{name}: autoscalerClass {scaler!r}, expected one of {AUTOSCALERS}"
    if scaler == "external" and "minReplicas" in predictor:
        yield f"{name}: with an autoscaler of one's own, minReplicas would set the replicas back"
    if predictor["model"].get("protocolVersion", "v1") not in ("v2", "grpc-v2"):
        yield f"{name}: protocolVersion must be v2 or grpc-v2"
    canaries = service["spec"].get("canary", ())
    if mode == "Knative" and (canaries or len(predictor["model"].get("ports", ())) > 1):
        yield f"{name}: canary lists and several ports are for plain Deployments"
    if mode == "Standard" and "canaryTrafficPercent" in predictor:
        yield f"{name}: canaryTrafficPercent is for Knative"
    if sum(c["trafficPercent"] for c in canaries) > 100:
        yield f"{name}: canaries get more than 100 %"
    if any("name" not in c["predictor"] or "maxReplicas" in c["predictor"] for c in canaries):
        yield f"{name}: a canary has a name and is not scaled by itself"
