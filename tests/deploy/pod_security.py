"""The profile ``restricted`` of the Pod Security Standards, including ``baseline``.

https://kubernetes.io/docs/concepts/security/pod-security-standards/. Linux pods; every rule yields
faults as text, and stands alone so that it can be proved alone.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests.deploy.pods import PROBES, Pod

Rule = Callable[[Pod], Iterator[str]]
VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim",
    "projected", "secret",
}  # fmt: skip
SAFE_SYSCTLS = {
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
}  # fmt: skip
SELINUX_TYPES = (
    None,
    "",
    "container_t",
    "container_init_t",
    "container_kvm_t",
    "container_engine_t",
)


def restricted_faults(pod: Pod) -> list[str]:
    """What the admission of a namespace with ``enforce: restricted`` would refuse."""
    return [fault for rule in RULES.values() for fault in rule(pod)]


def _contexts(pod: Pod) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The security context of the pod, then those of its containers."""
    yield f"{pod.owner}: {pod.path}", pod.spec.get("securityContext") or {}
    yield from _containers(pod)


def _containers(pod: Pod) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for path, container in pod.containers():
        yield path, container.get("securityContext") or {}


def _host_process(pod: Pod) -> Iterator[str]:
    for path, context in _contexts(pod):
        if context.get("windowsOptions", {}).get("hostProcess"):
            yield f"{path}: hostProcess"


def _host_namespaces(pod: Pod) -> Iterator[str]:
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.spec.get(field):
            yield f"{pod.owner}: {pod.path}: {field}"


def _privileged(pod: Pod) -> Iterator[str]:
    for path, context in _containers(pod):
        if context.get("privileged"):
            yield f"{path}: privileged"


def _capabilities(pod: Pod) -> Iterator[str]:
    for path, context in _containers(pod):
        capabilities = context.get("capabilities", {})
        if "ALL" not in capabilities.get("drop", []):
            yield f"{path}: capabilities.drop is without ALL"
        if set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
            yield f"{path}: capabilities.add: {capabilities['add']}"


def _volume_types(pod: Pod) -> Iterator[str]:
    """``hostPath`` of the baseline is one of those that are not listed."""
    for index, volume in enumerate(pod.spec.get("volumes", [])):
        for kind in volume.keys() - {"name"} - VOLUMES:
            yield f"{pod.owner}: {pod.path}.volumes.{index}: {kind}"


def _host_ports(pod: Pod) -> Iterator[str]:
    for path, container in pod.containers():
        if any(port.get("hostPort") for port in container.get("ports", [])):
            yield f"{path}: hostPort"


def _host_of_probes(pod: Pod) -> Iterator[str]:
    for path, container in pod.containers():
        hooks = container.get("lifecycle", {})
        handlers = [container.get(name, {}) for name in PROBES] + list(hooks.values())
        for handler in handlers:
            if any(handler.get(kind, {}).get("host") for kind in ("httpGet", "tcpSocket")):
                yield f"{path}: a probe or hook names a host"


def _apparmor(pod: Pod) -> Iterator[str]:
    for path, context in _contexts(pod):
        if context.get("appArmorProfile", {}).get("type") == "Unconfined":
            yield f"{path}: appArmorProfile is Unconfined"


def _selinux(pod: Pod) -> Iterator[str]:
    for path, context in _contexts(pod):
        options = context.get("seLinuxOptions", {})
        if options.get("type") not in SELINUX_TYPES or options.get("user") or options.get("role"):
            yield f"{path}: seLinuxOptions"


def _proc_mount(pod: Pod) -> Iterator[str]:
    for path, context in _containers(pod):
        if context.get("procMount", "Default") != "Default":
            yield f"{path}: procMount"


def _sysctls(pod: Pod) -> Iterator[str]:
    for sysctl in pod.spec.get("securityContext", {}).get("sysctls", []):
        if sysctl["name"] not in SAFE_SYSCTLS:
            yield f"{pod.owner}: {pod.path}: sysctl {sysctl['name']}"


def _escalation(pod: Pod) -> Iterator[str]:
    for path, context in _containers(pod):
        if context.get("allowPrivilegeEscalation") is not False:
            yield f"{path}: allowPrivilegeEscalation is not false"


def _non_root(pod: Pod) -> Iterator[str]:
    whole = (pod.spec.get("securityContext") or {}).get("runAsNonRoot")
    for path, context in _containers(pod):
        if context.get("runAsNonRoot", whole) is not True:
            yield f"{path}: runAsNonRoot is not true"


def _root_user(pod: Pod) -> Iterator[str]:
    for path, context in _contexts(pod):
        if context.get("runAsUser") == 0:
            yield f"{path}: runAsUser is 0"


def _seccomp(pod: Pod) -> Iterator[str]:
    whole = (pod.spec.get("securityContext") or {}).get("seccompProfile", {})
    for path, context in _containers(pod):
        profile = context.get("seccompProfile", whole).get("type")
        if profile not in ("RuntimeDefault", "Localhost"):
            yield f"{path}: seccompProfile is {profile}"
    if whole.get("type") == "Unconfined":
        yield f"{pod.owner}: {pod.path}: seccompProfile is Unconfined"


RULES: Mapping[str, Rule] = {
    "host process": _host_process,
    "host namespaces": _host_namespaces,
    "privileged": _privileged,
    "capabilities": _capabilities,
    "volume types": _volume_types,
    "host ports": _host_ports,
    "host of probes": _host_of_probes,
    "apparmor": _apparmor,
    "selinux": _selinux,
    "proc mount": _proc_mount,
    "sysctls": _sysctls,
    "privilege escalation": _escalation,
    "non-root": _non_root,
    "root user": _root_user,
    "seccomp": _seccomp,
}
