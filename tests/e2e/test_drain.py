"""SIGTERM: not ready at once, what is in flight is finished, exit status 0."""

import concurrent.futures
import http.client
import queue
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc
from tritonclient.utils import InferenceServerException

from tests.e2e.fixtures import StartServer
from tests.e2e.graphs import SLOW_PBTXT, identity, slow, write_model
from tests.e2e.process import ServerProcess, ask, receive, send_infer, slow_document, wait_until
from tests.patience import TIMEOUT_S

pytestmark = pytest.mark.e2e
ONE = {"inputs": [{"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [1]}]}


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A repository of an identity and the slow model."""
    write_model(tmp_path, "identity", identity("FP32"))
    write_model(tmp_path, "slow", slow(), config=SLOW_PBTXT)
    return tmp_path


def test_sigterm_without_work_exits_with_0(start_server: StartServer, models: Path) -> None:
    server = start_server(models).wait_ready()
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    messages = [line["message"] for line in server.lines]
    assert messages[-2:] == ["draining", "stopped"]


def test_sigterm_serves_on_while_not_ready_and_then_refuses(
    start_server: StartServer, models: Path
) -> None:
    server = start_server(models, "--drain-delay-s", "1").wait_ready()
    with (
        server.connection() as connection,
        tritonclient.grpc.InferenceServerClient(server.grpc_address) as client,
    ):
        assert ask(connection, "GET", "/v2/health/ready").status == 200
        server.signal(signal.SIGTERM)
        server.wait_log("draining")
        ready = ask(connection, "GET", "/v2/health/ready")
        assert ready.status == 503
        assert "shutting down" in ready.error
        assert server.request("GET", "/v2/health/live").status == 200
        assert server.request("GET", "/v2/models/identity/ready").status == 503
        assert server.infer_json("identity", ONE).status == 200
        assert client.is_server_live()
        assert not client.is_server_ready()
        assert not client.is_model_ready("identity")
    assert server.wait_exit() == 0


def test_sigterm_lets_requests_in_flight_finish(
    start_server: StartServer, models: Path, slow_steps: Callable[[float], float]
) -> None:
    server = start_server(models).wait_ready()
    steps = slow_steps(0.4)
    with server.connection() as running, server.connection() as waiting:
        send_infer(running, "slow", slow_document(steps))
        send_infer(waiting, "slow", slow_document(steps + 1))
        wait_until(lambda: server.metric("quartet_queue_size", model="slow") == 1, "a waiting row")
        server.signal(signal.SIGTERM)
        answers = [receive(running), receive(waiting)]
    assert [a.status for a in answers] == [200, 200]
    results = [a.json()["outputs"][0]["data"][0] for a in answers]
    assert results == [2 * steps, 2 * (steps + 1)]
    assert server.wait_exit() == 0


def test_kept_connection_is_answered_and_ended_while_the_server_finishes(
    start_server: StartServer, models: Path, slow_steps: Callable[[float], float]
) -> None:
    """Its client could not know: it is told with the answer, and goes elsewhere from then on."""
    server = start_server(models).wait_ready()
    with server.connection() as running, server.connection() as late:
        assert "connection" not in ask(late, "GET", "/v2").headers
        send_infer(running, "slow", slow_document(slow_steps(5)))
        assert ask(late, "GET", "/v2/health/ready").status == 200
        server.signal(signal.SIGTERM)
        server.wait_log("draining")
        send_infer(late, "identity", ONE)
        answered = receive(late)
        assert (answered.status, answered.headers["connection"]) == (200, "close")
        wait_until(lambda: refuses_connections(server.http_port), "a closed port")
        finished = receive(running)
        assert (finished.status, finished.headers["connection"]) == (200, "close")
    assert server.wait_exit() == 0


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_no_request_fails_when_the_server_is_drained_under_load(
    start_server: StartServer, models: Path, protocol: str
) -> None:
    """Clients go on for as long as the server is ready, as behind a load balancer."""
    server = start_server(models, "--drain-delay-s", "0.5").wait_ready()
    stop = threading.Event()
    client = {"http": load_over_http, "grpc": load_over_grpc}[protocol]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(client, server, stop) for _ in range(4)]
        wait_until(lambda: server.metric("nv_inference_count", model="identity") > 50, "load")
        server.signal(signal.SIGTERM)
        server.wait_log("draining")
        wait_until(lambda: server.request("GET", "/v2/health/ready").status == 503, "unreadiness")
        stop.set()
        counts = [future.result() for future in clients]
    assert sum(counts) > 50
    assert server.wait_exit() == 0


def test_second_sigterm_hurries(
    start_server: StartServer, models: Path, slow_steps: Callable[[float], float]
) -> None:
    server = start_server(models, "--drain-delay-s", "600").wait_ready()
    with server.connection() as waiting:
        send_infer(waiting, "slow", slow_document(slow_steps(600)))
        server.signal(signal.SIGTERM)
        server.wait_log("draining")
        server.signal(signal.SIGTERM)
        assert server.wait_exit() == 0


def test_drain_gives_up_after_its_timeout(
    start_server: StartServer, models: Path, slow_steps: Callable[[float], float]
) -> None:
    server = start_server(models, "--drain-timeout-s", "0.1").wait_ready()
    with server.connection() as running, server.connection() as waiting:
        send_infer(running, "slow", slow_document(slow_steps(1)))
        send_infer(waiting, "slow", slow_document(slow_steps(60)))
        wait_until(lambda: server.metric("quartet_queue_size", model="slow") == 1, "a waiting row")
        server.signal(signal.SIGTERM)
        assert receive(waiting).status == 503
    assert server.wait_exit() == 0
    assert any("time to drain ran out" in line["message"] for line in server.lines)


def test_drain_cuts_off_a_run_of_the_engine_that_does_not_end(
    start_server: StartServer, models: Path, slow_steps: Callable[[float], float]
) -> None:
    server = start_server(models, "--drain-timeout-s", "0.1").wait_ready()
    with server.connection() as running:
        send_infer(running, "slow", slow_document(slow_steps(600)))
        wait_until(lambda: server.metric("quartet_model_utilization", model="slow") > 0, "a run")
        server.signal(signal.SIGTERM)
        assert receive(running).status == 503
    assert server.wait_exit() == 0


def test_calls_that_are_cut_off_are_unavailable(
    start_server: StartServer, models: Path, slow_steps: Callable[[float], float]
) -> None:
    """Clients retry that code elsewhere: of a call that runs, one that waits, and a stream."""
    server = start_server(models, "--drain-timeout-s", "1").wait_ready()
    inputs = [grpc_input("steps", slow_steps(600))]
    ended: queue.Queue[InferenceServerException] = queue.Queue()
    with (
        concurrent.futures.ThreadPoolExecutor(2) as pool,
        tritonclient.grpc.InferenceServerClient(server.grpc_address) as client,
        tritonclient.grpc.InferenceServerClient(server.grpc_address) as streaming,
    ):
        calls = [pool.submit(client.infer, "slow", inputs) for _ in range(2)]
        streaming.start_stream(callback=lambda result, error: ended.put(error))
        streaming.async_stream_infer("slow", inputs)
        wait_until(lambda: server.metric("quartet_queue_size", model="slow") == 2, "waiting rows")
        server.signal(signal.SIGTERM)
        for one in calls:
            error = one.exception(TIMEOUT_S)
            assert isinstance(error, InferenceServerException)
            assert error.status() == "StatusCode.UNAVAILABLE"
        # The fault of its request, and the end of the stream.
        assert "unloaded" in ended.get(timeout=TIMEOUT_S).message()
        assert ended.get(timeout=TIMEOUT_S).status() == "StatusCode.UNAVAILABLE"
    assert server.wait_exit() == 0


def test_sigint_drains_too(start_server: StartServer, models: Path) -> None:
    server = start_server(models).wait_ready()
    server.signal(signal.SIGINT)
    assert server.wait_exit() == 0


def test_grpc_call_after_the_goodbye_is_unavailable(
    start_server: StartServer, models: Path, slow_steps: Callable[[float], float]
) -> None:
    """The one code that clients retry elsewhere. Calls in flight are still answered."""
    server = start_server(models).wait_ready()
    with (
        concurrent.futures.ThreadPoolExecutor(2) as pool,
        tritonclient.grpc.InferenceServerClient(server.grpc_address) as client,
    ):
        steps = slow_steps(3)
        calls = [pool.submit(client.infer, "slow", [grpc_input("steps", steps)]) for _ in range(2)]
        wait_until(lambda: server.metric("quartet_queue_size", model="slow") == 1, "a waiting row")
        server.signal(signal.SIGTERM)
        wait_until(lambda: refuses_connections(server.grpc_port), "a closed port")
        with pytest.raises(InferenceServerException) as refusal:
            client.infer("identity", [grpc_input("x", 1)])
        assert refusal.value.status() == "StatusCode.UNAVAILABLE"
        assert [call.result().as_numpy("y")[0, 0] for call in calls] == [2 * steps] * 2
    assert server.wait_exit() == 0


def refuses_connections(port: int) -> bool:
    """Whether nobody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def grpc_input(name: str, value: float) -> tritonclient.grpc.InferInput:
    """One row of one number."""
    tensor = tritonclient.grpc.InferInput(name, [1, 1], "FP32")
    tensor.set_data_from_numpy(np.array([[value]], np.float32))
    return tensor


def load_over_http(server: ServerProcess, stop: threading.Event) -> int:
    """Requests on one connection until told to stop; each must be answered with its number."""
    connection = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=TIMEOUT_S)
    done = 0
    while not stop.is_set():
        send_infer(connection, "identity", ONE)
        answer = receive(connection)
        assert (answer.status, answer.json()["outputs"][0]["data"]) == (200, [1])
        done += 1
    connection.close()
    return done


def load_over_grpc(server: ServerProcess, stop: threading.Event) -> int:
    """The same over gRPC."""
    tensor = grpc_input("x", 1)
    done = 0
    with tritonclient.grpc.InferenceServerClient(server.grpc_address) as client:
        while not stop.is_set():
            assert client.infer("identity", [tensor]).as_numpy("y")[0, 0] == 1
            done += 1
    return done
