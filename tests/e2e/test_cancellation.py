"""Work nobody waits for any more is not done: clients that leave, deadlines that pass."""

import contextlib
import json
import socket
import time
from collections.abc import Callable

import numpy as np
import pytest
import tritonclient.grpc
from tritonclient.utils import InferenceServerException

from tests.e2e.process import ServerProcess, receive, send_infer, slow_document, wait_until

pytestmark = pytest.mark.e2e
SLOW = {"model": "slow"}
CROWD = 200


def cancelled(server: ServerProcess, protocol: str) -> float:
    return server.metric("quartet_requests_total", outcome="cancelled", protocol=protocol, **SLOW)


def executions(server: ServerProcess) -> float:
    return server.metric("nv_inference_exec_count", **SLOW)


def executions_at_rest(server: ServerProcess) -> float:
    """``executions`` once they stay the same: a call given up at once may reach the server late."""
    seen = [-1.0]

    def is_at_rest() -> bool:
        time.sleep(0.3)
        seen.append(executions(server))
        return seen[-1] == seen[-2]

    wait_until(is_at_rest, "executions at rest")
    return seen[-1]


def slow_input(steps: float) -> list[tritonclient.grpc.InferInput]:
    tensor = tritonclient.grpc.InferInput("steps", [1, 1], "FP32")
    tensor.set_data_from_numpy(np.array([[steps]], np.float32))
    return [tensor]


def assert_slow_model_answers(server: ServerProcess) -> None:
    assert server.infer_json("slow", slow_document(1)).json()["outputs"][0]["data"] == [2.0]


def test_waiting_request_leaves_the_queue_with_its_http_client(
    server: ServerProcess, slow_steps: Callable[[float], float]
) -> None:
    before, ran = cancelled(server, "http"), executions(server)
    with server.connection() as running:
        send_infer(running, "slow", slow_document(slow_steps(0.6)))
        with server.connection() as leaving:
            send_infer(leaving, "slow", slow_document(slow_steps(5)))
            wait_until(lambda: server.metric("quartet_queue_size", **SLOW) == 1, "a waiting row")
        wait_until(lambda: server.metric("quartet_queue_size", **SLOW) == 0, "an empty queue")
        assert receive(running).status == 200
    wait_until(lambda: cancelled(server, "http") == before + 1, "a cancelled request")
    assert_slow_model_answers(server)
    assert executions(server) == ran + 2
    assert server.metric("nv_inference_request_failure", reason="CANCELED", **SLOW) >= 1


def test_crowd_that_leaves_costs_no_run(
    server: ServerProcess, slow_steps: Callable[[float], float]
) -> None:
    before, ran = cancelled(server, "http"), executions(server)
    with server.connection() as running, contextlib.ExitStack() as crowd:
        send_infer(running, "slow", slow_document(slow_steps(1.5)))
        for _ in range(CROWD):
            leaving = crowd.enter_context(server.connection())
            send_infer(leaving, "slow", slow_document(slow_steps(5)))
        wait_until(
            lambda: server.metric("quartet_queue_size", **SLOW) == CROWD, "a crowd in the queue"
        )
        crowd.close()
        wait_until(lambda: server.metric("quartet_queue_size", **SLOW) == 0, "an empty queue")
        assert receive(running).status == 200
    wait_until(lambda: cancelled(server, "http") == before + CROWD, "a cancelled crowd")
    assert_slow_model_answers(server)
    assert executions(server) == ran + 2


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
    ran = executions(server)
    with (
        server.connection() as running,
        tritonclient.grpc.InferenceServerClient(server.grpc_address) as client,
    ):
        assert client.is_server_ready()
        send_infer(running, "slow", slow_document(slow_steps(0.6)))
        assert server.request("GET", "/v2/health/live").status == 200
        with pytest.raises(InferenceServerException) as refusal:
            client.infer("slow", slow_input(slow_steps(5)), client_timeout=0.05)
        assert refusal.value.status() == "StatusCode.DEADLINE_EXCEEDED"
        assert receive(running).status == 200
    assert_slow_model_answers(server)
    assert executions(server) == ran + 2


def test_deadline_of_a_millisecond_is_exceeded(
    server: ServerProcess, slow_steps: Callable[[float], float]
) -> None:
    with (
        tritonclient.grpc.InferenceServerClient(server.grpc_address) as client,
        pytest.raises(InferenceServerException) as refusal,
    ):
        client.infer("slow", slow_input(slow_steps(0.2)), client_timeout=0.001)
    assert refusal.value.status() == "StatusCode.DEADLINE_EXCEEDED"
    assert_slow_model_answers(server)


def test_grpc_call_cancelled_while_it_waits_never_runs(
    server: ServerProcess, slow_steps: Callable[[float], float]
) -> None:
    ran = executions_at_rest(server)
    before = cancelled(server, "grpc")
    with (
        server.connection() as running,
        tritonclient.grpc.InferenceServerClient(server.grpc_address) as client,
    ):
        send_infer(running, "slow", slow_document(slow_steps(0.6)))
        call = client.async_infer("slow", slow_input(slow_steps(5)), lambda result, error: None)
        wait_until(lambda: server.metric("quartet_queue_size", **SLOW) == 1, "a waiting row")
        call.cancel()
        wait_until(lambda: server.metric("quartet_queue_size", **SLOW) == 0, "an empty queue")
        assert receive(running).status == 200
    wait_until(lambda: cancelled(server, "grpc") == before + 1, "a cancelled call")
    assert_slow_model_answers(server)
    assert executions(server) == ran + 2


def test_queue_timeout_of_a_request_is_ignored_where_the_model_does_not_allow_it(
    server: ServerProcess,
) -> None:
    """``allow_timeout_override`` is off by default, so the parameter changes nothing."""
    document = slow_document(1) | {"parameters": {"timeout": 1}}
    assert server.infer_json("slow", document).status == 200
