"""Tensors to and from the protocol's JSON form. Stricter than Triton where Triton loses data.

Nested ``data`` must have the nesting that ``shape`` says; integers never wrap; text keeps all its
bytes. FP16 and BF16 do not travel as JSON (Open Inference Protocol, tensor data).
"""

from itertools import chain
from typing import Any

import numpy as np

from serving.errors import InvalidInput
from serving.tensors import bytes_array, element_count, shaped
from serving.types import Array, Datatype, Tensor

_FLOATS = (Datatype.FP32, Datatype.FP64)
_HALVES = (Datatype.FP16, Datatype.BF16)
_KINDS: dict[Datatype, tuple[frozenset[type], str]] = {
    Datatype.BOOL: (frozenset({bool}), "true or false"),
    Datatype.BYTES: (frozenset({str}), "strings"),
    Datatype.FP32: (frozenset({int, float}), "numbers"),
    Datatype.FP64: (frozenset({int, float}), "numbers"),
}
_WHOLE = (frozenset({int}), "whole numbers")


def decode_json_tensor(
    data: object, datatype: Datatype, shape: tuple[int, ...], name: str
) -> Tensor:
    """Read the ``data`` of one input.

    Args:
        data: the parsed JSON value, flat in row-major order or nested as ``shape``.
        datatype: element type.
        shape: full shape, each size >= 0.
        name: input name, for errors.

    Raises:
        InvalidInput: the data contradict ``shape`` or ``datatype``; the text names the place.
    """
    if datatype in _HALVES:
        raise InvalidInput(
            f"receiving {datatype.wire} data via JSON is not supported. "
            f"Please use the binary data format for input {name!r}"
        )
    if not isinstance(data, list):
        raise InvalidInput(f"input {name!r}: 'data' must be an array, got {_type_name(data)}")
    flat = _flatten(data, shape, name)
    count = element_count(shape, name)
    if len(flat) != count:
        raise InvalidInput(
            f"input {name!r}: shape {list(shape)} needs {count} elements, 'data' has {len(flat)}"
        )
    _check_types(flat, datatype, name)
    return Tensor(datatype, shaped(_to_array(flat, datatype, name), shape, name))


def encode_json_tensor(tensor: Tensor, name: str) -> list[Any]:
    """The flat, row-major ``data`` of one output.

    Raises:
        InvalidInput: the type or the bytes have no JSON form; the client should ask for binary.
    """
    if tensor.datatype in _HALVES:
        raise InvalidInput(
            f"sending {tensor.datatype.wire} data via JSON is not supported. "
            f"Please ask for output {name!r} with binary_data"
        )
    if tensor.datatype is not Datatype.BYTES:
        values: list[Any] = tensor.data.ravel().tolist()
        return values
    try:
        return [str(element, "utf-8") for element in tensor.data.ravel().tolist()]
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"output {name!r} holds bytes that are not UTF-8, which JSON cannot carry; "
            "ask for it with binary_data"
        ) from error


def is_finite(tensor: Tensor) -> bool:
    """Whether no element is infinite or no number, so that every JSON reader takes them."""
    return tensor.datatype not in _FLOATS or bool(np.isfinite(tensor.data).all())


def _flatten(data: list[Any], shape: tuple[int, ...], name: str) -> list[Any]:
    """``data`` without its nesting, which must be none at all or that of ``shape``."""
    if not any(type(item) is list for item in data[:1]):
        return data
    level: list[Any] = [data]
    for axis, size in enumerate(shape):
        for item in level:
            if type(item) is not list or len(item) != size:
                got = len(item) if type(item) is list else _type_name(item)
                raise _wrong_nesting(name, shape, axis, got)
        level = list(chain.from_iterable(level))
    return level


def _wrong_nesting(name: str, shape: tuple[int, ...], axis: int, got: object) -> InvalidInput:
    return InvalidInput(
        f"input {name!r}: nested 'data' must follow shape {list(shape)}; "
        f"on axis {axis} expected {shape[axis]} elements, got {got}"
    )


def _check_types(flat: list[Any], datatype: Datatype, name: str) -> None:
    allowed, wanted = _KINDS.get(datatype, _WHOLE)
    if set(map(type, flat)) <= allowed:
        return
    index = next(i for i, value in enumerate(flat) if type(value) not in allowed)
    raise InvalidInput(
        f"input {name!r}: {datatype.wire} data are {wanted}; "
        f"element {index} is {_type_name(flat[index])}"
    )


def _to_array(flat: list[Any], datatype: Datatype, name: str) -> Array:
    if datatype is Datatype.BYTES:
        return bytes_array([_utf8(text, name) for text in flat])
    if datatype in _FLOATS:
        return _to_floats(flat, datatype, name)
    if datatype is not Datatype.BOOL and flat:
        limits = np.iinfo(datatype.dtype)
        for extreme in (min(flat), max(flat)):
            if not limits.min <= extreme <= limits.max:
                raise InvalidInput(
                    f"input {name!r}: {extreme} is out of range for {datatype.wire}, "
                    f"which holds {limits.min} to {limits.max}"
                )
    return np.array(flat, datatype.dtype)


def _to_floats(flat: list[Any], datatype: Datatype, name: str) -> Array:
    try:
        wide = np.array(flat, np.float64)
    except OverflowError as error:
        raise InvalidInput(f"input {name!r}: a number is too big for FP64") from error
    with np.errstate(over="ignore"):
        array = wide.astype(datatype.dtype)
    overflowed = np.isinf(array) & np.isfinite(wide)
    if overflowed.any():
        index = int(np.argmax(overflowed))
        raise InvalidInput(f"input {name!r}: {flat[index]} is too big for {datatype.wire}")
    return array


def _utf8(text: str, name: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"input {name!r}: a string holds a lone surrogate, which UTF-8 cannot carry"
        ) from error


def _type_name(value: object) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean"}
    if value is None:
        return "null"
    return names.get(type(value), f"the number {value!r}"[:60])
