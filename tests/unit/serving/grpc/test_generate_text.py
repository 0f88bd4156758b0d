"""GenerateText: the request's fields, the messages in their order, and what stops them."""

import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from serving import errors
from serving.generation_types import GenerateRequest, Piece, Receipt
from serving.grpc.text_messages import decode_generate, encode_piece
from serving.pb.quartet.v1 import quartet_pb2 as pb
from tests.patience import TIMEOUT_S

METHOD = "/quartet.v1.Quartet/GenerateText"
COMPLETE = pb.GenerateTextRequest(
    model_name="m",
    model_version="2",
    prompt="To be",
    max_tokens=0,
    temperature=0.0,
    top_k=5,
    top_p=0.9,
    repetition_penalty=1.1,
    presence_penalty=0.2,
    frequency_penalty=0.3,
    stop=["\n\n", "END"],
    seed=2**63 - 1,
    n=2,
    best_of=3,
    beam_width=4,
    length_penalty=0.6,
    logprobs=0,
    echo=True,
    unknown=pb.UNKNOWN_CHARACTERS_REFUSE,
    receipt=pb.Receipt(
        seed=9, model="m", version="2", sha256="ab", provider="CPU", precision="int8"
    ),
    session="s",
    client="c",
    id="call",
)


@pytest.fixture
def generate(channel: Any) -> Callable[..., Any]:
    method = channel.unary_stream(
        METHOD,
        request_serializer=pb.GenerateTextRequest.SerializeToString,
        response_deserializer=pb.GenerateTextResponse.FromString,
    )
    return lambda request, **options: method(request, timeout=TIMEOUT_S, **options)


def test_decode_reads_every_field() -> None:
    assert decode_generate(COMPLETE) == GenerateRequest(
        model_name="m",
        model_version="2",
        prompt="To be",
        max_tokens=0,
        temperature=0.0,
        top_k=5,
        top_p=0.9,
        repetition_penalty=1.1,
        presence_penalty=0.2,
        frequency_penalty=0.3,
        stop=("\n\n", "END"),
        seed=2**63 - 1,
        n=2,
        best_of=3,
        beam_width=4,
        length_penalty=0.6,
        logprobs=0,
        echo=True,
        unknown="refuse",
        receipt=Receipt(
            seed=9, model="m", version="2", sha256="ab", provider="CPU", precision="int8"
        ),
        session="s",
        client="c",
        id="call",
        protocol="grpc",
    )


def test_decode_leaves_what_is_not_given_to_the_model() -> None:
    assert decode_generate(pb.GenerateTextRequest(model_name="m")) == GenerateRequest(
        model_name="m", protocol="grpc"
    )


def test_decode_takes_symbol_ids_for_a_prompt() -> None:
    message = pb.GenerateTextRequest(model_name="m", prompt_ids=pb.SymbolIds(ids=[3, 1]))
    assert decode_generate(message).prompt_ids == (3, 1)
    empty = pb.GenerateTextRequest(model_name="m", prompt_ids=pb.SymbolIds())
    assert decode_generate(empty).prompt_ids == ()


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        (pb.GenerateTextRequest(unknown=7), "unknown: expected 0 to 2, got 7"),  # type: ignore[arg-type]
        (
            pb.GenerateTextRequest(prompt_ids=pb.SymbolIds(ids=[0] * 100_001)),
            "prompt: expected at most 100000 symbols, got 100001",
        ),
    ],
)
def test_decode_refuses_what_no_model_takes(
    message: pb.GenerateTextRequest, complaint: str
) -> None:
    with pytest.raises(errors.InvalidInput, match=complaint):
        decode_generate(message)


def test_messages_come_as_started_pieces_and_finished(generate: Any, service: Any) -> None:
    messages = list(generate(pb.GenerateTextRequest(model_name="m", prompt="abc", id="call")))
    assert [m.WhichOneof("event") for m in messages] == ["started", *["piece"] * 3, "finished"]
    started = messages[0].started
    assert (started.model_name, started.model_version, started.id) == ("m", "3", "call")
    assert started.prompt == "abc"
    assert (started.receipt.seed, started.receipt.sha256) == (7, "ab")
    assert [(r.character, r.replacement, r.count) for r in started.replaced] == [("“", '"', 2)]
    pieces = [m.piece for m in messages[1:-1]]
    assert "".join(piece.text for piece in pieces) == "abc"
    assert [piece.finish_reason for piece in pieces] == [
        pb.FINISH_REASON_UNSPECIFIED,
        pb.FINISH_REASON_UNSPECIFIED,
        pb.FINISH_REASON_LENGTH,
    ]
    (symbol,) = pieces[1].symbols
    assert (symbol.text, symbol.log_probability) == ("b", -0.5)
    assert [(a.text, a.log_probability) for a in symbol.alternatives] == [("a", -0.25), ("b", -2)]
    usage = messages[-1].finished.usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (3, 3)
    assert service.cancelled.is_set(), "every answer is closed"


def test_empty_piece_is_still_a_piece() -> None:
    message = pb.GenerateTextResponse.FromString(
        encode_piece(Piece(index=0, text="")).SerializeToString()
    )
    assert message.WhichOneof("event") == "piece"


def test_call_tells_the_service_its_deadline_and_id(generate: Any, service: Any) -> None:
    before = time.monotonic()
    list(generate(COMPLETE, metadata=(("x-request-id", "call-7"),)))
    (request,) = service.generate_requests
    assert request.request_id == "call-7"
    assert request.client == "c"
    assert before < request.deadline < time.monotonic() + 1.1 * TIMEOUT_S


def test_caller_is_the_client_where_the_message_names_none(generate: Any, service: Any) -> None:
    list(generate(pb.GenerateTextRequest(model_name="m", prompt="a")))
    assert service.generate_requests[0].client in ("127.0.0.1", "::1")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.NotSupported("writes no text"), "UNIMPLEMENTED"),
        (errors.InvalidInput("top_p"), "INVALID_ARGUMENT"),
        (errors.Conflict("in use"), "ABORTED"),
        (errors.QueueFull("full", retry_after_s=2.0), "RESOURCE_EXHAUSTED"),
        (errors.SessionNotFound("gone"), "NOT_FOUND"),
    ],
)
def test_refusal_comes_before_any_message(
    generate: Any, service: Any, error: errors.ServingError, code: str
) -> None:
    service.error = error
    call = generate(COMPLETE)
    with pytest.raises(grpc.RpcError) as caught:
        next(call)
    assert caught.value.code().name == code
    assert service.refused == [("grpc", error.outcome)]


def test_fault_in_the_middle_ends_the_call_after_what_was_written(generate: Any) -> None:
    call = generate(pb.GenerateTextRequest(model_name="m", prompt="ab!"))
    events = [next(call).WhichOneof("event") for _ in range(3)]
    assert events == ["started", "piece", "piece"]
    with pytest.raises(grpc.RpcError) as caught:
        next(call)
    assert caught.value.code() is grpc.StatusCode.INTERNAL


def test_writing_stops_when_the_client_cancels(generate: Any, service: Any) -> None:
    call = generate(pb.GenerateTextRequest(model_name="m", prompt="a" * 1_000_000))
    next(call)
    call.cancel()
    assert service.cancelled.wait(TIMEOUT_S)
    assert service.pieces < 1_000_000


def test_message_that_is_garbage_is_the_clients_fault(channel: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        next(channel.unary_stream(METHOD)(b"\xff\xff", timeout=TIMEOUT_S))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
