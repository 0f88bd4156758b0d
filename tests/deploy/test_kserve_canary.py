"""Two releases of a model behind a real Envoy with the weights of the example's canary.

KServe itself writes such weights into a route (Knative's or a Gateway's); that it does is its own
tests' business. Here: the two releases answer as one service, and are told apart by their version.
"""

import collections
import contextlib
import http.client
import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from tests.deploy.kserve_resources import KSERVE
from tests.deploy.schemas import kustomize
from tests.deploy.tools import require
from tests.e2e.fixtures import MODEL_REPOSITORY
from tests.e2e.process import STOP_TIMEOUT_S, ServerProcess, ask, wait_until
from tests.patience import TIMEOUT_S

DIGITS = MODEL_REPOSITORY / "mnist"
REQUESTS = 600
SIGMAS = 5
"""Of a binomial count: once in three million runs a right split is called wrong."""


def canary_percent(name: str) -> int:
    """What the examples give the new release, in either deployment mode."""
    (spec,) = (d["spec"] for d in kustomize(KSERVE / "examples") if d["metadata"]["name"] == name)
    percent: int = (
        spec["canary"][0]["trafficPercent"]
        if "canary" in spec
        else spec["predictor"]["canaryTrafficPercent"]
    )
    return percent


def write_release(folder: Path, version: int) -> Path:
    """A folder as ``quartet export`` wrote it, of one version."""
    folder.mkdir()
    for name in ("config.pbtxt", "labels.txt", str(version)):
        (folder / name).symlink_to(DIGITS / name)
    return folder


@contextlib.contextmanager
def envoy(folder: Path, weights: Mapping[int, int]) -> Iterator[int]:
    """A port whose requests go to the ports of ``weights``, in their proportion."""
    address_file, config_file = folder / "address", folder / "envoy.json"
    clusters = [
        {"name": str(port), "type": "STATIC", "load_assignment": endpoint(port)} for port in weights
    ]
    split = [{"name": str(port), "weight": weight} for port, weight in weights.items()]
    config_file.write_text(
        json.dumps(
            {
                "admin": {"address": loopback(0)},
                "static_resources": {"listeners": [listener(split)], "clusters": clusters},
            }
        )
    )
    process = subprocess.Popen(
        [
            *(require("envoy"), "-c", str(config_file), "--admin-address-path", str(address_file)),
            *("--use-dynamic-base-id", "--concurrency", "1", "--log-level", "error"),
        ]
    )
    try:
        wait_until(lambda: address_file.exists() and address_file.read_text(), "Envoy's start")
        yield listening_port(address_file.read_text())
    finally:
        process.terminate()
        process.wait(STOP_TIMEOUT_S)


def loopback(port: int) -> dict[str, object]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def endpoint(port: int) -> dict[str, object]:
    where = {"endpoint": {"address": loopback(port)}}
    return {"cluster_name": str(port), "endpoints": [{"lb_endpoints": [where]}]}


def listener(split: list[dict[str, object]]) -> dict[str, object]:
    manager = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3"
    router = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
    route = {"match": {"prefix": "/"}, "route": {"weighted_clusters": {"clusters": split}}}
    config = {
        "@type": f"{manager}.HttpConnectionManager",
        "stat_prefix": "canary",
        "http_filters": [{"name": "router", "typed_config": {"@type": router}}],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
    }
    chain = {"filters": [{"name": "http", "typed_config": config}]}
    return {"name": "canary", "address": loopback(0), "filter_chains": [chain]}


def listening_port(admin: str) -> int:
    """The port of the only listener, from Envoy's administration."""
    host, port = admin.rsplit(":", 1)
    with contextlib.closing(http.client.HTTPConnection(host, int(port))) as connection:
        listeners = ask(connection, "GET", "/listeners?format=json").json()
    found: int = listeners["listener_statuses"][0]["local_address"]["socket_address"]["port_value"]
    return found


@pytest.mark.parametrize("example", ["digits-canary", "digits-split"])
def test_new_release_gets_its_share_and_every_request_is_answered(
    tmp_path: Path, example: str
) -> None:
    if not DIGITS.is_dir():
        pytest.skip(f"no model at {DIGITS}")
    require("envoy")
    percent = canary_percent(example)
    flags = ("--model_name", example, "--threads", "1")
    with contextlib.ExitStack() as stack:
        servers = [
            ServerProcess(write_release(tmp_path / str(version), version), *flags)
            for version in (1, 2)
        ]
        for server in servers:
            stack.callback(server.close)
            server.wait_ready()
        stable, canary = (server.http_port for server in servers)
        port = stack.enter_context(envoy(tmp_path, {stable: 100 - percent, canary: percent}))
        versions = count_versions(port, example)
    expected = REQUESTS * percent / 100
    deviation = np.sqrt(expected * (1 - percent / 100))
    assert versions.total() == REQUESTS
    assert versions["2"] == pytest.approx(expected, abs=SIGMAS * deviation)


def count_versions(port: int, model: str) -> collections.Counter[str]:
    """Which version answered how often."""
    tensor = {"name": "image", "shape": [1, 28, 28], "datatype": "UINT8", "data": [0] * 784}
    body = json.dumps({"inputs": [tensor]})
    versions: collections.Counter[str] = collections.Counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    with contextlib.closing(connection):
        for _ in range(REQUESTS):
            answer = ask(connection, "POST", f"/v2/models/{model}/infer", body)
            assert answer.status == 200, answer.body
            versions[answer.json()["model_version"]] += 1
    return versions
