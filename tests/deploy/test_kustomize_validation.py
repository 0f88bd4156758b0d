"""Each validator refuses a fault of its kind: what passes has really been looked at."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.kustomizations import USERS_MAKE, combined, one, overlay
from tests.deploy.schemas import validate

Documents = list[dict[str, Any]]
Seed = Callable[[Documents], object]


def pod(documents: Documents) -> dict[str, Any]:
    """The pod's spec in the Deployment."""
    found: dict[str, Any] = one(documents, "Deployment")["spec"]["template"]["spec"]
    return found


def container(documents: Documents) -> dict[str, Any]:
    """The server's container."""
    found: dict[str, Any] = pod(documents)["containers"][0]
    return found


def spec(documents: Documents, kind: str, name: str = "quartet") -> dict[str, Any]:
    found: dict[str, Any] = one(documents, kind, name)["spec"]
    return found


def drop(documents: Documents, kind: str, name: str = "quartet") -> None:
    documents.remove(one(documents, kind, name))


CORE: dict[str, tuple[Seed, str]] = {
    "misspelt field": (
        lambda d: container(d).update(livenesProbe={}),
        "Deployment/quartet: spec.template.spec.containers.0: .*livenesProbe",
    ),
    "wrong type": (
        lambda d: spec(d, "Deployment").update(minReadySeconds="5"),
        "Deployment/quartet: spec.minReadySeconds: '5' is not of type",
    ),
    "missing field": (
        lambda d: spec(d, "HorizontalPodAutoscaler").pop("maxReplicas"),
        "HorizontalPodAutoscaler/quartet: spec: 'maxReplicas' is a required property",
    ),
    "number in a ConfigMap": (
        lambda d: one(d, "ConfigMap")["data"].update(QUARTET_THREADS=2),
        "ConfigMap/quartet-.*: data.QUARTET_THREADS: 2 is not of type",
    ),
    "unknown kind": (
        lambda d: one(d, "PodDisruptionBudget").update(kind="PodDistributionBudget"),
        "PodDistributionBudget/quartet: kind: no schema for policy/v1",
    ),
    "version that is gone": (
        lambda d: one(d, "PodDisruptionBudget").update(apiVersion="policy/v1beta1"),
        "PodDisruptionBudget/quartet: kind: no schema for policy/v1beta1",
    ),
    "no name": (
        lambda d: one(d, "ServiceAccount")["metadata"].pop("name"),
        "document 0: no apiVersion, kind or metadata.name",
    ),
}
CUSTOM: dict[str, tuple[Seed, str]] = {
    "misspelt field": (
        lambda d: spec(d, "ScaledObject").update(minReplicas=2),
        "ScaledObject/quartet: spec.minReplicas: unknown field",
    ),
    "misspelt field of a list": (
        lambda d: spec(d, "ServiceMonitor")["endpoints"][0].update(intervall="15s"),
        "ServiceMonitor/quartet: spec.endpoints.0.intervall: unknown field",
    ),
    "wrong type": (
        lambda d: spec(d, "ScaledObject")["triggers"][0]["metadata"].update(threshold=16),
        "ScaledObject/quartet: spec.triggers.0.metadata.threshold: must be string",
    ),
    "duration": (
        lambda d: spec(d, "PrometheusRule")["groups"][0].update(interval="30 s"),
        "PrometheusRule/quartet: spec.groups.0.interval: must match pattern",
    ),
    "path type": (
        lambda d: spec(d, "HTTPRoute")["rules"][0]["matches"][0]["path"].update(type="Prefix"),
        "HTTPRoute/quartet: spec.rules.0.matches.0.path.type: must be equal to one",
    ),
    "misspelt field of a gRPC route": (
        lambda d: spec(d, "GRPCRoute")["rules"][0]["matches"][0]["method"].update(name="x"),
        "GRPCRoute/quartet: spec.rules.0.matches.0.method.name: unknown field",
    ),
    "port out of range": (
        lambda d: spec(d, "GRPCRoute")["rules"][0]["backendRefs"][0].update(port=80010),
        "GRPCRoute/quartet: spec.rules.0.backendRefs.0.port: must be <= 65535",
    ),
    "unknown kind of a known group": (
        lambda d: one(d, "ScaledObject").update(kind="ScaledThing"),
        "ScaledThing/quartet: kind: no schema for this kind",
    ),
    "unknown group": (
        lambda d: one(d, "ScaledObject").update(apiVersion="keda.example.com/v1alpha1"),
        "ScaledObject/quartet: kind: no schema for keda.example.com/v1alpha1",
    ),
}
REFERENCES: dict[str, tuple[Seed, str]] = {
    "two of a name": (
        lambda d: d.append(one(d, "ServiceAccount")),
        "ServiceAccount/quartet: metadata.name: defined 2 times",
    ),
    "selector of a Deployment": (
        lambda d: spec(d, "Deployment")["selector"]["matchLabels"].update(tier="x"),
        "Deployment/quartet: spec.selector: does not match",
    ),
    "rollout without a step": (
        lambda d: spec(d, "Deployment")["strategy"]["rollingUpdate"].update(maxSurge="0%"),
        "maxSurge and maxUnavailable are both 0",
    ),
    "selector of a Service": (
        lambda d: spec(d, "Service", "quartet-grpc")["selector"].update(tier="x"),
        "Service/quartet-grpc: spec.selector: matches no pod",
    ),
    "target port": (
        lambda d: spec(d, "Service")["ports"][0].update(targetPort="web"),
        "Service/quartet: spec.ports.0.targetPort: Deployment/quartet has no port 'web'",
    ),
    "budget of nothing": (
        lambda d: spec(d, "PodDisruptionBudget")["selector"]["matchLabels"].update(tier="x"),
        "PodDisruptionBudget/quartet: spec.selector: matches no pod",
    ),
    "policy about nothing": (
        lambda d: spec(d, "NetworkPolicy")["podSelector"]["matchLabels"].update(tier="x"),
        "NetworkPolicy/quartet: spec.podSelector: matches no pod",
    ),
    "port of a policy": (
        lambda d: spec(d, "NetworkPolicy")["ingress"][0]["ports"][0].update(port="web"),
        "NetworkPolicy/quartet: spec.ingress.0.ports: no pod has the port 'web'",
    ),
    "target of an autoscaler": (
        lambda d: spec(d, "ScaledObject")["scaleTargetRef"].update(name="other"),
        "ScaledObject/quartet: spec.scaleTargetRef: there is no Deployment/other",
    ),
    "replicas beside an autoscaler": (
        lambda d: spec(d, "Deployment").update(replicas=2),
        "Deployment/quartet: spec.replicas: set, but ScaledObject/quartet owns",
    ),
    "two autoscalers": (
        lambda d: d.append(one(overlay("cpu"), "HorizontalPodAutoscaler")),
        "Deployment/quartet is scaled by .* already",
    ),
    "bounds": (
        lambda d: spec(d, "ScaledObject").update(minReplicaCount=9),
        "ScaledObject/quartet: spec: the minimum of 9 replicas exceeds 8",
    ),
    "monitor of nothing": (
        lambda d: spec(d, "ServiceMonitor")["selector"]["matchLabels"].update(tier="x"),
        "ServiceMonitor/quartet: spec.selector: matches no Service",
    ),
    "port of a monitor": (
        lambda d: spec(d, "ServiceMonitor")["endpoints"][0].update(port="prometheus"),
        "ServiceMonitor/quartet: spec.endpoints.0.port: Service/quartet-metrics has only",
    ),
    "backend": (
        lambda d: spec(d, "HTTPRoute")["rules"][0]["backendRefs"][0].update(name="other"),
        "HTTPRoute/quartet: spec.rules.0.backendRefs: there is no Service/other",
    ),
    "port of a backend": (
        lambda d: spec(d, "GRPCRoute")["rules"][0]["backendRefs"][0].update(port=8000),
        "GRPCRoute/quartet: spec.rules.0.backendRefs: Service/quartet-grpc has no port 8000",
    ),
    "credentials of a trigger": (
        lambda d: spec(d, "ScaledObject")["triggers"][0].update(authenticationRef={"name": "p"}),
        "spec.triggers.0.authenticationRef: there is no TriggerAuthentication/p",
    ),
    "account": (
        lambda d: drop(d, "ServiceAccount"),
        "spec.template.spec.serviceAccountName: there is no ServiceAccount/quartet",
    ),
    "settings": (
        lambda d: drop(d, "ConfigMap"),
        "containers.0.env: there is no ConfigMap/quartet-",
    ),
    "secret that is not optional": (
        lambda d: container(d)["envFrom"][1]["secretRef"].pop("optional"),
        "containers.0.env: there is no Secret/quartet",
    ),
    "claim": (
        lambda d: pod(d)["volumes"][0].update(
            {"emptyDir": None, "persistentVolumeClaim": {"claimName": "none"}}
        ),
        "volumes.0: there is no PersistentVolumeClaim/none",
    ),
    "mount without a volume": (
        lambda d: container(d)["volumeMounts"][0].update(name="other"),
        "containers.0.volumeMounts.0: there is no volume 'other'",
    ),
    "volume without a mount": (
        lambda d: pod(d)["volumes"].append({"name": "spare", "emptyDir": {}}),
        "volumes.1: nothing mounts 'spare'",
    ),
    "port of a probe": (
        lambda d: container(d)["readinessProbe"]["httpGet"].update(port="web"),
        "containers.0.readinessProbe.httpGet.port: the container has no port 'web'",
    ),
    "name of a port": (
        lambda d: container(d)["ports"][0].update(name="a-name-that-is-too-long"),
        "containers.0.ports: 'a-name-that-is-too-long' is no port name",
    ),
    "spread of other pods": (
        lambda d: pod(d)["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"].update(
            tier="x"
        ),
        "topologySpreadConstraints.0.labelSelector: does not match the pod itself",
    ),
    "request above the limit": (
        lambda d: container(d)["resources"]["requests"].update(memory="3Gi"),
        "containers.0.resources: asks for 3Gi of memory, more than its limit 2Gi",
    ),
    "half a GPU": (
        lambda d: container(d)["resources"]["requests"].update({"nvidia.com/gpu": "1"}),
        "containers.0.resources: request and limit of nvidia.com/gpu must be equal",
    ),
    "no time to end": (
        lambda d: pod(d).update(terminationGracePeriodSeconds=10),
        "containers.0.lifecycle.preStop: takes all of the 10 s",
    ),
}


def found(documents: Documents, seed: Seed) -> str:
    """The faults of manifests without any, after ``seed`` has made one."""
    seed(documents)
    return "\n".join(validate(documents))


@pytest.mark.parametrize("name", CORE)
def test_a_fault_of_a_core_kind_is_refused(name: str) -> None:
    seed, expected = CORE[name]
    assert re.search(expected, found(overlay("cpu"), seed))


@pytest.mark.parametrize("name", CUSTOM)
def test_a_fault_of_a_custom_resource_is_refused(name: str) -> None:
    seed, expected = CUSTOM[name]
    assert re.search(expected, found(overlay("full"), seed))


@pytest.mark.parametrize("name", REFERENCES)
def test_a_reference_that_leads_nowhere_is_refused(name: str) -> None:
    seed, expected = REFERENCES[name]
    assert re.search(expected, found(overlay("full"), seed))


def test_what_users_make_is_missed_unless_it_is_said_to_exist(tmp_path: Path) -> None:
    documents = combined(tmp_path, "cpu", ["models-object-store"])
    assert any("there is no Secret/quartet-models" in fault for fault in validate(documents))
    assert validate(documents, existing=USERS_MAKE) == []


def test_a_whole_is_no_less_strict_than_its_parts() -> None:
    """The checks between objects run only where each object is sound."""
    documents = overlay("cpu")
    container(documents).update(livenesProbe={})
    drop(documents, "ServiceAccount")
    assert len(validate(documents)) == 1
