"""JSON tensor data: the rules of the protocol, and ours where they are stricter."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from serving.errors import InvalidInput
from serving.rest.tensor_json import decode_json_tensor, encode_json_tensor
from serving.tensors import bytes_array
from serving.types import Datatype, Tensor

HALVES = [Datatype.FP16, Datatype.BF16]
IN_JSON = [datatype for datatype in Datatype if datatype not in HALVES]
WHOLE = [d for d in IN_JSON if d.dtype.kind in "iu"]


def nested(flat: list[Any], shape: tuple[int, ...]) -> Any:
    """``flat`` with the nesting of ``shape``."""
    if not shape:
        return flat[0]
    step = len(flat) // shape[0] if shape[0] else 0
    return [nested(flat[i * step : (i + 1) * step], shape[1:]) for i in range(shape[0])]


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    datatype = draw(st.sampled_from(IN_JSON))
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    if datatype is Datatype.BYTES:
        size = int(np.prod(shape))
        texts = draw(st.lists(st.text(max_size=5), min_size=size, max_size=size))
        return Tensor(datatype, bytes_array([text.encode() for text in texts]).reshape(shape))
    return Tensor(datatype, draw(hnp.arrays(datatype.dtype, shape)))


@given(tensors(), st.booleans())
@settings(max_examples=200, deadline=None)
def test_json_codec_returns_the_tensor_it_was_given(tensor: Tensor, as_nested: bool) -> None:
    data = encode_json_tensor(tensor, "y")
    if as_nested and tensor.shape:
        data = nested(data, tensor.shape)
    decoded = decode_json_tensor(data, tensor.datatype, tensor.shape, "y")
    assert decoded.data.dtype == tensor.datatype.dtype
    assert decoded.data.shape == tensor.shape
    np.testing.assert_array_equal(decoded.data, tensor.data)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=6,
)


@given(
    data=JSON_VALUES,
    datatype=st.sampled_from(list(Datatype)),
    shape=st.lists(st.integers(0, 3) | st.sampled_from([2**40, 2**63]), max_size=3).map(tuple),
)
@settings(max_examples=300, deadline=None)
def test_decode_returns_the_shape_or_refuses_whatever_is_sent(
    data: Any, datatype: Datatype, shape: tuple[int, ...]
) -> None:
    try:
        tensor = decode_json_tensor(data, datatype, shape, "x")
    except InvalidInput:
        return
    assert tensor.shape == shape


@pytest.mark.parametrize("data", [[1.5, -2, 3, 4.25], [[1.5, -2], [3, 4.25]]])
def test_decode_reads_flat_and_nested_data(data: list[Any]) -> None:
    tensor = decode_json_tensor(data, Datatype.FP32, (2, 2), "x")
    assert tensor.data.tolist() == [[1.5, -2.0], [3.0, 4.25]]


@pytest.mark.parametrize(
    ("data", "shape"),
    [
        ([[1.5], [-2.0]], (1, 2)),
        ([[1.5, [-2.0]]], (1, 2)),
        ([[1.0, 2.0], [3.0]], (2, 2)),
        ([[1.0, 2.0], 3.0, 4.0], (2, 2)),
        ([[[1.0]], [[2.0]]], (2, 1)),
        ([[1.0]], (1,)),
        ([[1.0]], ()),
        ([1.0, [2.0]], (2,)),
    ],
)
def test_decode_refuses_nesting_that_is_not_that_of_the_shape(
    data: list[Any], shape: tuple[int, ...]
) -> None:
    with pytest.raises(InvalidInput, match=r"input 'x': .*(nested|an array|elements)"):
        decode_json_tensor(data, Datatype.FP32, shape, "x")


@pytest.mark.parametrize(
    ("datatype", "data", "message"),
    [
        (Datatype.FP32, ["1"], "FP32 data are numbers; element 0 is a string"),
        (Datatype.FP32, [True], "element 0 is a boolean"),
        (Datatype.FP32, [None], "element 0 is null"),
        (Datatype.FP64, [{}], "element 0 is an object"),
        (Datatype.INT32, [1.5], "INT32 data are whole numbers; element 0 is the number 1.5"),
        (Datatype.INT32, [1.0], "element 0 is the number 1.0"),
        (Datatype.INT32, [True], "element 0 is a boolean"),
        (Datatype.BOOL, [1], "BOOL data are true or false; element 0 is the number 1"),
        (Datatype.BOOL, [0], "element 0 is the number 0"),
        (Datatype.BYTES, [7], "BYTES data are strings; element 0 is the number 7"),
    ],
)
def test_decode_names_input_and_element_when_the_type_is_wrong(
    datatype: Datatype, data: list[Any], message: str
) -> None:
    with pytest.raises(InvalidInput, match=f"input 'x': .*{message}"):
        decode_json_tensor(data, datatype, (1,), "x")


def test_decode_names_the_first_wrong_element_of_several() -> None:
    with pytest.raises(InvalidInput, match="element 2 is a string"):
        decode_json_tensor([1, 2, "3", "4"], Datatype.INT8, (4,), "x")


@pytest.mark.parametrize("datatype", WHOLE)
def test_decode_refuses_integers_that_the_type_cannot_hold(datatype: Datatype) -> None:
    limits = np.iinfo(datatype.dtype)
    exact = decode_json_tensor([limits.min, limits.max], datatype, (2,), "x")
    assert exact.data.tolist() == [limits.min, limits.max]
    for value in (limits.min - 1, limits.max + 1):
        with pytest.raises(InvalidInput, match=f"{value} is out of range for {datatype.wire}"):
            decode_json_tensor([value, 0], datatype, (2,), "x")


@pytest.mark.parametrize("value", [1e39, -1e39, 10**39])
def test_decode_refuses_numbers_that_fp32_cannot_hold(value: float) -> None:
    with pytest.raises(InvalidInput, match="is too big for FP32"):
        decode_json_tensor([0, value], Datatype.FP32, (2,), "x")


def test_decode_refuses_whole_numbers_that_no_double_can_hold() -> None:
    with pytest.raises(InvalidInput, match="too big for FP64"):
        decode_json_tensor([10**400], Datatype.FP64, (1,), "x")


def test_decode_keeps_infinities_and_nan() -> None:
    tensor = decode_json_tensor([np.inf, -np.inf, np.nan], Datatype.FP32, (3,), "x")
    assert str(tensor.data.tolist()) == "[inf, -inf, nan]"


def test_decode_keeps_nul_characters() -> None:
    tensor = decode_json_tensor(["\0x", "é", ""], Datatype.BYTES, (3,), "x")
    assert tensor.data.tolist() == [b"\0x", "é".encode(), b""]


def test_decode_refuses_text_that_utf8_cannot_carry() -> None:
    with pytest.raises(InvalidInput, match="lone surrogate"):
        decode_json_tensor(["\ud800"], Datatype.BYTES, (1,), "x")


@pytest.mark.parametrize("data", [[1.0], [1.0, 2.0, 3.0], []])
def test_decode_refuses_the_wrong_number_of_elements(data: list[float]) -> None:
    with pytest.raises(InvalidInput, match=rf"needs 2 elements, 'data' has {len(data)}"):
        decode_json_tensor(data, Datatype.FP32, (1, 2), "x")


@pytest.mark.parametrize("data", [{}, "text", 1.0, None, True])
def test_decode_refuses_data_that_are_no_array(data: Any) -> None:
    with pytest.raises(InvalidInput, match="'data' must be an array"):
        decode_json_tensor(data, Datatype.FP32, (1,), "x")


@pytest.mark.parametrize("shape", [(0, 2**40, 2**40), (1,) * 65])
def test_decode_refuses_shapes_that_numpy_cannot_hold(shape: tuple[int, ...]) -> None:
    data = [1.0] if 0 not in shape else []
    with pytest.raises(InvalidInput, match="unexpected shape"):
        decode_json_tensor(data, Datatype.FP32, shape, "x")


@pytest.mark.parametrize("datatype", HALVES)
def test_half_precision_is_refused_both_ways(datatype: Datatype) -> None:
    with pytest.raises(InvalidInput, match=f"receiving {datatype.wire} data via JSON is not"):
        decode_json_tensor([1.0], datatype, (1,), "x")
    with pytest.raises(InvalidInput, match=f"sending {datatype.wire} data via JSON is not"):
        encode_json_tensor(Tensor(datatype, np.zeros(1, datatype.dtype)), "y")


def test_encode_asks_for_binary_when_bytes_are_not_utf8() -> None:
    tensor = Tensor(Datatype.BYTES, bytes_array([b"fine", b"\xff"]))
    with pytest.raises(InvalidInput, match=r"output 'y' holds bytes that are not UTF-8.*binary"):
        encode_json_tensor(tensor, "y")


def test_encode_writes_fp32_as_the_double_of_its_value() -> None:
    tensor = Tensor(Datatype.FP32, np.array([[0.1]], np.float32))
    assert encode_json_tensor(tensor, "y") == [float(np.float32(0.1))]
