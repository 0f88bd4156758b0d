"""Flat JSON to tensors and back."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.errors import InvalidInput
from serving.rest.generate import parse_generate, render_generate
from serving.types import (
    Datatype,
    InferRequest,
    InferResponse,
    ModelMetadata,
    Tensor,
    TensorSpec,
)


def metadata(*inputs: TensorSpec, batches: bool = True) -> ModelMetadata:
    return ModelMetadata(
        name="m",
        versions=("1",),
        platform="onnx",
        inputs=inputs,
        outputs=(TensorSpec("y", Datatype.FP32, (-1, 2)),),
        properties={"max_batch_size": "8" if batches else "0"},
    )


FIXED = metadata(TensorSpec("x", Datatype.FP32, (-1, 2)))
TEXT = metadata(TensorSpec("text_input", Datatype.BYTES, (1,)), batches=False)


def parse(model: ModelMetadata, **document: Any) -> InferRequest:
    return parse_generate(json.dumps(document).encode(), model, "2")


def shape_of(spec: TensorSpec, value: object, *, batches: bool = True) -> tuple[int, ...]:
    tensor = parse(metadata(spec, batches=batches), **{spec.name: value}).inputs[spec.name]
    return tensor.shape


def test_scalar_becomes_the_text_of_a_text_model() -> None:
    request = parse(TEXT, text_input="Grüße", id="7")
    tensor = request.inputs["text_input"]
    assert tensor.shape == (1,)
    assert tensor.data.tolist() == ["Grüße".encode()]
    assert (request.model_name, request.model_version, request.id) == ("m", "2", "7")


@pytest.mark.parametrize(
    ("shape", "value", "expected"),
    [
        ((-1, 2), [1, 2], (1, 2)),
        ((-1, 2), [[1, 2], [3, 4], [5, 6]], (3, 2)),
        ((-1, 2, 2), [1, 2, 3, 4], (1, 2, 2)),
        ((-1, 2, 2), [[1, 2], [3, 4]], (1, 2, 2)),
        ((-1, 2, 2), [[[1, 2], [3, 4]]], (1, 2, 2)),
        ((-1, -1), [1, 2, 3], (1, 3)),
        ((-1, -1), [], (1, 0)),
        ((-1, -1, 2), [1, 2, 3, 4], (1, 2, 2)),
        ((-1, -1, -1), 5, (1, 1, 1)),
        ((-1, -1, -1), [[1, 2, 3]], (1, 1, 3)),
        ((-1,), 5, (1,)),
    ],
)
def test_shape_follows_from_the_model_and_the_values(
    shape: tuple[int, ...], value: object, expected: tuple[int, ...]
) -> None:
    assert shape_of(TensorSpec("x", Datatype.INT32, shape), value) == expected


@pytest.mark.parametrize(
    ("shape", "value", "expected"),
    [((2, 2), [1, 2, 3, 4], (2, 2)), ((-1,), [1, 2, 3], (3,)), ((), 5, ())],
)
def test_model_without_batches_has_the_shape_as_it_is(
    shape: tuple[int, ...], value: object, expected: tuple[int, ...]
) -> None:
    assert shape_of(TensorSpec("x", Datatype.INT32, shape), value, batches=False) == expected


@pytest.mark.parametrize(
    ("shape", "value"),
    [
        ((-1, 2), 5),
        ((-1, 2), [1, 2, 3]),
        ((-1, 2), []),
        ((-1, -1, 2), [1, 2, 3]),
        ((-1, -1, -1), [1, 2]),
        ((-1, -1, 0), [1]),
        ((-1, 2), [[[1, 2]]]),
        ((-1,), [1, 2]),
    ],
)
def test_values_that_make_no_tensor_are_refused_in_the_protocols_words(
    shape: tuple[int, ...], value: object
) -> None:
    with pytest.raises(
        InvalidInput, match="The schema can not convert input 'x' to tensor with proper shape"
    ):
        shape_of(TensorSpec("x", Datatype.INT32, shape), value)


@pytest.mark.parametrize("value", ["a", {"a": 1}, True, None, [[1, 2], [3]], 1.5])
def test_values_of_the_wrong_type_are_refused(value: object) -> None:
    with pytest.raises(InvalidInput, match="'x'"):
        shape_of(TensorSpec("x", Datatype.INT32, (-1, 1)), value)


def test_every_other_key_is_a_parameter_wherever_it_stands() -> None:
    request = parse(
        TEXT,
        text_input="a",
        temperature=0.5,
        sequence_id="s",
        parameters={"sequence_start": True, "max_tokens": 3},
    )
    assert request.parameters == {
        "temperature": 0.5,
        "sequence_id": "s",
        "sequence_start": True,
        "max_tokens": 3,
    }


def test_parameter_of_json_text_may_be_json() -> None:
    request = parse(TEXT, text_input="a", stop=["x", "ü"], receipt={"seed": 1})
    assert request.parameters == {"stop": '["x","ü"]', "receipt": '{"seed":1}'}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"other": [1]}, "parameter 'other' must be a string, number or boolean"),
        ({"other": None}, "parameter 'other' must be a string, number or boolean"),
        ({"parameters": {"p": {}}}, "parameter 'p' must be a string, number or boolean"),
        ({"parameters": [1]}, "'parameters' of the request must be an object"),
        ({"p": 1, "parameters": {"p": 1}}, "parameter 'p' stands at the top and in 'parameters'"),
        ({"id": 7}, "id: expected a string, got the number 7"),
        ({"stop": ["a", 1]}, "stop: expected a string or an array of strings, got an array"),
        ({"stop": {}}, "stop: expected a string or an array of strings, got an object"),
        ({"receipt": ["a"]}, "receipt: expected an object, got an array"),
    ],
)
def test_parameters_that_cannot_be_are_refused(document: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        parse(TEXT, text_input="a", **document)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'"x"', b"\xff"])
def test_body_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidInput):
        parse_generate(body, TEXT, "")


def test_output_that_has_no_json_form_is_refused_before_the_model_runs() -> None:
    model = metadata(TensorSpec("x", Datatype.FP32, (-1, 2)))
    half = ModelMetadata(
        name="m",
        versions=("1",),
        platform="onnx",
        inputs=model.inputs,
        outputs=(TensorSpec("y", Datatype.FP16, (-1, 2)),),
        properties=model.properties,
    )
    with pytest.raises(InvalidInput, match="FP16"):
        parse(half, x=[1, 2])


def respond(response_id: str = "", **outputs: Tensor) -> Any:
    response = InferResponse(model_name="m", model_version="3", outputs=outputs, id=response_id)
    return json.loads(render_generate(response))


def test_answer_is_flat_and_one_element_stands_alone() -> None:
    text = np.array(["Grüße".encode()], np.object_)
    assert respond(
        "7",
        text_output=Tensor(Datatype.BYTES, text),
        scores=Tensor(Datatype.FP32, np.array([[1, 2], [3, 4]], np.float32)),
        none=Tensor(Datatype.FP32, np.empty((0,), np.float32)),
    ) == {
        "id": "7",
        "model_name": "m",
        "model_version": "3",
        "text_output": "Grüße",
        "scores": [1.0, 2.0, 3.0, 4.0],
        "none": [],
    }


def test_numbers_that_are_not_finite_are_written_bare() -> None:
    body = respond(y=Tensor(Datatype.FP32, np.array([np.nan, np.inf], np.float32)))
    assert np.isnan(body["y"][0])
    assert body["y"][1] == float("inf")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)
keys = st.sampled_from(["x", "id", "parameters", "stop", "other"])


@settings(deadline=None, derandomize=True, max_examples=300, database=None)
@given(st.dictionaries(keys, json_values))
def test_any_object_is_read_or_refused(document: dict[str, Any]) -> None:
    try:
        request = parse(FIXED, **document)
    except InvalidInput:
        return
    assert all(isinstance(v, bool | int | float | str) for v in request.parameters.values())
