"""Pod specs in manifests, and what must agree within one."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Manifest = Mapping[str, Any]
Exists = Callable[[str, str], bool]
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
SUFFIXES = {
    "": 1.0, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12,
    "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40,
}  # fmt: skip


@dataclass(frozen=True)
class Pod:
    """A pod or the template of one."""

    owner: str
    """``Kind/name`` of the object that holds it."""
    path: str
    """Where the pod's spec is in that object."""
    labels: Mapping[str, str]
    spec: Mapping[str, Any]

    def containers(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Each container with its path, those that run first included."""
        for field in ("initContainers", "containers", "ephemeralContainers"):
            for index, container in enumerate(self.spec.get(field, [])):
                yield f"{self.owner}: {self.path}.{field}.{index}", container

    def port_names(self) -> set[str]:
        """Names of the ports of all containers."""
        return {
            port["name"]
            for _, container in self.containers()
            for port in container.get("ports", [])
            if "name" in port
        }


def pods_of(document: Manifest) -> Iterator[Pod]:
    """The pods that one object makes."""
    kind, owner = document["kind"], f"{document['kind']}/{document['metadata']['name']}"
    if kind == "Pod":
        yield Pod(owner, "spec", document["metadata"].get("labels", {}), document["spec"])
        return
    holder, path = document.get("spec", {}), "spec"
    if kind == "CronJob":
        holder, path = holder["jobTemplate"]["spec"], "spec.jobTemplate.spec"
    if kind in ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob"):
        template = holder["template"]
        labels = template.get("metadata", {}).get("labels", {})
        yield Pod(owner, f"{path}.template.spec", labels, template["spec"])


def pod_faults(pod: Pod, exists: Exists) -> Iterator[str]:
    """What does not agree within one pod, and what it needs that does not exist."""
    yield from _volumes(pod, exists)
    yield from _spread(pod)
    account = pod.spec.get("serviceAccountName", "default")
    if account != "default" and not exists("ServiceAccount", account):
        yield f"{pod.owner}: {pod.path}.serviceAccountName: there is no ServiceAccount/{account}"
    names = [container["name"] for _, container in pod.containers()]
    for name in sorted({n for n in names if names.count(n) > 1}):
        yield f"{pod.owner}: {pod.path}: two containers are named {name!r}"
    grace = pod.spec.get("terminationGracePeriodSeconds", 30)
    for path, container in pod.containers():
        yield from _mounts(pod, path, container)
        yield from _ports(path, container)
        yield from _environment(path, container, exists)
        yield from _resources(path, container)
        sleep = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        if sleep >= grace:
            yield f"{path}.lifecycle.preStop: takes all of the {grace} s that the pod has to end"


def quantity(text: str | float) -> float:
    """A Kubernetes quantity in its base unit (CPUs, bytes).

    Raises:
        ValueError: it is none.
    """
    found = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", str(text))
    if found is None or found[2] not in SUFFIXES:
        raise ValueError(f"not a quantity: {text!r}")
    return float(found[1]) * SUFFIXES[found[2]]


def _volumes(pod: Pod, exists: Exists) -> Iterator[str]:
    volumes = pod.spec.get("volumes", [])
    names = [volume["name"] for volume in volumes]
    for name in sorted({n for n in names if names.count(n) > 1}):
        yield f"{pod.owner}: {pod.path}.volumes: two are named {name!r}"
    mounted = {m["name"] for _, c in pod.containers() for m in c.get("volumeMounts", [])}
    for index, volume in enumerate(volumes):
        path = f"{pod.owner}: {pod.path}.volumes.{index}"
        if volume["name"] not in mounted:
            yield f"{path}: nothing mounts {volume['name']!r}"
        for kind, name in _sources(volume):
            if not exists(kind, name):
                yield f"{path}: there is no {kind}/{name}"


def _sources(volume: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Kind and name of what a volume is made of and cannot do without."""
    projected = volume.get("projected", {}).get("sources", [])
    for source in (volume, *projected):
        config, secret = source.get("configMap"), source.get("secret")
        if config and not config.get("optional"):
            yield "ConfigMap", config["name"]
        if secret and not secret.get("optional"):
            yield "Secret", secret.get("secretName") or secret["name"]
    if claim := volume.get("persistentVolumeClaim"):
        yield "PersistentVolumeClaim", claim["claimName"]


def _spread(pod: Pod) -> Iterator[str]:
    for index, constraint in enumerate(pod.spec.get("topologySpreadConstraints", [])):
        selector = constraint.get("labelSelector", {}).get("matchLabels", {})
        if not selector or any(pod.labels.get(k) != v for k, v in selector.items()):
            path = f"{pod.path}.topologySpreadConstraints.{index}.labelSelector"
            yield f"{pod.owner}: {path}: does not match the pod itself"


def _mounts(pod: Pod, path: str, container: Mapping[str, Any]) -> Iterator[str]:
    volumes = {volume["name"] for volume in pod.spec.get("volumes", [])}
    places: set[str] = set()
    for index, mount in enumerate(container.get("volumeMounts", [])):
        if mount["name"] not in volumes:
            yield f"{path}.volumeMounts.{index}: there is no volume {mount['name']!r}"
        if mount["mountPath"] in places:
            yield f"{path}.volumeMounts.{index}: {mount['mountPath']} is taken"
        places.add(mount["mountPath"])


def _ports(path: str, container: Mapping[str, Any]) -> Iterator[str]:
    ports = container.get("ports", [])
    numbers = [(port["containerPort"], port.get("protocol", "TCP")) for port in ports]
    names = {port.get("name") for port in ports}
    if len(set(numbers)) < len(numbers):
        yield f"{path}.ports: a number is given twice"
    for name in names - {None}:
        if not re.fullmatch(r"(?=.*[a-z])[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?", str(name)):
            yield f"{path}.ports: {name!r} is no port name (at most 15 of a-z, 0-9, -)"
    for probe in PROBES:
        for action in ("httpGet", "tcpSocket"):
            port = container.get(probe, {}).get(action, {}).get("port")
            if isinstance(port, str) and port not in names:
                yield f"{path}.{probe}.{action}.port: the container has no port {port!r}"


def _environment(path: str, container: Mapping[str, Any], exists: Exists) -> Iterator[str]:
    names = [variable["name"] for variable in container.get("env", [])]
    for name in sorted({n for n in names if names.count(n) > 1}):
        yield f"{path}.env: {name} is set twice"
    sources = [*container.get("envFrom", [])]
    sources += [variable.get("valueFrom", {}) for variable in container.get("env", [])]
    for source in sources:
        for field, kind in _REFERENCES.items():
            reference = source.get(field)
            if reference and not reference.get("optional") and not exists(kind, reference["name"]):
                yield f"{path}.env: there is no {kind}/{reference['name']}"


_REFERENCES = {
    "configMapRef": "ConfigMap",
    "configMapKeyRef": "ConfigMap",
    "secretRef": "Secret",
    "secretKeyRef": "Secret",
}


def _resources(path: str, container: Mapping[str, Any]) -> Iterator[str]:
    """Requests are at most the limits; devices are asked for by equal limits."""
    limits = container.get("resources", {}).get("limits", {})
    requests = container.get("resources", {}).get("requests", {})
    for name, asked in requests.items():
        limit = limits.get(name)
        if limit is not None and quantity(asked) > quantity(limit):
            yield f"{path}.resources: asks for {asked} of {name}, more than its limit {limit}"
        if "/" in name and (limit is None or quantity(asked) != quantity(limit)):
            yield f"{path}.resources: request and limit of {name} must be equal"
