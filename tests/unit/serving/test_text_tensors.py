"""Requests of the inference protocol for text models."""

import json

import numpy as np
import pytest

from serving.errors import InvalidInput
from serving.generation_types import GenerateRequest, Receipt
from serving.receipts import receipt_json
from serving.scheduler import SequenceStep
from serving.text_tensors import TEXT_INPUTS, TEXT_OUTPUTS, TextAnswerForm, parse_text_call
from serving.types import Datatype, InferRequest, ParameterValue, Tensor

RECEIPT = Receipt(seed=7, model="m", version="1", sha256="ab", provider="p", precision="int8")


def text_tensor(*texts: bytes) -> Tensor:
    data = np.empty(len(texts), np.object_)
    data[:] = texts
    return Tensor(Datatype.BYTES, data)


def infer(**parameters: ParameterValue) -> InferRequest:
    return InferRequest(
        model_name="m",
        inputs={"text_input": text_tensor("H\u00e9".encode())},
        parameters=parameters,
    )


def parsed(**parameters: ParameterValue) -> GenerateRequest:
    return parse_text_call(infer(**parameters)).request


def test_a_request_without_parameters_leaves_all_to_the_model() -> None:
    request = infer()
    request.model_version, request.id, request.deadline = "2", "7", 5.0
    request.protocol, request.request_id, request.client = "grpc", "r", "10.0.0.7"
    call = parse_text_call(request)
    assert call.request == GenerateRequest(
        model_name="m",
        model_version="2",
        prompt="H\u00e9",
        deadline=5.0,
        id="7",
        protocol="grpc",
        request_id="r",
        client="10.0.0.7",
    )
    assert call.sequence is None
    assert call.outputs == ("text_output", "finish_reason", "receipt")


def test_every_parameter_is_read() -> None:
    request = parsed(
        max_tokens=5,
        temperature=1,
        top_k=3,
        top_p=0.5,
        repetition_penalty=1.5,
        presence_penalty=0.25,
        frequency_penalty=-1,
        seed=2**60,
        stop="x",
        unknown="refuse",
        receipt=receipt_json(RECEIPT),
        session="s",
        echo=True,
    )
    assert request == GenerateRequest(
        model_name="m",
        prompt="H\u00e9",
        max_tokens=5,
        temperature=1.0,
        top_k=3,
        top_p=0.5,
        repetition_penalty=1.5,
        presence_penalty=0.25,
        frequency_penalty=-1.0,
        seed=2**60,
        stop=("x",),
        unknown="refuse",
        receipt=RECEIPT,
        session="s",
        echo=True,
    )


@pytest.mark.parametrize(
    ("stop", "strings"),
    [
        ('["a", "b"]', ("a", "b")),
        ("[]", ()),
        ("[", ("[",)),
        ("[1]", ("[1]",)),
        ("[laughs]", ("[laughs]",)),
        ('"a"', ('"a"',)),
    ],
)
def test_stop_is_a_string_or_the_json_of_a_list_of_strings(
    stop: str, strings: tuple[str, ...]
) -> None:
    assert parsed(stop=stop).stop == strings


def test_timeout_limits_the_time_of_the_whole_text() -> None:
    assert parse_text_call(infer(timeout=2_500_000), lambda: 10.0).request.deadline == 12.5


def test_the_earlier_of_timeout_and_deadline_counts() -> None:
    request = infer(timeout=5_000_000)
    request.deadline = 11.0
    assert parse_text_call(request, lambda: 10.0).request.deadline == 11.0


def test_a_timeout_of_zero_is_none() -> None:
    assert parsed(timeout=0).deadline is None


@pytest.mark.parametrize(
    ("parameters", "step"),
    [
        ({"sequence_id": 7}, SequenceStep(id=7)),
        ({"sequence_id": "a", "sequence_start": True}, SequenceStep(id="a", start=True)),
        ({"sequence_id": 7, "sequence_end": True}, SequenceStep(id=7, end=True)),
        ({"sequence_id": 0}, None),
    ],
)
def test_sequence_parameters_make_a_step(
    parameters: dict[str, ParameterValue], step: SequenceStep | None
) -> None:
    assert parse_text_call(infer(**parameters)).sequence == step


@pytest.mark.parametrize("key", [{}, {"sequence_id": 0}, {"sequence_id": ""}])
def test_a_sequence_without_an_id_is_refused(key: dict[str, ParameterValue]) -> None:
    with pytest.raises(InvalidInput, match="must specify a non-zero or non-empty correlation ID"):
        parse_text_call(infer(**key, sequence_start=True))


def test_a_text_has_one_kept_state() -> None:
    with pytest.raises(InvalidInput, match="leave out sequence_id"):
        parse_text_call(infer(session="s", sequence_id=1))


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"max_token": 5}, "unknown parameter 'max_token' for model 'm'; it knows max_tokens, tem"),
        ({"max_tokens": "5"}, "parameter 'max_tokens': expected a whole number, got '5'"),
        ({"max_tokens": True}, "expected a whole number, got True"),
        ({"max_tokens": 5.0}, "expected a whole number, got 5.0"),
        ({"temperature": "hot"}, "expected a number, got 'hot'"),
        ({"temperature": 10**400}, "expected a number"),
        ({"temperature": False}, "expected a number, got False"),
        ({"echo": 1}, "expected true or false, got 1"),
        ({"stop": 1}, "expected a string, got 1"),
        ({"unknown": "drop"}, "expected 'map' or 'refuse', got 'drop'"),
        ({"receipt": "{}"}, "receipt: expected an object with seed"),
        ({"sequence_id": 1.5}, "expected a whole number or a string, got 1.5"),
        ({"timeout": -1}, "is whole microseconds >= 0, got -1"),
    ],
)
def test_a_wrong_parameter_is_named(parameters: dict[str, ParameterValue], complaint: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_text_call(infer(**parameters))
    assert complaint in refused.value.message


@pytest.mark.parametrize(
    ("inputs", "complaint"),
    [
        ({}, "missing required input(s) ['text_input']"),
        ({"prompt": text_tensor(b"x")}, "unexpected inference input 'prompt' for model 'm'"),
        ({"text_input": Tensor(Datatype.FP32, np.zeros(1, np.float32))}, "expects 'BYTES'"),
        ({"text_input": text_tensor(b"a", b"b")}, "Expected [1], got [2]"),
        ({"text_input": text_tensor(b"\xff")}, "input 'text_input' is not UTF-8"),
    ],
)
def test_a_wrong_tensor_is_named(inputs: dict[str, Tensor], complaint: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_text_call(InferRequest(model_name="m", inputs=inputs))
    assert complaint in refused.value.message


def test_an_unknown_output_is_named() -> None:
    request = infer()
    request.outputs = ("text_output", "logits")
    with pytest.raises(InvalidInput, match="unexpected inference output 'logits'"):
        parse_text_call(request)


def form(*outputs: str) -> TextAnswerForm:
    return TextAnswerForm(
        model_name="m", model_version="1", receipt=RECEIPT, id="7", outputs=outputs
    )


def test_a_piece_within_the_text_has_no_reason_and_no_receipt() -> None:
    response = form("text_output", "finish_reason", "receipt").response("H\u00e9", None)
    assert not response.final
    assert {name: t.data.tolist() for name, t in response.outputs.items()} == {
        "text_output": ["H\u00e9".encode()],
        "finish_reason": [b""],
        "receipt": [b""],
    }


def test_the_last_piece_has_them() -> None:
    response = form("receipt", "finish_reason").response("", "stop")
    assert response.final
    assert (response.id, list(response.outputs)) == ("7", ["receipt", "finish_reason"])
    assert json.loads(response.outputs["receipt"].data[0]) == json.loads(receipt_json(RECEIPT))
    assert response.outputs["finish_reason"].data[0] == b"stop"


def test_tensors_are_as_declared() -> None:
    response = form(*(spec.name for spec in TEXT_OUTPUTS)).response("x", None)
    for spec in TEXT_OUTPUTS:
        assert response.outputs[spec.name].shape == spec.shape
        assert response.outputs[spec.name].datatype is spec.datatype
    assert [spec.name for spec in TEXT_INPUTS] == ["text_input"]
