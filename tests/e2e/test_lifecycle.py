"""Start, readiness and refusal to start, of the real process."""

import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc

from serving.providers import missing_for_cuda
from tests.e2e.fixtures import StartServer
from tests.e2e.graphs import (
    SLOW_PBTXT,
    identity,
    plus,
    slow,
    write_broken_golden,
    write_model,
)
from tests.e2e.process import ServerProcess, slow_document, wait_until

pytestmark = pytest.mark.e2e
ONE = {"inputs": [{"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [1]}]}
LONG_WARM_UP = """
max_batch_size: 1
model_warmup [ {
  name: "long" batch_size: 1
  inputs { key: "steps" value { data_type: TYPE_FP32 dims: [ 1 ] input_data_file: "steps" } }
} ]
"""


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A repository of an identity and the slow model."""
    write_model(tmp_path, "identity", identity("FP32"))
    write_model(tmp_path, "slow", slow(), config=SLOW_PBTXT)
    return tmp_path


def write_model_that_warms_up(repository: Path, steps: float) -> None:
    """The slow model, whose loading takes as long as a request of ``steps``."""
    write_model(repository, "slow", slow(), config=LONG_WARM_UP)
    warm_up = repository / "slow" / "warmup"
    warm_up.mkdir()
    (warm_up / "steps").write_bytes(np.array(steps, "<f4").tobytes())


def test_server_is_live_but_not_ready_while_a_model_loads(
    start_server: StartServer, tmp_path: Path, slow_steps: Callable[[float], float]
) -> None:
    write_model_that_warms_up(tmp_path, slow_steps(1.5))
    server = start_server(tmp_path).wait_listening()
    live = server.request("GET", "/v2/health/live")
    started = server.request("GET", "/v2/health/started")
    ready = server.request("GET", "/v2/health/ready")
    model = server.request("GET", "/v2/models/slow/ready")
    infer = server.infer_json("slow", slow_document(1))
    with tritonclient.grpc.InferenceServerClient(server.grpc_address) as client:
        assert client.is_server_live()
        assert not client.is_server_ready()
        assert not client.is_model_ready("slow")
    assert not any(line["message"] == "server is ready" for line in server.lines), "too fast to see"
    assert live.status == 200
    assert (started.status, started.json()) == (503, {"started": False})
    assert ready.status == 503
    assert "loading" in ready.error
    assert (model.status, infer.status) == (503, 503)
    assert int(infer.headers["retry-after"]) >= 1
    server.wait_ready()
    assert server.request("GET", "/v2/health/started").status == 200
    assert server.request("GET", "/v2/health/ready").status == 200
    assert server.infer_json("slow", slow_document(1)).status == 200


def test_sigterm_while_a_model_warms_up_ends_the_server(
    start_server: StartServer, tmp_path: Path, slow_steps: Callable[[float], float]
) -> None:
    """Nobody waits for it: neither for the drain delay nor for the model."""
    write_model_that_warms_up(tmp_path, slow_steps(600))
    server = start_server(tmp_path, "--drain-delay-s", "600").wait_listening()
    begun = server.metric("process_cpu_seconds_total")
    wait_until(lambda: server.metric("process_cpu_seconds_total") > begun + 1, "a run")
    server.signal()
    assert server.wait_exit() == 0
    # The engine itself, too, has something to say about it.
    own = [line["message"] for line in server.lines if "logger" in line]
    assert own[-2:] == ["draining", "stopped"]


def test_ports_open_when_the_models_are_loaded_if_that_was_asked_for(
    start_server: StartServer, models: Path
) -> None:
    server = start_server(models, "--listen-when-loaded").wait_ready()
    messages = [line["message"] for line in server.lines]
    assert messages.index("server is ready") < messages.index("listening")
    assert server.infer_json("identity", ONE).status == 200
    with tritonclient.grpc.InferenceServerClient(server.grpc_address) as client:
        assert client.is_server_ready()
    server.signal()
    assert server.wait_exit() == 0


def test_sigterm_before_the_ports_are_open_ends_the_server(
    start_server: StartServer, models: Path
) -> None:
    missing = models / "not-yet"
    waits = ("--model-wait-s", "600", "--listen-when-loaded", "--drain-delay-s", "600")
    server = start_server(missing, *waits)
    server.wait_log("device chosen")
    server.signal()
    assert server.wait_exit() == 0
    assert server.wait_log("draining")["delay_s"] == 0


def test_failed_model_does_not_keep_the_server_from_being_ready(server: ServerProcess) -> None:
    assert server.request("GET", "/v2/health/ready").status == 200
    answer = server.request("GET", "/v2/models/broken/ready")
    assert answer.status == 503
    assert "model.onnx" in answer.error


def test_required_model_that_fails_keeps_the_server_unready(
    start_server: StartServer, models: Path
) -> None:
    write_broken_golden(write_model(models, "needed", plus(1)))
    server = start_server(models, "--required-models", '["needed"]').wait_listening()
    line = server.wait_log("server is not ready")
    assert "needed" in line["message"]
    ready = server.request("GET", "/v2/health/ready")
    assert ready.status == 503
    assert "needed" in ready.error
    assert server.request("GET", "/v2/health/live").status == 200
    assert server.infer_json("identity", ONE).status == 200
    with tritonclient.grpc.InferenceServerClient(server.grpc_address) as client:
        assert client.is_server_live()
        assert not client.is_server_ready()


def test_model_that_differs_from_its_golden_file_says_so_everywhere(
    server: ServerProcess,
) -> None:
    answer = server.request("GET", "/v2/models/golden_differs/ready")
    assert answer.status == 503
    assert "golden check failed" in answer.error
    assert "'y'" in answer.error
    line = server.wait_log("model golden_differs version 1 failed to load")
    assert line["level"] == "error"
    assert "golden check failed" in line["message"]


def test_golden_file_that_is_damaged_keeps_the_model_from_being_ready(
    start_server: StartServer, models: Path
) -> None:
    folder = write_model(models, "damaged", plus(1))
    write_broken_golden(folder)
    golden = folder / "golden.npz"
    golden.write_bytes(golden.read_bytes()[:100])
    server = start_server(models).wait_ready()
    answer = server.request("GET", "/v2/models/damaged/ready")
    assert answer.status == 503
    assert "golden.npz" in answer.error


@pytest.mark.parametrize("flag", ["--http-port", "--grpc-port", "--metrics-port"])
def test_port_in_use_is_an_error_that_names_it(
    start_server: StartServer, models: Path, flag: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        server = start_server(models, flag, port)
        assert server.wait_exit() == 1
    errors = [line["message"] for line in server.lines if line.get("level") == "error"]
    assert any(port in message for message in errors), server.lines
    assert not any("traceback" in line for line in server.lines)


def test_cuda_that_cannot_be_had_is_an_error_that_names_what_is_missing(
    start_server: StartServer, models: Path
) -> None:
    missing = missing_for_cuda()
    if missing is None:
        pytest.skip("CUDA works here")
    server = start_server(models, "--device", "cuda")
    assert server.wait_exit() == 1
    (error,) = [line["message"] for line in server.lines if line.get("level") == "error"]
    assert missing in error


def test_repository_that_is_not_there_is_an_error(
    start_server: StartServer, tmp_path: Path
) -> None:
    server = start_server(tmp_path / "nowhere")
    assert server.wait_exit() == 1
    assert any("nowhere" in line["message"] for line in server.lines)


def test_empty_repository_is_served(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server(tmp_path).wait_ready()
    assert server.request("GET", "/v2/health/ready").status == 200
    assert server.infer_json("anything", ONE).status == 404


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--no-such-flag", "1"), "no-such-flag"),
        (("--http-port", "99999"), "http"),
        (("--device", "tpu"), "device"),
    ],
)
def test_wrong_flag_is_an_error_that_names_it(
    start_server: StartServer, models: Path, flags: tuple[str, str], words: str
) -> None:
    server = start_server(models, *flags)
    assert server.wait_exit() in (1, 2)
    text = " ".join(line["message"] for line in server.lines)
    assert words in text
    assert "Traceback" not in text
