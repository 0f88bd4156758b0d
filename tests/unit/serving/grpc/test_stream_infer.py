"""ModelStreamInfer, as the stock clients and as bare stubs see it."""

import asyncio
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.utils import InferenceServerException

from serving.errors import InferenceFailed, InvalidInput
from serving.pb.inference import open_inference_grpc_pb2 as pb
from serving.settings import GrpcSettings
from tests.patience import TIMEOUT_S

METHOD = "/inference.GRPCInferenceService/ModelStreamInfer"


def request(
    model: str, name: str = "", x: float = 0.0, *, size: int = 1, **parameters: bool
) -> pb.ModelInferRequest:
    message = pb.ModelInferRequest(
        model_name=model, id=name, raw_input_contents=[np.full(size, x, "<f4").tobytes()]
    )
    message.inputs.add(name="x", datatype="FP32", shape=[1, size])
    for key, value in parameters.items():
        message.parameters[key].bool_param = value
    return message


def is_final(message: pb.ModelStreamInferResponse) -> bool:
    return message.infer_response.parameters["triton_final_response"].bool_param


def value(message: pb.ModelStreamInferResponse) -> float:
    return float(np.frombuffer(message.infer_response.raw_output_contents[0], "<f4")[0])


@pytest.fixture
def stream(channel: Any) -> Callable[..., Any]:
    """A call whose requests are given; iterates over parsed answers."""

    def start(requests: Iterable[Any], **options: Any) -> Any:
        call = channel.stream_stream(
            METHOD,
            request_serializer=lambda m: m if isinstance(m, bytes) else m.SerializeToString(),
            response_deserializer=pb.ModelStreamInferResponse.FromString,
        )
        return call(iter(requests), timeout=TIMEOUT_S, **options)

    return start


class Sender:
    """An open stream to which requests are added one by one."""

    def __init__(self, stream: Callable[..., Any]) -> None:
        self._requests: queue.Queue[Any] = queue.Queue()
        self.call = stream(iter(self._requests.get, None))

    def send(self, message: Any) -> None:
        self._requests.put(message)

    def half_close(self) -> None:
        self._requests.put(None)


@pytest.fixture
def sender(stream: Callable[..., Any]) -> Iterator[Sender]:
    opened = Sender(stream)
    yield opened
    opened.call.cancel()
    opened.half_close()


def test_answers_of_ordinary_models_come_in_order_and_are_final(stream: Any) -> None:
    answers = list(stream(request("double", str(n), n) for n in range(50)))
    assert [message.infer_response.id for message in answers] == [str(n) for n in range(50)]
    assert [value(message) for message in answers] == [2.0 * n for n in range(50)]
    assert all(is_final(message) for message in answers)


def test_slow_answer_holds_back_later_ones_of_ordinary_models_only(
    sender: Sender, service: Any
) -> None:
    sender.send(request("wait", "slow"))
    sender.send(request("echo", "behind"))
    sender.send(request("count", "decoupled", 2))
    assert service.entered.wait(TIMEOUT_S)
    assert [next(sender.call).infer_response.id for _ in range(2)] == ["decoupled"] * 2
    service.go_on.set()
    assert [next(sender.call).infer_response.id for _ in range(2)] == ["slow", "behind"]


def test_decoupled_answers_tell_that_they_are_not_final(stream: Any) -> None:
    answers = list(stream([request("count", "a", 3)]))
    assert [value(message) for message in answers] == [0, 1, 2]
    assert not any(is_final(message) for message in answers)


def test_empty_final_answer_comes_only_when_asked_for(stream: Any) -> None:
    asked = request("count", "a", 1, triton_enable_empty_final_response=True)
    first, last = stream([asked])
    assert not is_final(first)
    assert is_final(last)
    assert (last.infer_response.id, len(last.infer_response.outputs)) == ("a", 0)
    assert last.infer_response.model_name == "count"


def test_no_empty_final_answer_follows_one_that_is_final(stream: Any) -> None:
    asked = request("echo", "a", 1, triton_enable_empty_final_response=True)
    (only,) = stream([asked])
    assert is_final(only)


def test_requests_of_one_sequence_of_a_decoupled_model_run_in_order(
    stream: Any, service: Any
) -> None:
    requests = [request("count", str(n), 3) for n in range(4)]
    for message in requests:
        message.parameters["sequence_id"].int64_param = 5
    answers = list(stream(requests))
    assert [m.infer_response.id for m in answers] == [str(n) for n in range(4) for _ in range(3)]
    assert service.most_in_work == 1


def test_faults_are_messages_in_order_and_the_stream_goes_on(stream: Any, service: Any) -> None:
    bad = request("echo", "bad")
    bad.inputs[0].datatype = "FP7"
    answers = list(
        stream([request("echo", "a"), request("absent", "b"), bad, b"\xff", request("echo", "c")])
    )
    assert [message.infer_response.id for message in answers] == ["a", "b", "bad", "", "c"]
    assert [message.error_message.split(":")[0] for message in answers] == [
        "",
        "Request for unknown model",
        "invalid datatype for input x",
        "the message is not a valid inference.ModelInferRequest",
        "",
    ]
    assert all(is_final(message) for message in answers)
    assert service.refused[-2:] == [("grpc", "invalid")] * 2


def test_crash_is_hidden_and_named_by_its_request(
    stream: Any, service: Any, caplog: pytest.LogCaptureFixture
) -> None:
    service.error = RuntimeError("secret")
    first, second = stream(
        [request("echo"), request("echo")], metadata=(("x-request-id", "call-1"),)
    )
    assert first.error_message.endswith("under request id call-1-1")
    assert second.error_message.endswith("under request id call-1-2")
    assert {vars(r).get("request_id") for r in caplog.records} >= {"call-1-1", "call-1-2"}


def test_fault_while_running_ends_the_stream_when_the_client_wants_statuses(
    stream: Any, service: Any
) -> None:
    service.error = InferenceFailed("the engine failed")
    call = stream([request("echo", "a")], metadata=(("triton_grpc_error", "true"),))
    with pytest.raises(grpc.RpcError) as caught:
        list(call)
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert caught.value.details() == "the engine failed"


def test_answers_before_the_fault_are_given_when_the_client_wants_statuses(
    sender: Sender, stream: Any, service: Any
) -> None:
    call = stream(
        [request("wait", "a"), request("fails", "b")], metadata=(("triton_grpc_error", "true"),)
    )
    assert service.entered.wait(TIMEOUT_S)
    service.go_on.set()
    assert next(call).infer_response.id == "a"
    with pytest.raises(grpc.RpcError) as caught:
        next(call)
    assert caught.value.code() is grpc.StatusCode.INTERNAL


def test_refused_request_is_a_message_even_when_the_client_wants_statuses(
    stream: Any, service: Any
) -> None:
    service.error = InvalidInput("wrong shape")
    (message,) = stream([request("echo", "a")], metadata=(("triton_grpc_error", "true"),))
    assert message.error_message == "wrong shape"


def test_deadline_of_the_call_is_that_of_its_requests(stream: Any, service: Any) -> None:
    before = time.monotonic()
    list(stream([request("echo")]))
    # The wire rounds a timeout up, by up to a hundredth.
    assert before < service.infer_requests[0].deadline < time.monotonic() + 1.1 * TIMEOUT_S


def test_caller_of_the_stream_is_the_client_of_its_requests(stream: Any, service: Any) -> None:
    list(stream([request("echo")]))
    assert service.infer_requests[0].client in ("127.0.0.1", "::1")


def test_work_is_dropped_when_the_client_cancels(sender: Sender, service: Any) -> None:
    sender.send(request("endless", "a"))
    sender.send(request("wait", "b"))
    next(sender.call)
    assert service.entered.wait(TIMEOUT_S)
    service.cancelled.clear()
    sender.call.cancel()
    assert service.cancelled.wait(TIMEOUT_S)
    _eventually(lambda: service.in_work == 0)


def test_all_is_answered_after_the_client_half_closes(sender: Sender, service: Any) -> None:
    sender.send(request("wait", "a"))
    assert service.entered.wait(TIMEOUT_S)
    sender.half_close()
    service.go_on.set()
    assert [message.infer_response.id for message in sender.call] == ["a"]
    assert sender.call.code() is grpc.StatusCode.OK


def test_reader_that_takes_nothing_stops_the_work(sender: Sender, service: Any) -> None:
    """Pieces of 256 KiB: the transport's buffers take a few MiB of them, then none is made."""
    sender.send(request("endless", "a", size=2**16))
    made = _settled(lambda: service.pieces)
    assert made < 200
    for _ in range(made):
        next(sender.call)
    _eventually(lambda: service.pieces > made)


def _answer_twenty(server: Any, service: Any, in_work: int) -> None:
    """Send more than may be in work, and let them go on once so many are."""
    with grpc.insecure_channel(server.address) as channel:
        call = channel.stream_stream(
            METHOD,
            request_serializer=pb.ModelInferRequest.SerializeToString,
            response_deserializer=pb.ModelStreamInferResponse.FromString,
        )(iter([request("wait", str(n % 10)) for n in range(20)]), timeout=TIMEOUT_S)
        _eventually(lambda: service.in_work >= in_work)
        service.go_on.set()
        assert len(list(call)) == 20


def test_requests_in_work_are_bounded(serve: Any, service: Any) -> None:
    with serve(GrpcSettings(max_stream_requests=4)) as server:
        _answer_twenty(server, service, in_work=4)
    assert service.most_in_work == 4


def test_bytes_in_work_are_bounded(serve: Any, service: Any) -> None:
    size = len(request("wait", "0").SerializeToString())
    with serve(GrpcSettings(max_message_bytes=3 * size + 10)) as server:
        _answer_twenty(server, service, in_work=3)
    assert service.most_in_work == 3


def test_stream_ends_as_unavailable_when_the_server_stops(
    server: Any, sender: Sender, service: Any
) -> None:
    """What was read is answered first; a stream without work does not hold up the stop."""
    sender.send(request("wait", "a"))
    assert service.entered.wait(TIMEOUT_S)
    stopping = threading.Thread(target=server.stop, args=(TIMEOUT_S,))
    stopping.start()
    service.go_on.set()
    assert next(sender.call).infer_response.id == "a"
    with pytest.raises(grpc.RpcError) as caught:
        next(sender.call)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    stopping.join(TIMEOUT_S)
    assert not stopping.is_alive()


def test_requests_on_an_open_stream_are_answered_while_the_server_finishes(
    server: Any, sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.grpc.server.STREAM_IDLE_S", TIMEOUT_S)
    sender.send(request("echo", "before"))
    assert next(sender.call).infer_response.id == "before"
    finishing = threading.Thread(target=server.finish, args=(TIMEOUT_S,))
    finishing.start()
    _eventually(lambda: _refuses(server.address))
    sender.send(request("echo", "after"))
    assert next(sender.call).infer_response.id == "after"
    sender.half_close()
    assert list(sender.call) == []
    assert sender.call.code() is grpc.StatusCode.OK
    finishing.join(TIMEOUT_S)
    assert not finishing.is_alive()


def test_stream_without_work_is_ended_while_the_server_finishes(
    server: Any, sender: Sender, service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One with work is not, however long that takes."""
    monkeypatch.setattr("serving.grpc.server.STREAM_IDLE_S", 0.1)
    sender.send(request("wait", "long"))
    assert service.entered.wait(TIMEOUT_S)
    finishing = threading.Thread(target=server.finish, args=(TIMEOUT_S,))
    finishing.start()
    _eventually(lambda: _refuses(server.address))
    finishing.join(0.3)
    assert finishing.is_alive()
    service.go_on.set()
    assert next(sender.call).infer_response.id == "long"
    with pytest.raises(grpc.RpcError) as caught:
        next(sender.call)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    finishing.join(TIMEOUT_S)
    assert not finishing.is_alive()


def test_stock_client_streams(client: Any) -> None:
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
    client.start_stream(callback=lambda result, error: answers.put((result, error)))
    tensor = triton.InferInput("x", [1, 1], "FP32")
    tensor.set_data_from_numpy(np.array([[2]], np.float32))
    client.async_stream_infer("double", [tensor], request_id="a")
    client.async_stream_infer("absent", [tensor], request_id="b")
    client.async_stream_infer("count", [tensor], request_id="c", enable_empty_final_response=True)
    client.stop_stream()
    got = [answers.get_nowait() for _ in range(answers.qsize())]
    ordinary = [r for r, _ in got if r and r.get_response().id == "a"]
    assert ordinary[0].as_numpy("x") == 4
    (error,) = (error for _, error in got if error)
    assert isinstance(error, InferenceServerException)
    assert "unknown model" in str(error)
    counted = [r.get_response() for r, _ in got if r and r.get_response().id == "c"]
    final = [answer.parameters["triton_final_response"].bool_param for answer in counted]
    assert final == [False, False, True]


async def test_stock_asyncio_client_streams(server: Any) -> None:
    tensor = triton_aio.InferInput("x", [1, 1], "FP32")
    tensor.set_data_from_numpy(np.array([[3]], np.float32))

    async def requests() -> Any:
        for number in range(5):
            yield {"model_name": "double", "inputs": [tensor], "request_id": str(number)}

    async with triton_aio.InferenceServerClient(server.address) as client:
        answers = [answer async for answer in client.stream_infer(requests())]
    assert [result.get_response().id for result, _ in answers] == list("01234")
    assert all(error is None for _, error in answers)


async def test_clients_that_leave_at_any_moment_leave_nothing_behind(
    server: Any, service: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with grpc.aio.insecure_channel(server.address) as channel:
        opened: Any = channel
        method = opened.stream_stream(METHOD)

        async def leave(number: int) -> None:
            call = method()
            await call.write(request("endless", "a").SerializeToString())
            await call.write(request("echo", "b").SerializeToString())
            for _ in range(number % 7):
                await call.read()
            call.cancel()

        await asyncio.gather(*(leave(number) for number in range(60)))
    await asyncio.to_thread(_eventually, lambda: service.in_work == 0)
    assert [record for record in caplog.records if record.levelname in ("ERROR", "WARNING")] == []


def _refuses(address: str) -> bool:
    """Whether nobody listens there any more."""
    host, port = address.split(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) != 0


def _eventually(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _settled(count: Callable[[], int]) -> int:
    """``count`` once it no longer changes."""
    deadline = time.monotonic() + TIMEOUT_S
    last = -1
    while (now := count()) != last or now == 0:
        assert time.monotonic() < deadline
        last = now
        time.sleep(0.1)
    return now
