"""A real Envoy as the gateway in front of a service that may have no replica."""

import contextlib
import http.client
import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.deploy.prometheus import Target
from tests.deploy.tools import require
from tests.patience import TIMEOUT_S

HOST = "127.0.0.1"
CLUSTER = "httproute/default/quartet/rule/0"
LISTENER = "http-10080"
"""What Envoy Gateway calls its listener of port 80."""
MANAGER = (
    "type.googleapis.com/envoy.extensions.filters.network."
    "http_connection_manager.v3.HttpConnectionManager"
)
ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
POLL_S = 0.02

TO_CLUSTER: Mapping[str, object] = {"route": {"cluster": CLUSTER}}
"""A route to a cluster, whether or not that has endpoints: Istio, Contour, Envoy by hand."""
DIRECT_ANSWER: Mapping[str, object] = {"direct_response": {"status": 503}}
"""What Envoy Gateway makes of a route whose service has no endpoint."""


@dataclass(frozen=True)
class Gateway:
    """An Envoy that runs."""

    http_port: int
    admin_address: str

    def get(self, path: str) -> int:
        """Status of a GET through the gateway."""
        link = http.client.HTTPConnection(HOST, self.http_port, timeout=TIMEOUT_S)
        with contextlib.closing(link):
            link.request("GET", path)
            answer = link.getresponse()
            answer.read()
            return answer.status

    def as_target(self, pod: str = "envoy-0") -> Target:
        """Its metrics, with the labels that Envoy Gateway gives the pods of the Gateway."""
        owner = "gateway_envoyproxy_io_owning_gateway"
        labels = {f"{owner}_name": "quartet", f"{owner}_namespace": "models"}
        return Target(self.admin_address, pod, job="envoy", path="/stats/prometheus", labels=labels)


@contextlib.contextmanager
def started_gateway(
    folder: Path, action: Mapping[str, object], backend_port: int | None = None
) -> Iterator[Gateway]:
    """Envoy with one route.

    Args:
        folder: an empty or new one, for its configuration and log.
        action: ``TO_CLUSTER`` or ``DIRECT_ANSWER``.
        backend_port: the cluster's only endpoint, on loopback; None: it has none.

    Skips the test where there is no Envoy on this machine.
    """
    program = require("envoy")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "envoy.json").write_text(json.dumps(_configuration(action, backend_port)))
    admin = folder / "admin"
    command = [program, "-c", str(folder / "envoy.json"), "--admin-address-path", str(admin)]
    command += ["--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield _wait_listening(process, admin, folder / "log")
    finally:
        process.terminate()
        try:
            process.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_listening(process: "subprocess.Popen[bytes]", admin: Path, log: Path) -> Gateway:
    end = time.monotonic() + TIMEOUT_S
    while process.poll() is None and time.monotonic() < end:
        address = admin.read_text().strip() if admin.exists() else ""
        port = _listener_port(address) if address else 0
        if port:
            return Gateway(port, address)
        time.sleep(POLL_S)
    raise AssertionError(f"Envoy does not listen:\n{log.read_text()[-4000:]}")


def _listener_port(admin_address: str) -> int:
    """The port of its only listener, 0 as long as it is not open."""
    with contextlib.closing(http.client.HTTPConnection(admin_address, timeout=TIMEOUT_S)) as link:
        try:
            link.request("GET", "/listeners?format=json")
            found = json.loads(link.getresponse().read()).get("listener_statuses", [])
        except ConnectionError:
            return 0
    return int(found[0]["local_address"]["socket_address"]["port_value"]) if found else 0


def _configuration(action: Mapping[str, object], backend_port: int | None) -> dict[str, object]:
    routes = [{"match": {"prefix": "/"}, **action}]
    manager = {
        "@type": MANAGER,
        "stat_prefix": LISTENER,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        "http_filters": [
            {"name": "envoy.filters.http.router", "typed_config": {"@type": ROUTER}},
        ],
    }
    chain = {
        "filters": [
            {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
        ]
    }
    endpoints = [] if backend_port is None else [{"endpoint": {"address": _address(backend_port)}}]
    cluster = {
        "name": CLUSTER,
        "type": "STATIC",
        "load_assignment": {"cluster_name": CLUSTER, "endpoints": [{"lb_endpoints": endpoints}]},
    }
    return {
        "admin": {"address": _address(0)},
        "static_resources": {
            "listeners": [{"name": "http", "address": _address(0), "filter_chains": [chain]}],
            "clusters": [cluster],
        },
    }


def _address(port: int) -> dict[str, object]:
    return {"socket_address": {"address": HOST, "port_value": port}}
