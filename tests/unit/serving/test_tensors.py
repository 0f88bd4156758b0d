import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import InvalidInput
from serving.tensors import (
    bytes_array,
    decode_bytes_tensor,
    decode_tensor,
    element_count,
    encode_bytes_tensor,
    encode_tensor,
)
from serving.types import Datatype, Tensor

FIXED = [datatype for datatype in Datatype if datatype is not Datatype.BYTES]


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_bytes_codec_returns_the_elements_it_was_given(elements: list[bytes]) -> None:
    encoded = encode_bytes_tensor(bytes_array(elements))
    assert decode_bytes_tensor(memoryview(encoded), len(elements), "s").tolist() == elements


@given(st.binary(max_size=64), st.integers(0, 8))
def test_decode_bytes_tensor_returns_or_refuses_when_data_is_arbitrary(
    data: bytes, count: int
) -> None:
    try:
        elements = decode_bytes_tensor(data, count, "s")
    except InvalidInput:
        return
    assert encode_bytes_tensor(elements) == data


def test_encode_bytes_tensor_writes_length_and_value_when_element_is_not_ascii() -> None:
    array = np.array([b"ab", "é"], np.object_)
    assert encode_bytes_tensor(array) == bytes.fromhex("02000000616202000000c3a9")


def test_decode_bytes_tensor_keeps_nul_bytes_and_long_elements() -> None:
    elements = [b"\0x\0", b"", b"y" * 70_000]
    encoded = encode_bytes_tensor(bytes_array(elements))
    assert decode_bytes_tensor(encoded, 3, "s").tolist() == elements


@pytest.mark.parametrize(
    ("data", "count", "text"),
    [
        (b"\xe7\x03\0\0x", 1, "expecting string of length 999 but only 1 bytes available"),
        (b"\1\0\0", 1, "incomplete string length indicator for inference input 's'"),
        (b"\0\0\0\0", 2, "expected 2 string elements for inference input 's', got 1"),
        (b"", 1, "expected 1 string elements for inference input 's', got 0"),
        (b"\0" * 12, 2, "unexpected number of string elements 3 for inference input 's'"),
        (b"\xff\xff\xff\xff", 1, "expecting string of length 4294967295 but only 0 bytes"),
    ],
)
def test_decode_bytes_tensor_says_what_is_wrong_when_malformed(
    data: bytes, count: int, text: str
) -> None:
    with pytest.raises(InvalidInput, match=text):
        decode_bytes_tensor(data, count, "s")


@pytest.mark.parametrize("datatype", FIXED, ids=lambda datatype: datatype.wire)
def test_fixed_size_codec_keeps_values_and_shape(datatype: Datatype) -> None:
    values = np.array([[0, 1, 1], [1, 0, 1]]).astype(datatype.dtype)
    encoded = encode_tensor(Tensor(datatype, values))
    decoded = decode_tensor(encoded, datatype, (2, 3), "x", "m")
    assert len(encoded) == 6 * datatype.itemsize
    assert decoded.data.dtype == datatype.dtype
    np.testing.assert_array_equal(decoded.data, values)


def test_encode_tensor_writes_row_major_when_the_array_is_transposed() -> None:
    values = np.arange(6, dtype=np.int32).reshape(2, 3).T
    encoded = encode_tensor(Tensor(Datatype.INT32, values))
    assert np.frombuffer(encoded, "<i4").tolist() == [0, 3, 1, 4, 2, 5]


def test_decode_tensor_shares_memory_with_the_message() -> None:
    data = bytes(16)
    decoded = decode_tensor(data, Datatype.FP32, (4,), "x", "m")
    assert np.shares_memory(decoded.data, np.frombuffer(data, np.uint8))


def test_decode_tensor_aligns_the_values_when_the_blob_is_not() -> None:
    body = memoryview(b"?" + np.array([1.5, -2.0], "<f4").tobytes())
    decoded = decode_tensor(body[1:], Datatype.FP32, (2,), "x", "m")
    assert decoded.data.flags.aligned
    assert decoded.data.tolist() == [1.5, -2.0]


def test_decode_tensor_names_both_sizes_when_the_blob_is_short() -> None:
    text = r"^input byte size mismatch for input 'x' for model 'm'\. Expected 8, got 7$"
    with pytest.raises(InvalidInput, match=text):
        decode_tensor(bytes(7), Datatype.FP32, (1, 2), "x", "m")


def test_decode_tensor_refuses_bool_bytes_other_than_0_and_1() -> None:
    with pytest.raises(InvalidInput, match="every byte must be 0 or 1"):
        decode_tensor(b"\0\2", Datatype.BOOL, (2,), "x", "m")


def test_element_count_is_one_when_the_tensor_is_a_scalar() -> None:
    assert element_count((), "x") == 1


def test_element_count_refuses_negative_dimensions() -> None:
    with pytest.raises(InvalidInput, match=r"\[-1, -1\] for input 'x'"):
        element_count((-1, -1), "x")


@pytest.mark.parametrize("shape", [(0, 2**62, 2**62), (1,) * 100, (0, 2**70)])
@pytest.mark.parametrize("datatype", [Datatype.UINT8, Datatype.BYTES])
def test_decode_tensor_refuses_shapes_that_numpy_cannot_hold(
    datatype: Datatype, shape: tuple[int, ...]
) -> None:
    data = bytes(4 if datatype is Datatype.BYTES else 1) if 0 not in shape else b""
    with pytest.raises(InvalidInput, match="unexpected shape"):
        decode_tensor(data, datatype, shape, "x", "m")
