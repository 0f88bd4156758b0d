"""What must agree between and within Kubernetes objects, and no schema can say.

Each check yields faults as text, ``Kind/name: path: what is wrong``.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.deploy.pods import Pod, pod_faults, pods_of

Manifest = Mapping[str, Any]
WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")
SCALABLE = ("Deployment", "StatefulSet", "ReplicaSet")


@dataclass(frozen=True)
class Objects:
    """Manifests that are applied together."""

    documents: Sequence[Manifest]
    existing: Collection[str] = ()
    """What is there already, as ``Kind/name``."""

    def of(self, *kinds: str) -> list[Manifest]:
        """The objects of some kinds."""
        return [d for d in self.documents if d["kind"] in kinds]

    def has(self, kind: str, name: str) -> bool:
        """Whether there is or will be such an object."""
        known = (f"{d['kind']}/{d['metadata']['name']}" for d in self.documents)
        return f"{kind}/{name}" in self.existing or f"{kind}/{name}" in known

    def pods(self) -> list[Pod]:
        """The pods that these objects make."""
        return [pod for document in self.documents for pod in pods_of(document)]


def reference_faults(objects: Objects) -> Iterator[str]:
    """Every fault of every check."""
    for check in CHECKS:
        yield from check(objects)


def _title(document: Manifest) -> str:
    return f"{document['kind']}/{document['metadata']['name']}"


def matches(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Whether labels satisfy equality selectors."""
    return all(labels.get(key) == value for key, value in selector.items())


def _duplicates(objects: Objects) -> Iterator[str]:
    titles = [_title(d) for d in objects.documents]
    for title in sorted({t for t in titles if titles.count(t) > 1}):
        yield f"{title}: metadata.name: defined {titles.count(title)} times"


def _workloads(objects: Objects) -> Iterator[str]:
    """Selectors select the template; a rollout can make a step."""
    for workload in objects.of(*WORKLOADS):
        selector = workload["spec"]["selector"].get("matchLabels", {})
        labels = workload["spec"]["template"]["metadata"].get("labels", {})
        if not selector or not matches(selector, labels):
            yield f"{_title(workload)}: spec.selector: does not match the labels of the template"
        rolling = workload["spec"].get("strategy", {}).get("rollingUpdate", {})
        steps = [str(rolling.get(name, "25%")) for name in ("maxSurge", "maxUnavailable")]
        if all(step in ("0", "0%") for step in steps):
            path = "spec.strategy.rollingUpdate"
            yield f"{_title(workload)}: {path}: maxSurge and maxUnavailable are both 0"


def _pods(objects: Objects) -> Iterator[str]:
    for pod in objects.pods():
        yield from pod_faults(pod, objects.has)


def _selected(objects: Objects, selector: Mapping[str, str]) -> list[Pod]:
    return [pod for pod in objects.pods() if matches(selector, pod.labels)]


def _services(objects: Objects) -> Iterator[str]:
    """A Service selects pods, and the ports that it names are theirs."""
    for service in objects.of("Service"):
        selector = service["spec"].get("selector")
        if selector is None:
            continue
        pods = _selected(objects, selector)
        if not pods:
            yield f"{_title(service)}: spec.selector: matches no pod"
        for index, port in enumerate(service["spec"].get("ports", [])):
            target = port.get("targetPort")
            for pod in pods:
                if isinstance(target, str) and target not in pod.port_names():
                    path = f"spec.ports.{index}.targetPort"
                    yield f"{_title(service)}: {path}: {pod.owner} has no port {target!r}"


def _selectors(objects: Objects) -> Iterator[str]:
    """Budgets and policies are about pods that exist; named ports of policies are theirs."""
    for document in objects.of("PodDisruptionBudget", "NetworkPolicy"):
        field = "podSelector" if document["kind"] == "NetworkPolicy" else "selector"
        selector = document["spec"].get(field, {}).get("matchLabels", {})
        pods = _selected(objects, selector)
        if not pods:
            yield f"{_title(document)}: spec.{field}: matches no pod"
        names = {name for pod in pods for name in pod.port_names()}
        for index, rule in enumerate(document["spec"].get("ingress", [])):
            for port in rule.get("ports", []):
                if isinstance(port.get("port"), str) and port["port"] not in names:
                    path = f"spec.ingress.{index}.ports"
                    yield f"{_title(document)}: {path}: no pod has the port {port['port']!r}"


def _scalers(objects: Objects) -> Iterator[str]:
    """One autoscaler a workload, which exists and leaves the number of replicas to it."""
    taken: dict[str, str] = {}
    for scaler in objects.of("HorizontalPodAutoscaler", "ScaledObject"):
        reference = scaler["spec"]["scaleTargetRef"]
        target = f"{reference.get('kind', 'Deployment')}/{reference['name']}"
        path = f"{_title(scaler)}: spec.scaleTargetRef"
        if target in taken:
            yield f"{path}: {target} is scaled by {taken[target]} already"
        taken[target] = _title(scaler)
        found = [d for d in objects.of(*SCALABLE) if _title(d) == target]
        if not found and target not in objects.existing:
            yield f"{path}: there is no {target}"
        if any("replicas" in d["spec"] for d in found):
            yield f"{target}: spec.replicas: set, but {_title(scaler)} owns the number"
        low, high = _bounds(scaler)
        if low > high:
            yield f"{_title(scaler)}: spec: the minimum of {low} replicas exceeds {high}"


def _bounds(scaler: Manifest) -> tuple[int, int]:
    """Least and most replicas."""
    spec = scaler["spec"]
    if scaler["kind"] == "ScaledObject":
        return int(spec.get("minReplicaCount", 0)), int(spec.get("maxReplicaCount", 100))
    return int(spec.get("minReplicas", 1)), int(spec["maxReplicas"])


def _monitors(objects: Objects) -> Iterator[str]:
    """A ServiceMonitor selects Services that have the port that it scrapes."""
    for monitor in objects.of("ServiceMonitor"):
        selector = monitor["spec"]["selector"].get("matchLabels", {})
        services = [
            s for s in objects.of("Service") if matches(selector, s["metadata"].get("labels", {}))
        ]
        if not services:
            yield f"{_title(monitor)}: spec.selector: matches no Service"
        for index, endpoint in enumerate(monitor["spec"]["endpoints"]):
            for service in services:
                ports = [port.get("name") for port in service["spec"]["ports"]]
                if endpoint.get("port") not in ports:
                    path = f"spec.endpoints.{index}.port"
                    yield f"{_title(monitor)}: {path}: {_title(service)} has only {ports}"


def _routes(objects: Objects) -> Iterator[str]:
    """Routes lead to Services that have the port."""
    for route in objects.of("HTTPRoute", "GRPCRoute"):
        for index, rule in enumerate(route["spec"].get("rules", [])):
            for backend in rule.get("backendRefs", []):
                path = f"{_title(route)}: spec.rules.{index}.backendRefs"
                name = backend["name"]
                found = [s for s in objects.of("Service") if s["metadata"]["name"] == name]
                if not found and f"Service/{name}" not in objects.existing:
                    yield f"{path}: there is no Service/{name}"
                for service in found:
                    if backend.get("port") not in [p["port"] for p in service["spec"]["ports"]]:
                        yield f"{path}: Service/{name} has no port {backend.get('port')}"


def _triggers(objects: Objects) -> Iterator[str]:
    """Credentials of KEDA's triggers exist."""
    for scaled in objects.of("ScaledObject"):
        for index, trigger in enumerate(scaled["spec"]["triggers"]):
            reference = trigger.get("authenticationRef")
            if not reference:
                continue
            kind = reference.get("kind", "TriggerAuthentication")
            if not objects.has(kind, reference["name"]):
                path = f"spec.triggers.{index}.authenticationRef"
                yield f"{_title(scaled)}: {path}: there is no {kind}/{reference['name']}"
    for authentication in objects.of("TriggerAuthentication"):
        for index, secret in enumerate(authentication["spec"].get("secretTargetRef", [])):
            if not objects.has("Secret", secret["name"]):
                path = f"spec.secretTargetRef.{index}"
                yield f"{_title(authentication)}: {path}: there is no Secret/{secret['name']}"


CHECKS: tuple[Callable[[Objects], Iterator[str]], ...] = (
    _duplicates,
    _workloads,
    _pods,
    _services,
    _selectors,
    _scalers,
    _monitors,
    _routes,
    _triggers,
)
