"""What the stock clients offer beyond one plain call: compression, concurrency, callbacks."""

import asyncio
import queue
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
import tritonclient.http.aio

from tests.e2e.process import ServerProcess
from tests.patience import TIMEOUT_S

pytestmark = pytest.mark.e2e
CONCURRENT = 60


def rows(number: int) -> npt.NDArray[np.float32]:
    """The rows of request ``number``, which no other request has; 1 to 4 of them."""
    count = 1 + number % 4
    return np.arange(2 * count, dtype=np.float32).reshape(count, 2) + 100 * number


def an_input(module: Any, number: int) -> list[Any]:
    values = rows(number)
    tensor = module.InferInput("x", list(values.shape), "FP32")
    tensor.set_data_from_numpy(values)
    return [tensor]


@pytest.mark.parametrize("asked", [None, "gzip", "deflate"])
@pytest.mark.parametrize("sent", [None, "gzip", "deflate"])
def test_http_compression_works_both_ways(
    server: ServerProcess, sent: str | None, asked: str | None
) -> None:
    values = np.zeros((4, 500), np.float32)
    tensor = tritonclient.http.InferInput("x", list(values.shape), "FP32")
    tensor.set_data_from_numpy(values)
    with tritonclient.http.InferenceServerClient(server.http_address) as client:
        answer = client.infer(
            "identity_fp32",
            [tensor],
            request_compression_algorithm=sent,
            response_compression_algorithm=asked,
        )
    np.testing.assert_array_equal(answer.as_numpy("y"), values)


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_grpc_compression_works(server: ServerProcess, algorithm: str) -> None:
    with tritonclient.grpc.InferenceServerClient(server.grpc_address) as client:
        answer = client.infer(
            "batching", an_input(tritonclient.grpc, 3), compression_algorithm=algorithm
        )
    np.testing.assert_array_equal(answer.as_numpy("y"), rows(3) + 1)


@pytest.mark.parametrize("module", [tritonclient.http.aio, tritonclient.grpc.aio])
async def test_many_at_once_get_each_its_own_rows(server: ServerProcess, module: Any) -> None:
    """``batching`` joins them into shared runs."""
    grpc = module is tritonclient.grpc.aio
    address = server.grpc_address if grpc else server.http_address
    async with module.InferenceServerClient(address) as client:
        answers = await asyncio.gather(
            *(client.infer("batching", an_input(module, n)) for n in range(CONCURRENT))
        )
    for number, answer in enumerate(answers):
        np.testing.assert_array_equal(answer.as_numpy("y"), rows(number) + 1)


async def test_many_at_once_are_joined_into_fewer_runs(server: ServerProcess) -> None:
    before = server.metric("nv_inference_exec_count", model="batching")
    module = tritonclient.grpc.aio
    async with module.InferenceServerClient(server.grpc_address) as client:
        await asyncio.gather(
            *(client.infer("batching", an_input(module, n)) for n in range(CONCURRENT))
        )
    runs = server.metric("nv_inference_exec_count", model="batching") - before
    total = sum(len(rows(n)) for n in range(CONCURRENT))
    assert total / 8 <= runs < CONCURRENT


async def test_faults_among_many_reach_only_their_callers(server: ServerProcess) -> None:
    """``look_up`` fails in the engine for an index outside its table."""
    module = tritonclient.http.aio

    async def look_up(client: Any, index: int) -> float | str:
        tensor = module.InferInput("index", [1, 1], "INT64")
        tensor.set_data_from_numpy(np.array([[index]]))
        try:
            answer = await client.infer("look_up", [tensor])
        except module.InferenceServerException as error:
            return str(error.status())
        return float(answer.as_numpy("y")[0, 0])

    indices = [n % 3 if n % 5 else 99 for n in range(40)]
    async with module.InferenceServerClient(server.http_address) as client:
        found = await asyncio.gather(*(look_up(client, index) for index in indices))
    assert found == [10.0 * (1 + index) if index < 99 else "500" for index in indices]


def test_async_infer_over_http_gives_results_to_wait_for(server: ServerProcess) -> None:
    module = tritonclient.http
    with module.InferenceServerClient(server.http_address, concurrency=8) as client:
        pending = [client.async_infer("batching", an_input(module, n)) for n in range(20)]
        for number, one in enumerate(pending):
            np.testing.assert_array_equal(one.get_result().as_numpy("y"), rows(number) + 1)


def test_async_infer_over_grpc_calls_back(server: ServerProcess) -> None:
    module = tritonclient.grpc
    done: queue.Queue[tuple[int, Any, Any]] = queue.Queue()
    with module.InferenceServerClient(server.grpc_address) as client:
        for number in range(20):
            client.async_infer(
                "batching",
                an_input(module, number),
                lambda result, error, number=number: done.put((number, result, error)),
            )
        for _ in range(20):
            number, result, error = done.get(timeout=TIMEOUT_S)
            assert error is None
            np.testing.assert_array_equal(result.as_numpy("y"), rows(number) + 1)
