"""What a completions body may hold, and how every fault is named."""

import json
from typing import Any

import pytest

from serving.errors import InvalidInput
from serving.generation_types import GenerateRequest, Receipt
from serving.rest.api_errors import api_error
from serving.rest.completion_request import (
    MAX_PROMPTS,
    CompletionCall,
    following,
    parse_completion,
    split_model,
)

RECEIPT = {
    "seed": 5,
    "model": "m",
    "version": "1",
    "sha256": "ab",
    "provider": "CPUExecutionProvider",
    "precision": "float32",
}


def parse(**fields: Any) -> CompletionCall:
    return parse_completion(json.dumps({"model": "m", **fields}).encode())


def only(**fields: Any) -> GenerateRequest:
    (request,) = parse(**fields).requests
    return request


def refusal(**fields: Any) -> InvalidInput:
    with pytest.raises(InvalidInput) as error:
        parse(**fields)
    return error.value


def test_defaults_are_those_of_the_api() -> None:
    call = parse()
    assert call.requests == (
        GenerateRequest(model_name="m", max_tokens=16, temperature=1.0, top_p=1.0),
    )
    assert (call.stream, call.include_usage, call.n) == (False, False, 1)


def test_every_field_arrives() -> None:
    request = only(
        prompt="p",
        max_tokens=3,
        temperature=0,
        top_p=0.5,
        n=2,
        logprobs=4,
        echo=True,
        presence_penalty=0.25,
        frequency_penalty=-1,
        best_of=5,
        seed=9,
        user="u",
        top_k=7,
        repetition_penalty=1.5,
        length_penalty=0.5,
        unknown="refuse",
        session="s",
        receipt=RECEIPT,
    )
    assert request == GenerateRequest(
        model_name="m",
        prompt="p",
        max_tokens=3,
        temperature=0.0,
        top_p=0.5,
        n=2,
        logprobs=4,
        echo=True,
        presence_penalty=0.25,
        frequency_penalty=-1.0,
        best_of=5,
        seed=9,
        client="u",
        top_k=7,
        repetition_penalty=1.5,
        length_penalty=0.5,
        unknown="refuse",
        session="s",
        receipt=Receipt(**RECEIPT),  # type: ignore[arg-type]  # one member is a number
    )


def test_null_counts_as_absent() -> None:
    names = "prompt max_tokens temperature n stop seed suffix logit_bias user stream stream_options"
    assert parse(**dict.fromkeys(names.split())) == parse()


@pytest.mark.parametrize(("given", "stop"), [("x", ("x",)), (["x", "yz"], ("x", "yz")), ([], ())])
def test_stop_is_one_string_or_several(given: object, stop: tuple[str, ...]) -> None:
    assert only(stop=given).stop == stop


@pytest.mark.parametrize(
    ("given", "prompts"),
    [
        ("a", [("a", None)]),
        (["a", "b"], [("a", None), ("b", None)]),
        ([1, 2], [("", (1, 2))]),
        ([[1], [2, 3]], [("", (1,)), ("", (2, 3))]),
    ],
)
def test_prompts_come_in_four_forms(given: object, prompts: list[object]) -> None:
    assert [(r.prompt, r.prompt_ids) for r in parse(prompt=given).requests] == prompts


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ([], "prompt: expected a string, or an array of strings, of symbol ids"),
        ({"a": 1}, "prompt: expected a string, .* got an object"),
        (7, "prompt: expected a string, .* got the number 7"),
        (["a", 1], r"prompt\[1\]: expected a string, got the number 1"),
        ([1, "a"], r"prompt\[1\]: expected a whole number, got the string 'a'"),
        ([1, True], r"prompt\[1\]: expected a whole number, got a boolean"),
        ([[1], 2], r"prompt\[1\]: expected an array of symbol ids, got the number 2"),
        ([[1], [2.5]], r"prompt\[1\]\[0\]: expected a whole number"),
        (["a"] * (MAX_PROMPTS + 1), "prompt: 129 prompts, at most 128 are taken"),
        ([1] * 100_001, "prompt: expected at most 100000 symbols, got 100001"),
        ([[1], [2] * 100_001], r"prompt\[1\]: expected at most 100000 symbols, got 100001"),
        (["a" * 500_000, "b" * 500_001], "prompt: 1000001 characters or ids in all, at most"),
    ],
)
def test_prompt_of_another_form_is_refused(prompt: object, message: str) -> None:
    error = refusal(prompt=prompt)
    error_text = pytest.raises(InvalidInput, match=message)
    with error_text:
        raise error
    assert api_error(error)["param"] == "prompt"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_tokens", "3"),
        ("max_tokens", 3.5),
        ("max_tokens", True),
        ("temperature", "hot"),
        ("temperature", False),
        ("top_p", []),
        ("n", 1.0),
        ("logprobs", True),
        ("echo", 1),
        ("stop", 3),
        ("stop", ["a", 3]),
        ("best_of", "many"),
        ("seed", 1.5),
        ("user", 3),
        ("top_k", 2.5),
        ("unknown", "guess"),
        ("receipt", "r"),
        ("receipt", {"seed": 1}),
        ("receipt", {**RECEIPT, "seed": "5"}),
        ("receipt", {**RECEIPT, "more": 1}),
        ("session", 3),
        ("stream", "yes"),
        ("suffix", "end"),
        ("logit_bias", {"50": 3}),
        ("messages", []),
        ("model", 3),
        ("model", None),
    ],
)
def test_field_of_the_wrong_kind_is_named(field: str, value: object) -> None:
    error = api_error(refusal(**{field: value}))
    assert error["param"] == field
    assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1" + "0" * 400])
def test_number_that_is_not_finite_is_refused(value: str) -> None:
    body = f'{{"model": "m", "user": "NaN", "temperature": {value}}}'
    with pytest.raises(InvalidInput):
        parse_completion(body.encode())


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"7", b'{"a":"\\ud800"}'])
def test_body_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidInput):
        parse_completion(body)


@pytest.mark.parametrize(("suffix", "bias"), [("", {}), (None, None)])
def test_what_is_not_supported_may_be_there_if_it_asks_for_nothing(
    suffix: object, bias: object
) -> None:
    assert parse(suffix=suffix, logit_bias=bias) == parse()


def test_stream_options_belong_to_streams() -> None:
    assert parse(stream=True, stream_options={"include_usage": True}).include_usage
    assert not parse(stream=True, stream_options={"include_obfuscation": False}).include_usage
    assert api_error(refusal(stream_options={}))["param"] == "stream_options"
    assert "more" in refusal(stream=True, stream_options={"more": 1}).message
    assert "include_obfuscation" in str(
        refusal(stream=True, stream_options={"include_obfuscation": True})
    )


@pytest.mark.parametrize("field", [{"best_of": 2}, {"beam_width": 3}])
def test_what_is_chosen_at_the_end_cannot_be_streamed(field: dict[str, int]) -> None:
    assert api_error(refusal(stream=True, **field))["param"] == next(iter(field))
    assert only(**field)


def test_best_of_as_many_as_are_wanted_can_be_streamed() -> None:
    assert parse(stream=True, n=2, best_of=2).stream


@pytest.mark.parametrize(
    ("model", "name", "version"),
    [
        ("m", "m", ""),
        ("m:2", "m", "2"),
        ("m:x", "m:x", ""),
        ("a:b:3", "a:b", "3"),
        ("m:", "m:", ""),
    ],
)
def test_model_may_name_a_version(model: str, name: str, version: str) -> None:
    assert split_model(model) == (name, version)
    request = only(model=model)
    assert (request.model_name, request.model_version) == (name, version)


def test_path_may_name_the_session_and_leave_the_model_open() -> None:
    (request,) = parse_completion(b'{"prompt":"p"}', session="s").requests
    assert (request.session, request.model_name) == ("s", "")


def test_session_of_the_path_and_of_the_body_must_agree() -> None:
    with pytest.raises(InvalidInput, match="the path names 's', the body 't'"):
        parse_completion(b'{"session":"t"}', session="s")


def test_session_takes_one_prompt() -> None:
    assert api_error(refusal(session="s", prompt=["a", "b"]))["param"] == "prompt"


def test_following_prompts_have_the_seeds_after_the_first() -> None:
    request = only(seed=3)
    receipt = Receipt(**{**RECEIPT, "seed": 2**63 - 1})  # type: ignore[arg-type]  # as above
    assert following(request, receipt, 1).seed == 0
    resent = following(only(receipt=RECEIPT, seed=5), Receipt(**RECEIPT), 2)  # type: ignore[arg-type]
    assert resent.receipt is not None
    assert (resent.receipt.seed, resent.seed) == (7, None)


@pytest.mark.parametrize(
    "fields",
    [
        {"max_tokens": 2500, "logprobs": 0, "prompt": ["a"] * 101},
        {"max_tokens": 250, "logprobs": 9, "best_of": 51, "prompt": ["a", "b"]},
        {"max_tokens": 0, "logprobs": 4, "echo": True, "prompt": ["a" * 25_000, "b" * 25_001]},
    ],
)
def test_more_log_probabilities_of_all_prompts_than_fit_are_refused(fields: dict[str, Any]) -> None:
    assert api_error(refusal(**fields))["param"] == "logprobs"


@pytest.mark.parametrize("many", ["n", "best_of", "beam_width"])
def test_more_texts_of_all_prompts_than_the_queue_holds_are_refused(many: str) -> None:
    parse(prompt=["a"] * 64, **{many: 16})
    error = refusal(prompt=["a"] * 64, **{many: 17})
    assert error.message.startswith("n: 1088 texts for 64 prompts, at most 1024 are written")


def test_as_many_log_probabilities_as_fit_are_taken() -> None:
    assert parse(max_tokens=2500, logprobs=0, prompt=["a"] * 100).requests[0].logprobs == 0
    assert parse(max_tokens=250, logprobs=9, n=50, prompt=["a", "b"]).n == 50
