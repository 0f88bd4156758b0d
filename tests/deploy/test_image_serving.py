"""The image runs under the restrictions of production and serves every shipped model."""

import http.client
import io
import json
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc
from PIL import Image, ImageDraw

from tests.deploy.containers import Container, Store, running
from tests.e2e.graphs import SLOW_PBTXT, slow, write_model
from tests.e2e.process import Answer, ask, receive, send_infer, slow_document, wait_until
from tests.patience import TIMEOUT_S

HEALTHCHECK = ("python", "-I", "-S", "/opt/quartet/healthcheck.py")
STEPS = 20_000.0
"""Input of the model ``slow`` that takes some tenths of a second; more only lasts longer."""


def connect(container: Container, port: int = 8000) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", container.port(port), timeout=TIMEOUT_S)


def get(container: Container, path: str, port: int = 8000) -> Answer | None:
    """The answer, or None while nothing listens."""
    connection = connect(container, port)
    try:
        return ask(connection, "GET", path)
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def is_ready(container: Container) -> bool:
    answer = get(container, "/v2/health/ready")
    return answer is not None and answer.status == 200


@pytest.fixture(scope="module")
def server(container_store: Store, cpu_image: str) -> Iterator[Container]:
    """A container as the image is, ready."""
    with running(container_store, cpu_image) as container:
        wait_until(lambda: is_ready(container), "readiness", TIMEOUT_S)
        yield container


@pytest.fixture
def slow_models(tmp_path: Path) -> Path:
    """A repository of the slow model that any user may read."""
    write_model(tmp_path, "slow", slow(), config=SLOW_PBTXT)
    for path in [tmp_path, *tmp_path.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    return tmp_path


def digit() -> bytes:
    """A photo of a one: dark ink on bright paper."""
    picture = Image.new("L", (120, 160), 235)
    ImageDraw.Draw(picture).line([(62, 25), (58, 135)], fill=20, width=12)
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()


def test_server_runs_without_privileges(server: Container) -> None:
    status = server.execute("cat", "/proc/1/status").stdout
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert fields["Uid"].split() == ["65532"] * 4
    assert fields["Gid"].split() == ["65532"] * 4
    assert [fields[name] for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")] == ["0" * 16] * 4
    assert fields["NoNewPrivs"] == "1"


def test_server_cannot_write_its_own_files(server: Container) -> None:
    for folder in ("/opt/venv", "/models", "/etc"):
        assert server.execute("touch", f"{folder}/x").returncode != 0
    assert server.execute("touch", "/tmp/x").returncode == 0


def test_server_in_the_image_has_every_model_ready(server: Container) -> None:
    answer = get(server, "/v2/models")
    metrics = get(server, "/metrics", 8002)
    assert answer is not None
    assert metrics is not None
    ready = [
        line
        for line in metrics.body.decode().splitlines()
        if line.startswith("quartet_model_ready{")
    ]
    assert len(ready) == 9
    assert all(line.endswith(" 1.0") for line in ready)


def test_server_in_the_image_classifies_a_picture(server: Container) -> None:
    connection = connect(server)
    headers = {"Content-Type": "image/png"}
    answer = ask(connection, "POST", "/v1/classify/mnist", digit(), headers)
    connection.close()
    assert answer.status == 200, answer.body
    assert "1" in json.dumps(answer.json())


def test_server_in_the_image_answers_grpc(server: Container) -> None:
    picture = tritonclient.grpc.InferInput("image", [1, 28, 28], "UINT8")
    picture.set_data_from_numpy(np.zeros((1, 28, 28), np.uint8))
    address = f"127.0.0.1:{server.port(8001)}"
    with tritonclient.grpc.InferenceServerClient(address) as client:
        result = client.infer("mnist", [picture], client_timeout=TIMEOUT_S)
    assert result.as_numpy("probabilities").sum() == pytest.approx(1, abs=1e-5)


def test_health_check_succeeds_when_the_server_is_ready(
    server: Container, container_store: Store, cpu_image: str
) -> None:
    assert container_store.inspect(cpu_image)["Healthcheck"]["Test"] == ["CMD", *HEALTHCHECK]
    assert server.execute(*HEALTHCHECK).returncode == 0


def test_health_check_fails_when_the_server_is_not_ready(
    container_store: Store, cpu_image: str
) -> None:
    flags = ('--env=QUARTET_REQUIRED_MODELS=["absent"]',)
    with running(container_store, cpu_image, flags=flags) as container:
        wait_until(lambda: get(container, "/v2/health/live") is not None, "liveness", TIMEOUT_S)
        assert container.execute(*HEALTHCHECK).returncode == 1


def test_health_check_fails_when_nothing_listens(container_store: Store, cpu_image: str) -> None:
    with running(
        container_store, cpu_image, flags=("--entrypoint=sleep",), command=("60",)
    ) as container:
        assert container.execute(*HEALTHCHECK).returncode == 1


def test_sigterm_lets_a_request_in_flight_finish_and_exits_with_0(
    container_store: Store, cpu_image: str, slow_models: Path
) -> None:
    flags = (f"--volume={slow_models}:/models:ro",)
    with running(container_store, cpu_image, flags=flags) as container:
        wait_until(lambda: is_ready(container), "readiness", TIMEOUT_S)
        running_one, waiting_one = connect(container), connect(container)
        send_infer(running_one, "slow", slow_document(STEPS))
        send_infer(waiting_one, "slow", slow_document(STEPS + 1))
        wait_until(lambda: queue_size(container) == 1, "a waiting row", TIMEOUT_S)
        container.signal(signal.SIGTERM.name)
        answers = [receive(running_one), receive(waiting_one)]
        assert container.wait(TIMEOUT_S) == 0
        messages = [line["message"] for line in container.logs()]
    assert [answer.status for answer in answers] == [200, 200]
    assert [a.json()["outputs"][0]["data"] for a in answers] == [[2 * STEPS], [2 * (STEPS + 1)]]
    assert messages[-2:] == ["draining", "stopped"]


def queue_size(container: Container) -> float:
    """Rows of the slow model that wait."""
    answer = get(container, "/metrics", 8002)
    lines = answer.body.decode().splitlines() if answer else []
    found = [line for line in lines if line.startswith("quartet_queue_size{")]
    return sum(float(line.rpartition(" ")[2]) for line in found)
