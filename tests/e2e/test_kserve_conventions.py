"""The server as KServe starts it: one folder of whatever was uploaded, flags with underscores."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc

from tests.conftest import REPOSITORY_ROOT
from tests.e2e.fixtures import StartServer
from tests.e2e.graphs import identity, write_model
from tests.e2e.process import ServerProcess
from tests.kubernetes_links import service_links
from tests.text_models import make_text_model

pytestmark = pytest.mark.e2e
ONE = {"inputs": [{"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [1]}]}


@pytest.fixture(params=["repository", "versions", "graph", "renamed graph"])
def upload(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """One model, in each layout that people upload."""
    version = write_model(tmp_path, "mnist", identity("FP32"))
    if request.param == "repository":
        return tmp_path
    if request.param == "versions":
        return version.parent
    if request.param == "renamed graph":
        (version / "model.onnx").rename(version / "mnist-12.onnx")
    return version


def test_model_answers_under_the_service_s_name_however_it_was_uploaded(
    start_server: StartServer, upload: Path
) -> None:
    server = start_server(upload, "--model_name=digits").wait_ready()
    assert server.request("GET", "/v2/models/digits/ready").status == 200
    assert server.request("GET", "/v2/models/digits").json()["name"] == "digits"
    answer = server.infer_json("digits", ONE)
    assert (answer.status, answer.json()["outputs"][0]["data"]) == (200, [1])
    tensor = tritonclient.grpc.InferInput("x", [1, 1], "FP32")
    tensor.set_data_from_numpy(np.array([[1]], np.float32))
    with tritonclient.grpc.InferenceServerClient(server.grpc_address) as client:
        assert client.is_model_ready("digits")
        assert client.infer("digits", [tensor]).as_numpy("y").tolist() == [[1]]


def test_session_and_receipt_hold_under_either_name_of_their_model(
    start_server: StartServer, tmp_path: Path
) -> None:
    make_text_model(tmp_path / "tiny", cell="gru")
    server = start_server(tmp_path, "--model_name", "bard").wait_ready()

    def ask(path: str, **fields: Any) -> Any:
        answer = server.request("POST", path, json.dumps(fields))
        assert answer.status in (200, 201), answer.body
        return answer.json()

    session = ask("/v1/sessions", model="bard", prompt="the quick", seed=11)["id"]
    path = f"/v1/sessions/{session}/completions"
    texts = [ask(path, model=m, max_tokens=8)["choices"][0]["text"] for m in ("bard", "tiny")]
    whole = ask("/v1/completions", model="bard", prompt="the quick", seed=11, max_tokens=16)
    assert "".join(texts) == whole["choices"][0]["text"]


def test_server_starts_among_the_variables_of_services_called_as_its_settings(
    upload: Path,
) -> None:
    ports = {"http": 8000, "grpc": 8001}
    names = ("quartet", "quartet-http", "quartet-grpc", "quartet-metrics", "quartet-predictor")
    environment = {k: v for name in names for k, v in service_links(name, ports).items()}
    process = ServerProcess(upload, "--model_name=digits", environment=environment)
    try:
        assert process.wait_ready().infer_json("digits", ONE).status == 200
        process.signal(signal.SIGTERM)
        assert process.wait_exit() == 0
    finally:
        process.close()


def test_command_line_of_a_runtime_is_taken_as_it_is(tmp_path: Path) -> None:
    """Without the flags that ``ServerProcess`` adds; ``models`` takes what ``serve`` does."""
    write_model(tmp_path, "mnist", identity("FP32"))
    flags = ["--model_name=digits", f"--model_dir={tmp_path}", "--http_port", "8080"]
    done = subprocess.run(
        [sys.executable, "-m", "quartet", "models", *flags, "--grpc_port=9000"],
        cwd=REPOSITORY_ROOT,
        env={k: v for k, v in os.environ.items() if not k.startswith("QUARTET_")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert list(json.loads(done.stdout)) == ["mnist"]


def test_server_waits_for_a_folder_that_another_container_brings(
    start_server: StartServer, tmp_path: Path
) -> None:
    """Alive and not ready meanwhile; KServe's images of models come as a link."""
    server = start_server(tmp_path / "models", "--model_wait_s=60").wait_listening()
    assert server.request("GET", "/v2/health/live").status == 200
    assert server.request("GET", "/v2/health/ready").status == 503
    write_model(tmp_path / "image", "mnist", identity("FP32"))
    (tmp_path / "models").symlink_to(tmp_path / "image")
    assert server.wait_ready().infer_json("mnist", ONE).status == 200


@pytest.mark.parametrize(
    ("file", "found"),
    [("model.pt", "found model.pt; expected model.onnx"), (None, "found nothing")],
)
def test_server_ends_and_says_why_when_there_is_no_model(
    start_server: StartServer, tmp_path: Path, file: str | None, found: str
) -> None:
    if file:
        (tmp_path / file).write_bytes(b"a model of another kind")
    server = start_server(tmp_path, "--model_name=digits", "--drain_delay_s=3600")
    assert server.wait_exit() == 1
    (line,) = (line for line in server.lines if line["message"].startswith("cannot serve"))
    assert found in line["message"]
