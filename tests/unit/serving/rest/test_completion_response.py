"""Answers in the form of the completions API, whole and as events."""

import json
from typing import Any

from serving.generation_types import (
    FinishReason,
    GenerateRequest,
    Piece,
    Replacement,
    Symbol,
    collect,
)
from serving.rest.completion_request import CompletionCall, parse_completion
from serving.rest.completion_response import CompletionWriter
from tests.fake_generation import RECEIPT, FakeAnswer, FakeGeneration, written

HEAD = {
    "id": "cmpl-1",
    "object": "text_completion",
    "created": 1700000000,
    "model": "m:3",
    "system_fingerprint": "fp_0123456789ab_CPUExecutionProvider_float32",
}
RECEIPT_BODY = {name: getattr(RECEIPT, name) for name in RECEIPT.__slots__}


def make(
    replaced: tuple[Replacement, ...] = (), **fields: Any
) -> tuple[CompletionWriter, list[FakeAnswer], CompletionCall]:
    call = parse_completion(json.dumps({"model": "m:3", "prompt": "pr", **fields}).encode())
    service = FakeGeneration(replaced=replaced)
    answers = [FakeAnswer(request, service) for request in call.requests]
    writer = CompletionWriter(call, answers, answer_id="cmpl-1", created=1700000000)
    return writer, answers, call


def data(event: bytes) -> dict[str, Any]:
    """The object of one event."""
    assert event.startswith(b"data: {")
    assert event.endswith(b"}\n\n")
    assert event.count(b"\n") == 2
    parsed: dict[str, Any] = json.loads(event[6:])
    return parsed


async def whole(**fields: Any) -> dict[str, Any]:
    writer, answers, _ = make(**fields)
    parsed: dict[str, Any] = json.loads(writer.whole([await collect(a) for a in answers]))
    return parsed


async def test_whole_answer_has_the_form_of_the_api() -> None:
    assert await whole(max_tokens=6) == {
        **HEAD,
        "choices": [
            {"index": 0, "text": written(7, 0, 6), "logprobs": None, "finish_reason": "length"}
        ],
        "usage": {"prompt_tokens": 2, "completion_tokens": 6, "total_tokens": 8},
        "receipt": RECEIPT_BODY,
    }


async def test_choices_of_several_prompts_are_counted_through() -> None:
    body = await whole(prompt=["a", "bc"], n=2, max_tokens=3)
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2, 3]
    assert [choice["text"] for choice in body["choices"]] == [
        written(7, index, 3) for index in (0, 1, 0, 1)
    ]
    assert body["usage"] == {"prompt_tokens": 3, "completion_tokens": 12, "total_tokens": 15}


async def test_log_probabilities_stand_beside_their_symbols() -> None:
    body = await whole(max_tokens=3, logprobs=1)
    assert body["choices"][0]["logprobs"] == {
        "tokens": ["h", "i", "j"],
        "token_logprobs": [-0.5, -0.5, -0.5],
        "top_logprobs": [{"~": -2.5, character: -0.5} for character in "hij"],
        "text_offset": [2, 3, 4],
    }


async def test_log_probabilities_without_alternatives() -> None:
    logprobs = (await whole(max_tokens=2, logprobs=0))["choices"][0]["logprobs"]
    assert logprobs["top_logprobs"] is None
    assert logprobs["token_logprobs"] == [-0.5, -0.5]


async def test_offsets_begin_with_the_prompt_when_it_is_echoed() -> None:
    choice = (await whole(max_tokens=2, logprobs=0, echo=True))["choices"][0]
    assert choice["text"] == "prhi"
    assert choice["logprobs"]["text_offset"] == [0, 1, 2, 3]


def test_first_symbol_of_all_has_no_log_probability() -> None:
    writer, _, _ = make(logprobs=2, echo=True)
    piece = Piece(index=0, text="ab", symbols=(Symbol("a", None), Symbol("b", -1.0, {"c": -2.0})))
    logprobs = data(writer.event(piece))["choices"][0]["logprobs"]
    assert logprobs["token_logprobs"] == [None, -1.0]
    assert logprobs["top_logprobs"] == [None, {"c": -2.0, "b": -1.0}]


def test_event_has_the_form_of_the_api() -> None:
    writer, _, _ = make(stream=True)
    first = data(writer.event(Piece(index=0, text='"\n“ü😀')))
    choice = {"index": 0, "text": '"\n“ü😀', "logprobs": None, "finish_reason": None}
    assert first == {**HEAD, "choices": [choice], "receipt": RECEIPT_BODY}
    choice["text"] = "b"
    assert data(writer.event(Piece(index=0, text="b"))) == {**HEAD, "choices": [choice]}
    last = Piece(index=0, text="", finish_reason=FinishReason.STOP)
    choice |= {"text": "", "finish_reason": "stop"}
    assert data(writer.event(last)) == {**HEAD, "choices": [choice]}
    assert writer.end() == b"data: [DONE]\n\n"


def test_event_carries_text_as_utf8_not_as_escapes() -> None:
    writer, _, _ = make(stream=True)
    assert "😀".encode() in writer.event(Piece(index=0, text="😀"))


def test_offsets_go_on_from_event_to_event_of_each_text() -> None:
    writer, _, _ = make(stream=True, logprobs=0, n=2)

    def offsets(index: int, *texts: str) -> list[int]:
        symbols = tuple(Symbol(text, -1.0) for text in texts)
        piece = Piece(index=index, text="".join(texts), symbols=symbols)
        found: list[int] = data(writer.event(piece))["choices"][0]["logprobs"]["text_offset"]
        return found

    assert offsets(0, "ab", "c") == [2, 4]
    assert offsets(1, "x") == [2]
    assert offsets(0, "d") == [5]
    assert offsets(0) == []


def test_stream_ends_with_the_usage_if_asked_for() -> None:
    writer, _, _ = make(stream=True, stream_options={"include_usage": True})
    assert data(writer.event(Piece(index=0, text="a")))["usage"] is None
    assert data(writer.event(Piece(index=0, text="b")))["usage"] is None
    usage, done, rest = writer.end().split(b"\n\n")
    assert json.loads(usage[6:]) == {
        **HEAD,
        "choices": [],
        "usage": {"prompt_tokens": 2, "completion_tokens": 0, "total_tokens": 2},
    }
    assert (done, rest) == (b"data: [DONE]", b"")


async def test_replaced_characters_are_added_up_over_the_prompts() -> None:
    body = await whole(
        prompt=["a", "b"], replaced=(Replacement("“", '"', 2), Replacement("☃", "", 1))
    )
    assert body["replaced_characters"] == [
        {"character": "“", "replacement": '"', "count": 4},
        {"character": "☃", "replacement": "", "count": 2},
    ]


def test_model_is_that_of_the_answer_where_the_request_names_none() -> None:
    call = parse_completion(b"{}", session="s")
    answer = FakeAnswer(GenerateRequest(model_name="kept"), FakeGeneration())
    writer = CompletionWriter(call, [answer], answer_id="i", created=0)
    assert data(writer.event(Piece(index=0, text="")))["model"] == "kept"
