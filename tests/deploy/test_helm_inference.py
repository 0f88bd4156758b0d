"""The script of ``helm test``, run against real servers."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.helm_charts import Values, objects, render
from tests.deploy.replicas import started_replicas
from tests.e2e.process import ServerProcess

REPOSITORY = Path(__file__).resolve().parents[2] / "model_repo"


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with started_replicas(REPOSITORY, 1, "--models", '["mnist"]') as servers:
        yield servers[0]


def arguments(values: Values | None = None) -> list[str]:
    """What the test pod of a release gives to Python: the script, the address, the model."""
    container = objects(render(values))["Pod/quartet-test"]["spec"]["containers"][0]
    assert container["command"] == ["python", "-c"]
    given: list[str] = container["args"]
    return given


def outcome(script: str, *rest: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, *rest]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_pod_asks_the_service_of_the_release() -> None:
    assert arguments()[1:] == ["http://quartet:8000"]


def test_pod_asks_the_first_model_of_its_pool() -> None:
    given = arguments({"models": {"names": ["mnist", "captioner"]}})
    assert given[2:] == ["mnist"]


def test_script_succeeds_when_the_server_answers(server: ServerProcess) -> None:
    done = outcome(arguments()[0], f"http://127.0.0.1:{server.http_port}")
    assert (done.returncode, done.stderr) == (0, "")
    assert "mnist: " in done.stdout


def test_script_succeeds_when_the_model_is_named(server: ServerProcess) -> None:
    done = outcome(arguments()[0], f"http://127.0.0.1:{server.http_port}", "mnist")
    assert (done.returncode, done.stderr) == (0, "")


def test_script_fails_with_the_reason_when_the_model_is_not_there(server: ServerProcess) -> None:
    done = outcome(arguments()[0], f"http://127.0.0.1:{server.http_port}", "nobody")
    assert done.returncode == 1
    assert "nobody: 404" in done.stdout


def test_script_fails_with_the_reason_when_nobody_listens() -> None:
    """Port 9 of loopback: discard, which nothing listens on."""
    script = arguments()[0].replace("READY_WITHIN_S = 120.0", "READY_WITHIN_S = 0.0")
    done = outcome(script, "http://127.0.0.1:9")
    assert done.returncode == 1
    assert "not ready after 0 s" in done.stdout
    assert "refused" in done.stdout


def test_script_finds_a_model_that_takes_zeros_among_all_that_are_shipped() -> None:
    with started_replicas(REPOSITORY, 1) as servers:
        done = outcome(arguments()[0], f"http://127.0.0.1:{servers[0].http_port}")
    assert done.returncode == 0, done.stdout + done.stderr
