import contextlib
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import InvalidInput, NotSupported
from serving.grpc.converters import decode_infer, encode_infer, encode_model_metadata
from serving.pb.inference import open_inference_grpc_pb2 as pb
from serving.types import Datatype, InferResponse, ModelMetadata, Tensor, TensorSpec

TYPED = [
    ("BOOL", "bool_contents", [True, False]),
    ("INT8", "int_contents", [-128, 127]),
    ("INT16", "int_contents", [-(2**15), 2**15 - 1]),
    ("INT32", "int_contents", [-(2**31), 2**31 - 1]),
    ("INT64", "int64_contents", [-(2**63), 2**63 - 1]),
    ("UINT8", "uint_contents", [0, 255]),
    ("UINT16", "uint_contents", [0, 2**16 - 1]),
    ("UINT32", "uint_contents", [0, 2**32 - 1]),
    ("UINT64", "uint64_contents", [0, 2**64 - 1]),
    ("FP32", "fp32_contents", [1.5, -2.0]),
    ("FP64", "fp64_contents", [1.1, -2e300]),
    ("BYTES", "bytes_contents", [b"a\0", b""]),
]


def request(datatype: str = "FP32", shape: tuple[int, ...] = (1, 2)) -> pb.ModelInferRequest:
    message = pb.ModelInferRequest(model_name="m")
    message.inputs.add(name="x", datatype=datatype, shape=shape)
    return message


@pytest.mark.parametrize(("datatype", "field", "values"), TYPED, ids=[row[0] for row in TYPED])
def test_decode_infer_reads_typed_contents(datatype: str, field: str, values: list[Any]) -> None:
    message = request(datatype)
    getattr(message.inputs[0].contents, field).extend(values)
    tensor = decode_infer(message).inputs["x"]
    assert tensor.datatype is Datatype[datatype]
    assert tensor.data.dtype == Datatype[datatype].dtype
    assert tensor.data.tolist() == [values]


def test_decode_infer_views_raw_contents_without_a_copy() -> None:
    message = request()
    message.raw_input_contents.append(np.array([1.5, 2.5], "<f4").tobytes())
    data = decode_infer(message).inputs["x"].data
    assert data.tolist() == [[1.5, 2.5]]
    assert not data.flags.owndata


def test_decode_infer_reads_names_version_id_and_every_kind_of_parameter() -> None:
    message = pb.ModelInferRequest(model_name="m", model_version="3", id="7")
    message.outputs.add(name="b")
    message.outputs.add(name="a")
    message.parameters["flag"].bool_param = False
    message.parameters["count"].int64_param = -3
    message.parameters["text"].string_param = ""
    message.parameters["rate"].double_param = 0.5
    message.parameters["priority"].uint64_param = 2**64 - 1
    decoded = decode_infer(message)
    assert (decoded.model_name, decoded.model_version, decoded.id) == ("m", "3", "7")
    assert decoded.outputs == ("b", "a")
    assert decoded.protocol == "grpc"
    assert decoded.parameters == {
        "flag": False,
        "count": -3,
        "text": "",
        "rate": 0.5,
        "priority": 2**64 - 1,
    }


def test_decode_infer_accepts_a_tensor_without_elements() -> None:
    message = request(shape=(0, 4))
    message.raw_input_contents.append(b"")
    assert decode_infer(message).inputs["x"].shape == (0, 4)


def test_decode_infer_accepts_a_scalar() -> None:
    message = request(shape=())
    message.inputs[0].contents.fp32_contents.append(2.0)
    assert decode_infer(message).inputs["x"].shape == ()


def mixed() -> pb.ModelInferRequest:
    message = request()
    message.inputs[0].contents.fp32_contents.extend([1.0, 2.0])
    message.raw_input_contents.append(bytes(8))
    return message


def raw(datatype: str, shape: tuple[int, ...], *blobs: bytes) -> pb.ModelInferRequest:
    message = request(datatype, shape)
    message.raw_input_contents.extend(blobs)
    return message


def typed(datatype: str, field: str, *values: Any) -> pb.ModelInferRequest:
    message = request(datatype)
    getattr(message.inputs[0].contents, field).extend(values)
    return message


def twice() -> pb.ModelInferRequest:
    message = raw("FP32", (1, 2), bytes(8), bytes(8))
    message.inputs.add(name="x", datatype="FP32", shape=(1, 2))
    return message


def output_twice() -> pb.ModelInferRequest:
    return pb.ModelInferRequest(outputs=[{"name": "y"}, {"name": "y"}])


def second_input_without_data() -> pb.ModelInferRequest:
    message = raw("FP32", (1, 2), bytes(8))
    message.inputs.add(name="z", datatype="FP32", shape=(1, 2))
    return message


def parameter_without_value() -> pb.ModelInferRequest:
    message = pb.ModelInferRequest()
    message.parameters["p"].SetInParent()
    return message


MALFORMED = {
    "raw and typed": (
        mixed(),
        "contents field must not be specified when using raw_input_contents for 'x' for model 'm'",
    ),
    "no data": (request(), "unable to find data for input tensor 'x' for model 'm'"),
    "too few raw": (
        second_input_without_data(),
        "unable to find data for input tensor 'z' for model 'm'",
    ),
    "too many raw": (
        raw("FP32", (1, 2), bytes(8), b""),
        "unexpected number of raw_input_contents for model 'm': expected 1, got 2",
    ),
    "datatype": (raw("FLOAT", (1, 2), bytes(8)), "invalid datatype for input x"),
    "short raw": (
        raw("FP32", (1, 2), bytes(7)),
        "input byte size mismatch for input 'x' for model 'm'. Expected 8, got 7",
    ),
    "short typed": (
        typed("FP32", "fp32_contents", 1.0),
        "input byte size mismatch for input 'x' for model 'm'. Expected 8, got 4",
    ),
    "wrong typed list": (
        typed("FP32", "fp64_contents", 1.0, 2.0),
        "input byte size mismatch for input 'x' for model 'm'. Expected 8, got 0",
    ),
    "short typed strings": (
        typed("BYTES", "bytes_contents", b"a"),
        "expected 2 string elements for inference input 'x', got 1",
    ),
    "malformed raw strings": (
        raw("BYTES", (1,), b"\xe7\x03\0\0x"),
        "expecting string of length 999 but only 1 bytes available",
    ),
    "INT8 range": (typed("INT8", "int_contents", 300, 0), "INT8 holds -128..127, got 0..300"),
    "UINT16 range": (typed("UINT16", "uint_contents", 65536, 1), "UINT16 holds 0..65535"),
    "typed FP16": (typed("FP16", "fp32_contents", 1.0, 2.0), "use raw_input_contents"),
    "negative dimension": (raw("FP32", (-1, -2), bytes(8)), "dimensions must be >= 0"),
    "huge shape": (raw("FP32", (2**40, 2**40), bytes(8)), "input byte size mismatch"),
    "huge shape typed": (typed("FP32", "fp32_contents"), "Expected 8, got 0"),
    "input twice": (twice(), "input 'x' is given twice"),
    "output twice": (output_twice(), "output 'y' is requested twice"),
    "parameter without value": (parameter_without_value(), "parameter 'p' has no value"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_decode_infer_says_what_is_wrong_when_malformed(case: str) -> None:
    message, text = MALFORMED[case]
    if case == "huge shape typed":
        message.inputs[0].contents.SetInParent()
    with pytest.raises(InvalidInput) as caught:
        decode_infer(message)
    assert text in caught.value.message


@pytest.mark.parametrize("key", ["classification", "shared_memory_region"])
def test_decode_infer_refuses_extensions_that_are_not_served(key: str) -> None:
    message = pb.ModelInferRequest()
    message.outputs.add(name="y").parameters[key].int64_param = 1
    with pytest.raises(NotSupported, match=f"parameter '{key}' of output 'y'"):
        decode_infer(message)


def test_decode_infer_refuses_shared_memory_inputs() -> None:
    message = request()
    message.inputs[0].parameters["shared_memory_region"].string_param = "r"
    with pytest.raises(NotSupported, match="parameter 'shared_memory_region' of input 'x'"):
        decode_infer(message)


@given(
    datatype=st.sampled_from([*Datatype.__members__, ""]),
    shape=st.lists(st.integers(-2, 3) | st.integers(-(2**63), 2**63 - 1), max_size=4),
    blobs=st.lists(st.binary(max_size=16), max_size=2),
    numbers=st.none() | st.lists(st.integers(-(2**31), 2**31 - 1), max_size=4),
)
def test_decode_infer_answers_or_blames_the_client_when_the_message_is_arbitrary(
    datatype: str, shape: list[int], blobs: list[bytes], numbers: list[int] | None
) -> None:
    message = raw(datatype, tuple(shape), *blobs)
    if numbers is not None:
        message.inputs[0].contents.int_contents.extend(numbers)
    try:
        tensor = decode_infer(message).inputs["x"]
    except InvalidInput:
        return
    assert list(tensor.shape) == shape


@given(st.binary(max_size=80))
def test_decode_infer_never_crashes_when_the_bytes_are_arbitrary(data: bytes) -> None:
    try:
        message = pb.ModelInferRequest.FromString(data)
    except DecodeError:
        return
    with contextlib.suppress(InvalidInput, NotSupported):
        decode_infer(message)


def test_encode_infer_writes_raw_values_in_the_order_of_the_answer() -> None:
    text = np.array([b"ab"], np.object_)
    message = encode_infer(
        InferResponse(
            model_name="m",
            model_version="3",
            id="7",
            outputs={
                "s": Tensor(Datatype.BYTES, text),
                "b": Tensor(Datatype.FP32, np.array([[1.5]], np.float32)),
            },
        )
    )
    assert (message.model_name, message.model_version, message.id) == ("m", "3", "7")
    assert [(o.name, o.datatype, list(o.shape)) for o in message.outputs] == [
        ("s", "BYTES", [1]),
        ("b", "FP32", [1, 1]),
    ]
    assert list(message.raw_output_contents) == [b"\2\0\0\0ab", b"\0\0\xc0\x3f"]
    assert not message.outputs[0].HasField("contents")


def test_encode_model_metadata_leaves_out_the_properties() -> None:
    metadata = ModelMetadata(
        name="m",
        versions=("1", "2"),
        platform="onnxruntime_onnx",
        inputs=(TensorSpec("x", Datatype.FP32, (-1, 2)),),
        outputs=(),
        properties={"provider": "cpu"},
    )
    message = encode_model_metadata(metadata)
    fields = {field.number for field, _ in message.ListFields()}
    assert fields == {1, 2, 3, 4}
    assert list(message.inputs[0].shape) == [-1, 2]
