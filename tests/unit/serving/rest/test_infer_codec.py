"""Bodies of infer requests and answers, byte for byte."""

import json
import struct
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from serving.errors import InvalidInput, NotSupported
from serving.rest.infer_codec import InferCall, parse_infer, parse_raw_infer, render_infer
from serving.tensors import bytes_array, encode_tensor
from serving.types import (
    Datatype,
    InferRequest,
    InferResponse,
    ModelMetadata,
    Tensor,
    TensorSpec,
)

WORKED_JSON = (
    b'{"id":"7","inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","parameters":'
    b'{"binary_data_size":8}},{"name":"s","shape":[2],"datatype":"BYTES","parameters":'
    b'{"binary_data_size":12}}],"parameters":{"sequence_id":5,"sequence_start":true,'
    b'"sequence_end":false,"priority":2,"timeout":1000,"binary_data_output":true,'
    b'"temperature":0.7,"mode":"z"}}'
)
WORKED_BLOBS = bytes.fromhex("0000803f00000040" + "020000006162" + "02000000c3a9")


def one_input(**fields: Any) -> dict[str, Any]:
    return {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2], **fields}


def body_of(*inputs: Mapping[str, Any], **fields: Any) -> bytes:
    return json.dumps({"inputs": list(inputs) or [one_input()], **fields}).encode()


def parse(body: bytes, json_length: int | None = None) -> InferCall:
    return parse_infer(body, json_length, "m", "")


def parse_binary(document: bytes, blobs: bytes) -> InferCall:
    return parse(document + blobs, len(document))


def test_parse_reads_the_worked_example_of_the_protocol() -> None:
    assert (len(WORKED_JSON), len(WORKED_JSON + WORKED_BLOBS)) == (340, 360)
    call = parse_binary(WORKED_JSON, WORKED_BLOBS)
    assert call.request.inputs["x"].data.tolist() == [[1.0, 2.0]]
    assert call.request.inputs["s"].data.tolist() == [b"ab", "é".encode()]
    assert call.request.id == "7"
    assert call.binary_default
    assert call.request.parameters == {
        "sequence_id": 5,
        "sequence_start": True,
        "sequence_end": False,
        "priority": 2,
        "timeout": 1000,
        "temperature": 0.7,
        "mode": "z",
    }


def test_parse_takes_name_and_version_from_the_caller() -> None:
    request = parse_infer(body_of(), None, "m", "3").request
    assert (request.model_name, request.model_version, request.id) == ("m", "3", "")


def test_parse_takes_keys_in_any_order_and_ignores_unknown_ones() -> None:
    call = parse(body_of({"data": [1], "datatype": "INT8", "shape": [1], "name": "x"}, extra=1))
    assert call.request.inputs["x"].datatype is Datatype.INT8


def test_parse_mixes_json_and_binary_inputs() -> None:
    binary = {
        "name": "b",
        "shape": [1],
        "datatype": "UINT8",
        "parameters": {"binary_data_size": 1},
    }
    other = {**binary, "name": "c"}
    call = parse_binary(body_of(binary, one_input(), other), b"\x05\x06")
    assert {name: t.data.tolist() for name, t in call.request.inputs.items()} == {
        "b": [5],
        "x": [[1.0, 2.0]],
        "c": [6],
    }


@pytest.mark.parametrize("outputs", [None, []])
def test_parse_wants_all_outputs_when_none_are_named(outputs: list[Any] | None) -> None:
    assert parse(body_of(outputs=outputs)).request.outputs == ()


def test_parse_keeps_the_order_of_outputs_and_their_forms() -> None:
    call = parse(
        body_of(
            outputs=[
                {"name": "z", "parameters": {"binary_data": True}},
                {"name": "a", "parameters": {"binary_data": False}},
                {"name": "m"},
            ]
        )
    )
    assert call.request.outputs == ("z", "a", "m")
    assert call.binary == {"z": True, "a": False}
    assert not call.binary_default


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "empty request"),
        (b"{", "failed to parse the request JSON"),
        (b"[]", "must be a JSON object"),
        (b'"text"', "must be a JSON object"),
        (b"{}", "has no 'inputs'"),
        (b'{"inputs": {}}', "'inputs' must be an array"),
        (b'{"inputs": [1]}', "must be an object with a 'name'"),
        (b'{"inputs": [{"name": 1}]}', "must be an object with a 'name'"),
        (body_of(one_input(), one_input()), "'inputs' names 'x' twice"),
        (body_of(id=7), "'id' must be a string, got 7"),
        (body_of(id=None), "'id' must be a string, got None"),
        (body_of(parameters=[]), "'parameters' of the request must be an object"),
        (body_of(parameters={"p": []}), "parameter 'p' of the request must be a string"),
        (body_of(parameters={"p": {}}), "parameter 'p'"),
        (body_of(parameters={"p": None}), "parameter 'p'"),
        (body_of(parameters={"binary_data_output": 1}), "must be true or false, got 1"),
        (body_of(one_input(parameters={"p": []})), "parameter 'p' of input 'x'"),
        (body_of(outputs=[{"name": "y"}, {"name": "y"}]), "'outputs' names 'y' twice"),
        (body_of(outputs=["y"]), "every element of 'outputs'"),
        (
            body_of(outputs=[{"name": "y", "parameters": {"binary_data": "yes"}}]),
            "'binary_data' must be true or false",
        ),
    ],
)
def test_parse_says_what_is_wrong_with_the_document(body: bytes, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        parse(body)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"shape": [-1, 2]}, "'shape' must be an array of whole numbers >= 0"),
        ({"shape": [1.0, 2]}, "'shape' must be"),
        ({"shape": [True, 2]}, "'shape' must be"),
        ({"shape": "1,2"}, "'shape' must be"),
        ({"shape": None}, "'shape' must be"),
        ({"datatype": "FLOAT"}, "invalid datatype for input 'x': got 'FLOAT', expected one of BO"),
        ({"datatype": None}, "invalid datatype for input 'x'"),
        ({"datatype": ["FP32"]}, "invalid datatype for input 'x'"),
        ({"data": [1]}, "needs 2 elements, 'data' has 1"),
        ({"data": [1, 2, 3]}, "needs 2 elements, 'data' has 3"),
        ({"data": [[1], [2]]}, "nested 'data' must follow shape"),
        ({"data": [1, "2"]}, "element 1 is a string"),
        ({"data": None}, "'data' must be an array, got null"),
        ({"datatype": "FP16"}, "receiving FP16 data via JSON is not supported"),
        ({"datatype": "BF16"}, "receiving BF16 data via JSON is not supported"),
        ({"datatype": "INT8", "data": [1, 300]}, "300 is out of range for INT8"),
        ({"parameters": {"binary_data_size": 8}}, "only one of .* sets both"),
    ],
)
def test_parse_says_what_is_wrong_with_an_input(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        parse(body_of(one_input(**fields)))


def binary_input(size: Any, datatype: str = "FP32", shape: tuple[int, ...] = (1, 2)) -> bytes:
    parameters = {"binary_data_size": size}
    return body_of({"name": "x", "shape": shape, "datatype": datatype, "parameters": parameters})


@pytest.mark.parametrize(
    ("document", "blobs", "message"),
    [
        (binary_input(8), b"\0" * 6, "unexpected size for input 'x', expecting 2 additional"),
        (binary_input(8), b"\0" * 9, "unexpected additional input data for model 'm'"),
        (body_of(), b"\0", "unexpected additional input data for model 'm'"),
        (binary_input(4), b"\0" * 4, "for model 'm'. Expected 8, got 4"),
        (binary_input(-1), b"", "'binary_data_size' must be a whole number >= 0"),
        (binary_input("8"), b"\0" * 8, "'binary_data_size' must be a whole number >= 0"),
        (binary_input(8.0), b"\0" * 8, "'binary_data_size' must be a whole number >= 0"),
        (binary_input(True), b"\0", "'binary_data_size' must be a whole number >= 0"),
        (
            body_of({"name": "x", "shape": [1], "datatype": "FP32"}),
            b"",
            "only one of the following fields.* sets none",
        ),
        (
            binary_input(5, "BYTES", (1,)),
            b"\xe7\x03\0\0a",
            "incomplete string data .* length 999 but only 1 bytes available",
        ),
        (binary_input(3, "BYTES", (1,)), b"\1\0\0", "incomplete string length indicator"),
        (binary_input(5, "BYTES", (2,)), b"\1\0\0\0a", "expected 2 string elements .* got 1"),
        (binary_input(8, "BYTES", (1,)), b"\0" * 8, "unexpected number of string elements 2"),
        (binary_input(2, "BOOL"), b"\1\2", "every byte must be 0 or 1"),
    ],
)
def test_parse_says_what_is_wrong_with_a_blob(document: bytes, blobs: bytes, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        parse_binary(document, blobs)


@pytest.mark.parametrize("parameter", ["shared_memory_region", "classification"])
def test_parse_names_the_extension_that_is_not_served(parameter: str) -> None:
    with pytest.raises(NotSupported, match=parameter):
        parse(body_of(outputs=[{"name": "y", "parameters": {parameter: 1}}]))


# --- answers -------------------------------------------------------------------------------------


def call_for(binary: Mapping[str, bool] | None = None, *, default: bool = False) -> InferCall:
    return InferCall(InferRequest(model_name="m", inputs={}), binary or {}, default)


def answer(request_id: str = "", **outputs: Tensor) -> InferResponse:
    return InferResponse(model_name="m", model_version="3", outputs=outputs, id=request_id)


def floats(*values: float) -> Tensor:
    return Tensor(Datatype.FP32, np.array([values], np.float32))


def test_render_writes_plain_json_when_nothing_is_binary() -> None:
    text, json_length = render_infer(call_for(), answer("7", y=floats(0.5, -2)))
    assert json_length is None
    assert text == (
        b'{"id":"7","model_name":"m","model_version":"3","outputs":'
        b'[{"name":"y","datatype":"FP32","shape":[1,2],"data":[0.5,-2.0]}]}'
    )


def test_render_leaves_out_the_id_when_the_request_had_none() -> None:
    assert b'"id"' not in render_infer(call_for(), answer(y=floats(1)))[0]


def test_render_writes_blobs_in_the_order_of_the_outputs() -> None:
    response = answer(b=floats(1), j=floats(2), a=floats(3))
    text, json_length = render_infer(call_for({"j": False}, default=True), response)
    assert json_length is not None
    outputs = json.loads(text[:json_length])["outputs"]
    assert [output["name"] for output in outputs] == ["b", "j", "a"]
    assert outputs[0] == {
        "name": "b",
        "datatype": "FP32",
        "shape": [1, 1],
        "parameters": {"binary_data_size": 4},
    }
    assert outputs[1]["data"] == [2.0]
    assert text[json_length:] == struct.pack("<2f", 1, 3)


def test_render_prefers_an_outputs_own_wish_to_the_default() -> None:
    text, json_length = render_infer(call_for({"y": True}), answer(y=floats(1), z=floats(2)))
    assert json_length is not None
    assert text[json_length:] == struct.pack("<f", 1)


@pytest.mark.parametrize("datatype", Datatype)
def test_render_writes_empty_outputs_as_json_even_if_binary_is_wanted(datatype: Datatype) -> None:
    empty = Tensor(datatype, np.zeros((0, 3), datatype.dtype))
    text, json_length = render_infer(call_for(default=True), answer(y=empty))
    assert json_length is None
    output = {"name": "y", "datatype": datatype.wire, "shape": [0, 3], "data": []}
    assert json.loads(text)["outputs"] == [output]


def test_render_writes_bare_tokens_for_what_is_not_finite() -> None:
    text, _ = render_infer(call_for(), answer(y=floats(np.nan, np.inf, -np.inf, 1)))
    assert b'"data":[NaN,Infinity,-Infinity,1.0]' in text


@pytest.mark.parametrize("datatype", [Datatype.FP16, Datatype.BF16])
def test_render_refuses_half_precision_as_json(datatype: Datatype) -> None:
    halves = Tensor(datatype, np.ones(2, datatype.dtype))
    with pytest.raises(InvalidInput, match=f"sending {datatype.wire} data via JSON"):
        render_infer(call_for(), answer(y=halves))
    text, json_length = render_infer(call_for(default=True), answer(y=halves))
    assert text[json_length:] == halves.data.tobytes()


def test_render_asks_for_binary_when_bytes_are_not_utf8() -> None:
    response = answer(y=Tensor(Datatype.BYTES, bytes_array([b"\xff"])))
    with pytest.raises(InvalidInput, match="ask for it with binary_data"):
        render_infer(call_for(), response)
    text, json_length = render_infer(call_for(default=True), response)
    assert text[json_length:] == b"\1\0\0\0\xff"


def test_render_keeps_text_whole() -> None:
    response = answer(y=Tensor(Datatype.BYTES, bytes_array([b"\0x", "é".encode()])))
    assert json.loads(render_infer(call_for(), response)[0])["outputs"][0]["data"] == ["\0x", "é"]


def test_render_writes_the_largest_integers_exactly() -> None:
    response = answer(y=Tensor(Datatype.UINT64, np.array([2**64 - 1], np.uint64)))
    assert b'"data":[18446744073709551615]' in render_infer(call_for(), response)[0]


# --- raw binary requests -------------------------------------------------------------------------


def metadata(*inputs: TensorSpec, max_batch_size: int = 8) -> ModelMetadata:
    return ModelMetadata(
        name="m",
        versions=("1",),
        platform="onnxruntime_onnx",
        inputs=inputs,
        outputs=(),
        properties={"max_batch_size": str(max_batch_size)},
    )


def spec(*shape: int, datatype: Datatype = Datatype.UINT8, name: str = "x") -> TensorSpec:
    return TensorSpec(name, datatype, shape)


@pytest.mark.parametrize(
    ("shape", "max_batch_size", "size", "expected"),
    [
        ((-1, 2, 3), 8, 6, (1, 2, 3)),
        ((-1, -1, 3), 8, 6, (1, 2, 3)),
        ((2, 3), 0, 6, (2, 3)),
        ((-1, 3), 0, 6, (2, 3)),
        ((-1,), 8, 1, (1,)),
    ],
)
def test_raw_request_is_one_sample_of_the_only_input(
    shape: tuple[int, ...], max_batch_size: int, size: int, expected: tuple[int, ...]
) -> None:
    call = parse_raw_infer(
        bytes(range(size)), metadata(spec(*shape), max_batch_size=max_batch_size), "2"
    )
    assert call.request.inputs["x"].shape == expected
    assert call.request.inputs["x"].data.ravel().tolist() == list(range(size))
    assert call.binary_default
    assert call.request.model_version == "2"


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([spec(-1, 2), spec(-1, 2, name="z")], r"needs a model with one input.*\['x', 'z'\]"),
        ([spec(-1, -1, -1)], "its size must follow from its bytes"),
        ([spec(-1, 1, datatype=Datatype.BYTES)], "its size must follow from its bytes"),
        ([spec(-1, -1, 4)], "5 bytes are no whole number of 4 byte steps"),
        ([spec(-1, 4)], "Expected 4, got 5"),
    ],
)
def test_raw_request_says_why_it_does_not_fit(inputs: list[TensorSpec], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        parse_raw_infer(b"12345", metadata(*inputs), "")


# --- everything there and back -------------------------------------------------------------------


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    datatype = draw(st.sampled_from(list(Datatype)))
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3))
    if datatype is Datatype.BYTES:
        size = int(np.prod(shape))
        blobs = draw(st.lists(st.binary(max_size=5), min_size=size, max_size=size))
        return Tensor(datatype, bytes_array(blobs).reshape(shape))
    return Tensor(datatype, draw(hnp.arrays(datatype.dtype, shape)))


def request_of(tensors: Mapping[str, Tensor]) -> tuple[bytes, int]:
    """A binary request as tritonclient writes it."""
    blobs = {name: encode_tensor(tensor) for name, tensor in tensors.items()}
    document = body_of(
        *(
            {
                "name": name,
                "shape": tensor.shape,
                "datatype": tensor.datatype.wire,
                "parameters": {"binary_data_size": len(blobs[name])},
            }
            for name, tensor in tensors.items()
        )
    )
    return document + b"".join(blobs.values()), len(document)


@given(st.dictionaries(st.sampled_from("abc"), tensors(), min_size=1))
@settings(max_examples=150, deadline=None)
def test_binary_request_arrives_as_it_was_sent(sent: dict[str, Tensor]) -> None:
    body, json_length = request_of(sent)
    received = parse_infer(body, json_length, "m", "").request.inputs
    assert list(received) == list(sent)
    for name, tensor in sent.items():
        assert received[name].datatype is tensor.datatype
        assert received[name].data.dtype == tensor.datatype.dtype
        np.testing.assert_array_equal(received[name].data, tensor.data)


@given(st.dictionaries(st.sampled_from("abc"), tensors(), min_size=1))
@settings(max_examples=150, deadline=None)
def test_binary_answer_reads_as_it_was_meant(sent: dict[str, Tensor]) -> None:
    body, json_length = render_infer(call_for(default=True), answer("", **sent))
    document = json.loads(body if json_length is None else body[:json_length])
    blobs = b"" if json_length is None else body[json_length:]
    for output, (name, tensor) in zip(document["outputs"], sent.items(), strict=True):
        size = output.get("parameters", {"binary_data_size": 0})["binary_data_size"]
        assert (output["name"], tuple(output["shape"])) == (name, tensor.shape)
        assert blobs[:size] == encode_tensor(tensor)
        blobs = blobs[size:]
    assert blobs == b""


@given(body=st.binary(max_size=80), json_length=st.none() | st.integers(0, 80))
@settings(max_examples=100, deadline=None)
def test_parse_raises_nothing_else_whatever_is_sent(body: bytes, json_length: int | None) -> None:
    with suppress(InvalidInput):
        parse(WORKED_JSON[: json_length or 0] + body, json_length)
