"""Every pod is admitted by the profile ``restricted``; each rule refuses a pod that breaks it."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.deploy.kustomizations import OVERLAYS, overlay
from tests.deploy.pod_security import RULES, restricted_faults
from tests.deploy.pods import Pod, pods_of

GOOD: dict[str, Any] = {
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "volumes": [{"name": "tmp", "emptyDir": {}}],
    "containers": [
        {
            "name": "one",
            "ports": [{"containerPort": 8000}],
            "livenessProbe": {"httpGet": {"path": "/", "port": 8000}},
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            },
        }
    ],
}
Breach = Callable[[dict[str, Any]], object]


def context(spec: dict[str, Any]) -> dict[str, Any]:
    """The security context of the only container."""
    found: dict[str, Any] = spec["containers"][0]["securityContext"]
    return found


BREACHES: dict[str, Breach] = {
    "host process": lambda s: context(s).update(windowsOptions={"hostProcess": True}),
    "host namespaces": lambda s: s.update(hostNetwork=True),
    "privileged": lambda s: context(s).update(privileged=True),
    "capabilities": lambda s: context(s)["capabilities"].update(drop=["NET_RAW"]),
    "volume types": lambda s: s["volumes"].append({"name": "x", "hostPath": {"path": "/"}}),
    "host ports": lambda s: s["containers"][0]["ports"][0].update(hostPort=8000),
    "host of probes": lambda s: s["containers"][0]["livenessProbe"]["httpGet"].update(host="::1"),
    "apparmor": lambda s: context(s).update(appArmorProfile={"type": "Unconfined"}),
    "selinux": lambda s: s["securityContext"].update(seLinuxOptions={"type": "spc_t"}),
    "proc mount": lambda s: context(s).update(procMount="Unmasked"),
    "sysctls": lambda s: s["securityContext"].update(sysctls=[{"name": "kernel.msgmax"}]),
    "privilege escalation": lambda s: context(s).pop("allowPrivilegeEscalation"),
    "non-root": lambda s: s["securityContext"].pop("runAsNonRoot"),
    "root user": lambda s: context(s).update(runAsUser=0),
    "seccomp": lambda s: s["securityContext"].pop("seccompProfile"),
}


def pod(spec: dict[str, Any]) -> Pod:
    return Pod("Pod/one", "spec", {}, spec)


@pytest.mark.parametrize("name", OVERLAYS)
def test_pods_of_an_overlay_are_admitted(name: str) -> None:
    pods = [p for document in overlay(name) for p in pods_of(document)]
    assert pods
    assert [fault for p in pods for fault in restricted_faults(p)] == []


def test_a_pod_that_keeps_every_rule_is_admitted() -> None:
    assert restricted_faults(pod(GOOD)) == []


def test_every_rule_has_a_breach() -> None:
    assert BREACHES.keys() == RULES.keys()


@pytest.mark.parametrize("rule", BREACHES)
def test_a_breach_is_found_by_its_rule_alone(rule: str) -> None:
    spec = copy.deepcopy(GOOD)
    BREACHES[rule](spec)
    found = {name for name in RULES if list(RULES[name](pod(spec)))}
    assert found == {rule}


def test_a_container_that_runs_first_is_held_to_the_rules() -> None:
    spec = copy.deepcopy(GOOD)
    spec["initContainers"] = [{"name": "first"}]
    assert all("initContainers.0" in fault for fault in restricted_faults(pod(spec)))
    assert restricted_faults(pod(spec))


def test_an_added_capability_is_found() -> None:
    spec = copy.deepcopy(GOOD)
    context(spec)["capabilities"]["add"] = ["NET_ADMIN"]
    assert restricted_faults(pod(spec)) == [
        "Pod/one: spec.containers.0: capabilities.add: ['NET_ADMIN']"
    ]
