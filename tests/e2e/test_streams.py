"""Streams of the real server when it drains, and when clients leave in numbers."""

import asyncio
import queue
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc
from tritonclient.grpc import service_pb2 as pb
from tritonclient.utils import InferenceServerException

from tests.e2e.fixtures import StartServer
from tests.e2e.graphs import SLOW_PBTXT, plus, slow, write_model
from tests.e2e.process import ServerProcess, wait_until
from tests.patience import TIMEOUT_S
from tests.stateful_graphs import write_stateful

pytestmark = pytest.mark.e2e

CLIENTS = 200


@pytest.fixture
def models(tmp_path: Path) -> Path:
    write_model(tmp_path, "plus", plus(1))
    write_model(tmp_path, "slow", slow(), config=SLOW_PBTXT)
    return write_stateful(tmp_path)


class Stream:
    """The stock client's stream."""

    def __init__(self, server: ServerProcess) -> None:
        self._client = tritonclient.grpc.InferenceServerClient(server.grpc_address)
        self._answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
        self._client.start_stream(callback=lambda result, error: self._answers.put((result, error)))

    def send(self, model: str, name: str, values: list[float]) -> None:
        tensor = tritonclient.grpc.InferInput(name, [1, len(values)], "FP32")
        tensor.set_data_from_numpy(np.array([values], np.float32))
        self._client.async_stream_infer(model, [tensor])

    def next(self) -> tuple[Any, InferenceServerException | None]:
        return self._answers.get(timeout=TIMEOUT_S)

    def close(self) -> None:
        self._client.close()


def test_idle_stream_does_not_hold_up_the_exit(start_server: StartServer, models: Path) -> None:
    server = start_server(models, "--drain-timeout-s", "600").wait_ready()
    stream = Stream(server)
    stream.send("plus", "x", [1.0, 2.0])
    result, error = stream.next()
    assert error is None
    assert result.as_numpy("y").tolist() == [[2, 3]]
    server.signal(signal.SIGTERM)
    _, error = stream.next()
    assert error is not None
    assert error.status() == "StatusCode.UNAVAILABLE"
    assert server.wait_exit() == 0
    stream.close()


def test_requests_on_a_stream_are_finished_before_the_exit(
    start_server: StartServer, models: Path, slow_steps: Callable[[float], float]
) -> None:
    server = start_server(models).wait_ready()
    stream = Stream(server)
    steps = slow_steps(3)  # seen to run and to wait on a machine that is busy with other things
    stream.send("slow", "steps", [steps])
    stream.send("slow", "steps", [steps + 1])
    wait_until(lambda: server.metric("quartet_queue_size", model="slow") == 1, "a waiting row")
    server.signal(signal.SIGTERM)
    for wanted in (2 * steps, 2 * (steps + 1)):
        result, error = stream.next()
        assert error is None
        assert result.as_numpy("y")[0, 0] == wanted
    # It is idle now, and its end does not take as long as its client might stay.
    _, error = stream.next()
    assert error is not None
    assert error.status() == "StatusCode.UNAVAILABLE"
    assert server.wait_exit() == 0
    stream.close()


async def test_clients_that_leave_free_all_sequences_and_requests(
    start_server: StartServer, models: Path
) -> None:
    """Each begins a sequence on a stream and hangs up at another moment."""
    server = start_server(models).wait_ready()
    channel_of: Any = grpc.aio.insecure_channel
    async with channel_of(server.grpc_address) as channel:
        method = channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")

        async def leave(number: int) -> None:
            call = method()
            steps = 1 + number % 9
            for place in range(steps):
                await call.write(_step(number + 1, start=place == 0))
            for _ in range(min(number % 5, steps)):
                await call.read()
            call.cancel()

        await asyncio.gather(*(leave(number) for number in range(CLIENTS)))

    def settled() -> bool:
        labels = {"model": "gru", "version": "1"}
        return all(
            server.metric("quartet_sequences", **labels, state=state) == 0
            for state in ("live", "waiting")
        ) and not server.metric("quartet_queue_size", **labels)

    # Sequences that were not ended are forgotten after a second without a request.
    await asyncio.to_thread(wait_until, settled, "the end of every sequence")
    errors = [line for line in server.lines if line["level"] in ("error", "warning")]
    assert errors == []


def _step(number: int, *, start: bool) -> bytes:
    message = pb.ModelInferRequest(model_name="gru", raw_input_contents=[bytes(12)])
    message.inputs.add(name="x", datatype="FP32", shape=[1, 3])
    message.parameters["sequence_id"].int64_param = number
    message.parameters["sequence_start"].bool_param = start
    data: bytes = message.SerializeToString()
    return data
