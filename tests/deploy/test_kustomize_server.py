"""The manifests and the real server agree: settings, probes, ports, times of a drain."""

import http.client
from collections.abc import Iterator
from pathlib import Path

import pytest

from quartet.config import load_config
from serving.app import CLOSING_S
from serving.cli import ENV_PREFIX
from serving.providers import missing_for_cuda
from serving.settings import ServerSettings
from tests.deploy.kustomizations import OVERLAYS, one, overlay
from tests.deploy.pods import PROBES
from tests.deploy.server_environment import container_of, environment_of, unknown_variables
from tests.e2e.graphs import identity, write_model
from tests.e2e.process import ServerProcess

SHARES = ("vision", "text", "images")
DEPLOYMENTS = [
    *((name, "quartet") for name in ("cpu", "dev", "full", "gpu")),
    *(("multi-model", f"quartet-{share}") for share in SHARES),
]
"""Overlay and name of each Deployment of the server."""
CLOSED_AT_LATEST_S = 2 * CLOSING_S + 1.0
"""Both ports of clients, then that of metrics, then the interpreter."""
PORTS = {"http": "http_port", "grpc": "grpc_port", "metrics": "metrics_port"}


def settings_of(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> ServerSettings:
    """The settings of a server that has these variables."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return load_config(ServerSettings, [], prog="quartet serve", env_prefix=ENV_PREFIX)


def test_no_deployment_is_left_out() -> None:
    found = {
        (name, document["metadata"]["name"])
        for name in OVERLAYS
        for document in overlay(name)
        if document["kind"] == "Deployment"
    }
    assert found == set(DEPLOYMENTS)


@pytest.mark.parametrize(("name", "deployment"), DEPLOYMENTS)
def test_every_variable_is_a_setting(name: str, deployment: str) -> None:
    environment = environment_of(overlay(name), deployment)
    assert environment
    assert unknown_variables(environment) == []


def test_a_misspelt_variable_is_found() -> None:
    environment = {"QUARTET_DRAIN_DELAY": "0", "QUARTET_GRPC__REFLECTION": "1", "HOME": "/"}
    assert unknown_variables(environment) == ["QUARTET_DRAIN_DELAY"]


@pytest.mark.parametrize(("name", "deployment"), DEPLOYMENTS)
def test_variables_load_into_settings(
    name: str, deployment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(environment_of(overlay(name), deployment), monkeypatch)
    assert settings.device == ("cuda" if name == "gpu" else "cpu")
    assert settings.log_requests is (name == "dev")
    assert str(settings.model_repository) == "/models"


@pytest.mark.parametrize(("name", "deployment"), DEPLOYMENTS)
def test_ports_are_those_that_the_server_listens_on(
    name: str, deployment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(environment_of(overlay(name), deployment), monkeypatch)
    ports = container_of(overlay(name), deployment)["ports"]
    assert {p["name"]: p["containerPort"] for p in ports} == {
        port: getattr(settings, field) for port, field in PORTS.items()
    }


@pytest.mark.parametrize(("name", "deployment"), DEPLOYMENTS)
def test_a_pod_has_time_to_drain(
    name: str, deployment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(environment_of(overlay(name), deployment), monkeypatch)
    pod = one(overlay(name), "Deployment", deployment)["spec"]["template"]["spec"]
    sleep_s = container_of(overlay(name), deployment)["lifecycle"]["preStop"]["sleep"]["seconds"]
    drain_s = sleep_s + settings.drain_delay_s + settings.drain_timeout_s
    assert pod["terminationGracePeriodSeconds"] >= drain_s + CLOSED_AT_LATEST_S
    # Between the end of the endpoints and SIGTERM there is time for them to become known.
    assert sleep_s + settings.drain_delay_s >= 5


def test_the_annotations_for_prometheus_name_the_port_of_metrics() -> None:
    template = one(overlay("cpu"), "Deployment")["spec"]["template"]
    annotations = template["metadata"]["annotations"]
    ports = {p["name"]: str(p["containerPort"]) for p in container_of(overlay("cpu"))["ports"]}
    assert annotations["prometheus.io/port"] == ports["metrics"]


@pytest.fixture(scope="module", params=["cpu", "dev"])
def process(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    """A ready server with an overlay's variables, on other ports and another repository."""
    repository = tmp_path_factory.mktemp("models")
    write_model(repository, "one", identity("FP32"))
    environment = environment_of(overlay(request.param)) | {"QUARTET_LOG_FORMAT": "json"}
    started = ServerProcess(repository, environment=environment)
    try:
        yield started.wait_ready()
    finally:
        started.close()


@pytest.mark.parametrize("probe", PROBES)
def test_a_probe_succeeds_on_a_ready_server(process: ServerProcess, probe: str) -> None:
    action = container_of(overlay("cpu"))[probe]["httpGet"]
    assert action["port"] == "http"
    assert process.request("GET", action["path"]).status == 200


def test_probes_ask_different_questions() -> None:
    paths = [container_of(overlay("cpu"))[probe]["httpGet"]["path"] for probe in PROBES]
    assert len(set(paths)) == len(paths)


def test_metrics_are_where_monitors_look(process: ServerProcess) -> None:
    endpoint = one(overlay("full"), "ServiceMonitor")["spec"]["endpoints"][0]
    connection = http.client.HTTPConnection("127.0.0.1", process.metrics_port)
    connection.request("GET", endpoint["path"])
    text = connection.getresponse().read().decode()
    connection.close()
    for metric in one(overlay("cpu"), "HorizontalPodAutoscaler")["spec"]["metrics"]:
        assert f"# TYPE {metric['pods']['metric']['name']} gauge" in text


def test_a_replica_without_its_gpu_fails_its_start(tmp_path: Path) -> None:
    if missing_for_cuda() is None:
        pytest.skip("CUDA works here")
    write_model(tmp_path, "one", identity("FP32"))
    server = ServerProcess(tmp_path, environment=environment_of(overlay("gpu")))
    try:
        assert server.wait_exit() != 0
        assert "CUDA" in server.lines[-1]["message"]
    finally:
        server.close()
