"""Work nobody waits for any more is not done: clients that leave, deadlines that pass."""

import contextlib
import http.client
import json
import select
import socket
import threading
from collections.abc import Callable

import numpy as np
import pytest
import tritonclient.grpc
from tritonclient.utils import InferenceServerException

from tests.e2e.process import ServerProcess, receive, send_infer, slow_document, wait_until
from tests.patience import TIMEOUT_S

pytestmark = pytest.mark.e2e
SLOW = {"model": "slow"}
CROWD = 200
RUNS_S = (0.5, 2.0, 8.0, 32.0)
"""How long the engine is kept busy at least; longer ones are for clients on a loaded machine."""


class Busy:
    """The only instance of the model ``slow`` runs a request."""

    def __init__(self, running: http.client.HTTPConnection) -> None:
        self._socket = running.sock

    def over(self) -> bool:
        """Whether that request has been answered."""
        readable, _, _ = select.select([self._socket], [], [], 0)
        return bool(readable)

    def wait_until(self, condition: Callable[[], object], what: str) -> None:
        """Poll until ``condition`` holds or the request has been answered."""
        wait_until(lambda: condition() or self.over(), what)


def assert_given_up_unrun(
    server: ServerProcess,
    slow_steps: Callable[[float], float],
    give_up: Callable[[Busy], None],
    *,
    requests: int = 1,
    **labels: str,
) -> None:
    """Let ``give_up`` send requests and give them up while the engine is busy: none is run.

    The engine does not wait for the client. If it was done before ``give_up`` was, a request may
    have run with good reason and nothing is shown, so a longer run has to show it.

    Args:
        server: has run whatever was sent before.
        slow_steps: the fixture.
        give_up: sends requests to ``slow`` on connections of its own, and either gives up all of
            them and sees the queue empty, or finds the engine idle and reads their answers.
        requests: that it sends.
        labels: which all of them are counted under; none if that is not certain.
    """
    for run_s in RUNS_S:
        ran, due = executions(server), ended(server, **labels) + requests
        with server.connection() as running:
            send_infer(running, "slow", slow_document(slow_steps(run_s)))
            # What is answered after it was read after it.
            assert server.request("GET", "/v2/health/live").status == 200
            busy = Busy(running)
            give_up(busy)
            in_time = not busy.over()
            assert receive(running).status == 200
        # Runs are in order: behind this one, there is none of those that were given up.
        assert_slow_model_answers(server)
        if in_time:
            assert executions(server) == ran + 2
            break
    else:
        pytest.fail(f"no client was done before a run of {RUNS_S[-1]} s")
    if labels:
        wait_until(lambda: ended(server, **labels) == due, f"{requests} requests of {labels}")


def ended(server: ServerProcess, **labels: str) -> float:
    return server.metric("quartet_requests_total", **labels, **SLOW)


def cancelled(server: ServerProcess, protocol: str) -> float:
    return ended(server, outcome="cancelled", protocol=protocol)


def executions(server: ServerProcess) -> float:
    return server.metric("nv_inference_exec_count", **SLOW)


def waiting(server: ServerProcess) -> float:
    return server.metric("quartet_queue_size", **SLOW)


def slow_input(steps: float) -> list[tritonclient.grpc.InferInput]:
    tensor = tritonclient.grpc.InferInput("steps", [1, 1], "FP32")
    tensor.set_data_from_numpy(np.array([[steps]], np.float32))
    return [tensor]


def assert_slow_model_answers(server: ServerProcess) -> None:
    assert server.infer_json("slow", slow_document(1)).json()["outputs"][0]["data"] == [2.0]


def test_waiting_request_leaves_the_queue_with_its_http_client(
    server: ServerProcess, slow_steps: Callable[[float], float]
) -> None:
    def leave(busy: Busy) -> None:
        with server.connection() as leaving:
            send_infer(leaving, "slow", slow_document(1))
            busy.wait_until(lambda: waiting(server) == 1, "a waiting row")
            if busy.over():
                receive(leaving)
        busy.wait_until(lambda: waiting(server) == 0, "an empty queue")

    assert_given_up_unrun(server, slow_steps, leave, outcome="cancelled", protocol="http")
    assert server.metric("nv_inference_request_failure", reason="CANCELED", **SLOW) >= 1


def test_crowd_that_leaves_costs_no_run(
    server: ServerProcess, slow_steps: Callable[[float], float]
) -> None:
    def leave(busy: Busy) -> None:
        with contextlib.ExitStack() as crowd:
            connections = [crowd.enter_context(server.connection()) for _ in range(CROWD)]
            for leaving in connections:
                send_infer(leaving, "slow", slow_document(1))
            busy.wait_until(lambda: waiting(server) == CROWD, "a crowd in the queue")
            if busy.over():
                for leaving in connections:
                    receive(leaving)
        busy.wait_until(lambda: waiting(server) == 0, "an empty queue")

    assert_given_up_unrun(
        server, slow_steps, leave, requests=CROWD, outcome="cancelled", protocol="http"
    )


def test_client_that_leaves_while_its_request_runs_is_counted(
    server: ServerProcess, slow_steps: Callable[[float], float]
) -> None:
    before = cancelled(server, "http")
    with server.connection() as leaving:
        send_infer(leaving, "slow", slow_document(slow_steps(0.6)))
        assert server.request("GET", "/v2/health/live").status == 200
    wait_until(lambda: cancelled(server, "http") == before + 1, "a cancelled request")
    assert_slow_model_answers(server)


def test_client_that_leaves_while_sending_hurts_nobody(server: ServerProcess) -> None:
    body = json.dumps(slow_document(1)).encode()
    head = f"POST /v2/models/slow/infer HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.http_port)) as connection:
        connection.sendall(head.encode() + body[:10])
    assert_slow_model_answers(server)


def test_deadline_that_passes_in_the_queue_keeps_the_engine_free(
    server: ServerProcess, slow_steps: Callable[[float], float]
) -> None:
    with tritonclient.grpc.InferenceServerClient(server.grpc_address) as client:
        assert client.is_server_ready()

        def run_out_of_time(busy: Busy) -> None:
            with pytest.raises(InferenceServerException) as refusal:
                client.infer("slow", slow_input(1), client_timeout=0.05)
            assert refusal.value.status() == "StatusCode.DEADLINE_EXCEEDED"
            # The server has the call, if it ever gets it: messages of a connection are in order.
            assert client.is_server_ready()
            busy.wait_until(lambda: waiting(server) == 0, "an empty queue")

        assert_given_up_unrun(server, slow_steps, run_out_of_time)


def test_deadline_of_a_millisecond_is_exceeded(
    server: ServerProcess, slow_steps: Callable[[float], float]
) -> None:
    with tritonclient.grpc.InferenceServerClient(server.grpc_address) as client:
        with pytest.raises(InferenceServerException) as refusal:
            client.infer("slow", slow_input(slow_steps(0.2)), client_timeout=0.001)
        assert refusal.value.status() == "StatusCode.DEADLINE_EXCEEDED"
        # On the same connection, so that the call given up has reached the server, too, if it was
        # sent at all: else it might come, and run, in the middle of the next test.
        assert client.infer("slow", slow_input(1)).as_numpy("y").tolist() == [[2.0]]


def test_grpc_call_cancelled_while_it_waits_never_runs(
    server: ServerProcess, slow_steps: Callable[[float], float]
) -> None:
    with tritonclient.grpc.InferenceServerClient(server.grpc_address) as client:
        assert client.is_server_ready()

        def cancel(busy: Busy) -> None:
            answered = threading.Event()
            call = client.async_infer("slow", slow_input(1), lambda result, error: answered.set())
            busy.wait_until(lambda: waiting(server) == 1, "a waiting row")
            if not busy.over():
                call.cancel()
            assert answered.wait(TIMEOUT_S)
            busy.wait_until(lambda: waiting(server) == 0, "an empty queue")

        assert_given_up_unrun(server, slow_steps, cancel, outcome="cancelled", protocol="grpc")


def test_queue_timeout_of_a_request_is_ignored_where_the_model_does_not_allow_it(
    server: ServerProcess,
) -> None:
    """``allow_timeout_override`` is off by default, so the parameter changes nothing."""
    document = slow_document(1) | {"parameters": {"timeout": 1}}
    assert server.infer_json("slow", document).status == 200
