"""Streams of the real server: ten thousand requests on one call, texts while they are written."""

import queue
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.grpc.aio
from tritonclient.utils import InferenceServerException

from serving.pb.quartet.v1 import quartet_pb2 as pb
from tests.e2e.graphs import plus, write_model
from tests.e2e.process import ServerProcess, wait_until
from tests.patience import TIMEOUT_S
from tests.text_models import make_text_model

REQUESTS = 10_000


@pytest.fixture(scope="module")
def streams(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Serves ``tiny``, which writes text, and ``plus``, which adds one."""
    repository = tmp_path_factory.mktemp("streams")
    make_text_model(repository / "tiny", steps=4)
    write_model(repository, "plus", plus(1))
    process = ServerProcess(repository)
    try:
        yield process.wait_ready()
    finally:
        process.close()


@pytest.fixture
def client(streams: ServerProcess) -> Iterator[Any]:
    with tritonclient.grpc.InferenceServerClient(streams.grpc_address) as opened:
        yield opened


@pytest.fixture
def generate(streams: ServerProcess) -> Iterator[Callable[..., Any]]:
    with grpc.insecure_channel(streams.grpc_address) as channel:
        method = channel.unary_stream(
            "/quartet.v1.Quartet/GenerateText",
            request_serializer=pb.GenerateTextRequest.SerializeToString,
            response_deserializer=pb.GenerateTextResponse.FromString,
        )

        def call(**fields: Any) -> Any:
            fields = {"model_name": "tiny", "prompt": "Hi", "seed": 1, **fields}
            return method(pb.GenerateTextRequest(**fields), timeout=TIMEOUT_S)

        yield call


def numbers(module: Any, x: float) -> list[Any]:
    tensor = module.InferInput("x", [1, 2], "FP32")
    tensor.set_data_from_numpy(np.array([[x, -x]], np.float32))
    return [tensor]


def text_input(prompt: str) -> list[Any]:
    tensor = tritonclient.grpc.InferInput("text_input", [1], "BYTES")
    tensor.set_data_from_numpy(np.array([prompt.encode()], np.object_))
    return [tensor]


def text_of(result: Any, name: str = "text_output") -> str:
    text: bytes = result.as_numpy(name)[0]
    return text.decode()


def is_final(result: Any) -> bool:
    final: bool = result.get_response().parameters["triton_final_response"].bool_param
    return final


class Stream:
    """The stock client's stream, whose answers are collected."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
        client.start_stream(callback=lambda result, error: self._answers.put((result, error)))

    def send(self, model: str, inputs: list[Any], **options: Any) -> None:
        self._client.async_stream_infer(model, inputs, **options)

    def next(self) -> Any:
        result, error = self._answers.get(timeout=TIMEOUT_S)
        assert error is None, error
        return result

    def finish(self) -> list[tuple[Any, Any]]:
        """Half-close, wait for the end, and give what has not been taken."""
        self._client.stop_stream()
        return [self._answers.get_nowait() for _ in range(self._answers.qsize())]

    def cancel(self) -> None:
        self._client.stop_stream(cancel_requests=True)


def test_ten_thousand_requests_travel_on_one_stream_in_order(client: Any) -> None:
    stream = Stream(client)
    for number in range(REQUESTS):
        stream.send("plus", numbers(tritonclient.grpc, number), request_id=str(number))
    answers = stream.finish()
    assert [error for _, error in answers if error] == []
    assert [result.get_response().id for result, _ in answers] == list(map(str, range(REQUESTS)))
    sums = np.concatenate([result.as_numpy("y") for result, _ in answers])
    wanted = np.arange(REQUESTS, dtype=np.float32)
    np.testing.assert_array_equal(sums, np.stack([wanted + 1, 1 - wanted], axis=1))


async def test_ten_thousand_requests_travel_on_one_asyncio_stream(streams: ServerProcess) -> None:
    tensors = [numbers(tritonclient.grpc.aio, x) for x in range(10)]

    async def requests() -> AsyncIterator[dict[str, Any]]:
        for number in range(REQUESTS):
            yield {
                "model_name": "plus",
                "inputs": tensors[number % 10],
                "request_id": str(number),
            }

    seen = 0
    async with tritonclient.grpc.aio.InferenceServerClient(streams.grpc_address) as client:
        async for result, error in client.stream_infer(requests()):
            assert error is None
            assert result.get_response().id == str(seen)
            assert result.as_numpy("y")[0, 0] == seen % 10 + 1
            seen += 1
    assert seen == REQUESTS


def test_text_comes_in_pieces_that_make_the_whole_text(client: Any) -> None:
    options = {"parameters": {"max_tokens": 30, "seed": 5}}
    whole = client.infer("tiny", text_input("Hello"), **options)
    stream = Stream(client)
    stream.send("tiny", text_input("Hello"), request_id="a", **options)
    pieces = [result for result, _ in stream.finish()]
    assert len(pieces) > 3
    assert "".join(map(text_of, pieces)) == text_of(whole)
    assert [is_final(piece) for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert [text_of(piece, "finish_reason") for piece in pieces[-2:]] == ["", "length"]
    assert '"seed":5' in text_of(pieces[-1], "receipt").replace(" ", "")


def test_texts_and_tensors_share_a_stream(client: Any) -> None:
    """Texts are told apart by id; the same seed gives the same text in any company."""
    stream = Stream(client)
    for number in range(8):
        seed = {"max_tokens": 40, "seed": number % 2}
        stream.send("tiny", text_input("Hi"), request_id=str(number), parameters=seed)
        stream.send("plus", numbers(tritonclient.grpc, number), request_id=f"plus-{number}")
    texts = dict.fromkeys(map(str, range(8)), "")
    sums = []
    for result, error in stream.finish():
        assert error is None
        name = result.get_response().id
        if name in texts:
            texts[name] += text_of(result)
        else:
            sums.append(name)
    assert sums == [f"plus-{number}" for number in range(8)]
    assert len(set(texts.values())) == 2
    assert texts["0"] == texts["6"] != texts["7"] == texts["1"]


def test_fault_of_one_text_leaves_the_others_alone(client: Any) -> None:
    stream = Stream(client)
    stream.send("tiny", text_input("Hi"), request_id="good", parameters={"max_tokens": 20})
    stream.send("tiny", text_input("Hi"), request_id="bad", parameters={"temperature": -1.0})
    stream.send("tiny", text_input("Hi"), request_id="worse", parameters={"colour": "blue"})
    answers = stream.finish()
    errors = sorted(str(error) for _, error in answers if error)
    assert len(errors) == 2
    assert any("temperature" in error for error in errors)
    assert any("colour" in error for error in errors)
    assert is_final([result for result, _ in answers if result][-1])


def test_sequence_of_a_text_goes_on_where_it_ended(client: Any) -> None:
    """Sent without waiting for each other, the parts of a sequence make one text."""
    stream = Stream(client)
    for place, prompt in enumerate(("Hello", "", "")):
        stream.send(
            "tiny",
            text_input(prompt),
            request_id=str(place),
            sequence_id="story",
            sequence_start=place == 0,
            sequence_end=place == 2,
            parameters={"max_tokens": 10, "seed": 5},
        )
    parts = [text_of(result) for result, error in stream.finish() if not error]
    whole = client.infer("tiny", text_input("Hello"), parameters={"max_tokens": 30, "seed": 5})
    assert "".join(parts) == text_of(whole)


def test_text_stops_when_its_stream_is_cancelled(streams: ServerProcess, client: Any) -> None:
    before = _cancelled(streams)
    stream = Stream(client)
    stream.send("tiny", text_input("Hi"), parameters={"max_tokens": 100_000})
    stream.next()
    stream.cancel()
    _wait_until_stopped(streams, before)


def test_generate_text_writes_the_text_of_the_protocol(client: Any, generate: Any) -> None:
    options = {"max_tokens": 30, "seed": 5}
    whole = client.infer("tiny", text_input("Hello"), parameters=options)
    messages = list(generate(prompt="Hello", id="call", **options))
    assert [m.WhichOneof("event") for m in (messages[0], messages[-1])] == ["started", "finished"]
    pieces = [message.piece for message in messages[1:-1]]
    assert "".join(piece.text for piece in pieces) == text_of(whole)
    assert pieces[-1].finish_reason == pb.FINISH_REASON_LENGTH
    assert (messages[0].started.id, messages[0].started.prompt) == ("call", "Hello")
    assert messages[-1].finished.usage.completion_tokens == 30


def test_receipt_gives_the_same_text_again(generate: Any) -> None:
    first = list(generate(seed=None, max_tokens=25, temperature=1.3))
    receipt = first[0].started.receipt
    again = list(generate(seed=None, max_tokens=25, temperature=1.3, receipt=receipt))
    texts = ["".join(m.piece.text for m in messages) for messages in (first, again)]
    assert texts[0] == texts[1]
    assert len(texts[0]) == 25
    receipt.sha256 = "0" * 64
    with pytest.raises(grpc.RpcError) as caught:
        list(generate(seed=None, receipt=receipt))
    assert caught.value.code() is grpc.StatusCode.ABORTED


def test_generate_text_reports_probabilities_and_several_texts(generate: Any) -> None:
    messages = list(generate(max_tokens=12, n=2, logprobs=3))
    pieces = [message.piece for message in messages[1:-1]]
    assert {piece.index for piece in pieces} == {0, 1}
    for index in (0, 1):
        symbols = [s for piece in pieces if piece.index == index for s in piece.symbols]
        assert len(symbols) == 12
        text = "".join(piece.text for piece in pieces if piece.index == index)
        assert "".join(symbol.text for symbol in symbols) == text
        assert all(symbol.log_probability < 0 for symbol in symbols)
        for symbol in symbols:
            ranked = [a.log_probability for a in symbol.alternatives]
            assert len(ranked) >= 3
            assert ranked == sorted(ranked, reverse=True)
    assert messages[-1].finished.usage.completion_tokens == 24


def test_generate_text_names_what_it_replaced(generate: Any) -> None:
    (started, *_) = generate(prompt="“Hi”", max_tokens=1)
    assert {r.character for r in started.started.replaced} >= {"“", "”"}
    with pytest.raises(grpc.RpcError) as caught:
        list(generate(prompt="“Hi”", unknown=pb.UNKNOWN_CHARACTERS_REFUSE))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"model_name": "plus"}, "UNIMPLEMENTED"),
        ({"model_name": "absent"}, "NOT_FOUND"),
        ({"model_version": "9"}, "NOT_FOUND"),
        ({"temperature": -0.5}, "INVALID_ARGUMENT"),
        ({"seed": 2**64 - 1}, "INVALID_ARGUMENT"),
        ({"n": 0}, "INVALID_ARGUMENT"),
        ({"session": "none"}, "NOT_FOUND"),
    ],
)
def test_generate_text_refuses_what_cannot_be(
    generate: Any, fields: dict[str, Any], code: str
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        list(generate(**fields))
    assert caught.value.code().name == code


def test_text_stops_when_its_call_is_cancelled(streams: ServerProcess, generate: Any) -> None:
    before = _cancelled(streams)
    call = generate(max_tokens=100_000)
    for _ in range(3):
        next(call)
    call.cancel()
    _wait_until_stopped(streams, before)


def test_unary_infer_of_a_text_model_waits_for_the_whole(client: Any) -> None:
    result = client.infer("tiny", text_input("Hi"), parameters={"max_tokens": 7, "seed": 2})
    assert len(text_of(result)) == 7
    with pytest.raises(InferenceServerException, match="max_tokens"):
        client.infer("tiny", text_input("Hi"), parameters={"max_tokens": 10**9})


def _cancelled(server: ServerProcess) -> float:
    return server.metric(
        "quartet_generation_texts_total", model="tiny", version="1", reason="cancelled"
    )


def _wait_until_stopped(server: ServerProcess, before: float) -> None:
    """One text more is counted as cancelled than ``before``, and no row is written."""
    wait_until(lambda: _cancelled(server) == before + 1, "the count of a cancelled text")
    rows = {"model": "tiny", "version": "1", "state": "active"}
    wait_until(lambda: server.metric("quartet_generation_rows", **rows) == 0, "a free slot")
