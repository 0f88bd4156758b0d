"""Tensors to and from the protocol's binary form, which REST blobs and gRPC raw contents share.

Values are little-endian, row-major and packed. A BYTES element is its length as a little-endian
uint32 followed by that many bytes (Open Inference Protocol, binary tensor data extension). The
wording of the errors is what Triton Inference Server answers, since clients match on it.
"""

import math
import struct
from collections.abc import Iterable

import numpy as np

from serving.errors import InvalidInput
from serving.types import Array, Datatype, Tensor

_LENGTH = struct.Struct("<I")


def element_count(shape: Iterable[int], name: str) -> int:
    """Number of elements of ``shape``; 1 for a scalar.

    Raises:
        InvalidInput: a dimension is negative.
    """
    sizes = tuple(shape)
    if sizes and min(sizes) < 0:
        raise InvalidInput(
            f"unexpected shape {list(sizes)} for input '{name}': dimensions must be >= 0"
        )
    return math.prod(sizes)


def decode_tensor(
    data: bytes | memoryview, datatype: Datatype, shape: tuple[int, ...], name: str, model: str
) -> Tensor:
    """Interpret ``data`` as the binary form of one input.

    Fixed-size elements are not copied: the array is a read-only view that keeps ``data`` alive.

    Args:
        data: exactly the bytes of this tensor.
        datatype: element type.
        shape: full shape, each size >= 0.
        name: input name, for errors.
        model: model name, for errors.

    Raises:
        InvalidInput: the size contradicts ``shape``, or an element is malformed.
    """
    count = element_count(shape, name)
    if datatype is Datatype.BYTES:
        return Tensor(datatype, shaped(decode_bytes_tensor(data, count, name), shape, name))
    expected = count * datatype.itemsize
    if len(data) != expected:
        raise byte_size_mismatch(name, model, expected, len(data))
    flat: Array = np.frombuffer(data, datatype.dtype)
    if not flat.flags.aligned:
        flat = flat.copy()
    if datatype is Datatype.BOOL and flat.size and flat.view(np.uint8).max() > 1:
        raise InvalidInput(f"invalid BOOL value in input '{name}': every byte must be 0 or 1")
    return Tensor(datatype, shaped(flat, shape, name))


def shaped(flat: Array, shape: tuple[int, ...], name: str) -> Array:
    """View ``flat``, which holds as many elements as ``shape``, in that shape.

    Raises:
        InvalidInput: NumPy cannot hold the shape: too many axes, or a huge one beside a 0.
    """
    try:
        return flat.reshape(shape)
    except ValueError as error:
        raise InvalidInput(f"unexpected shape {list(shape)} for input '{name}': {error}") from error


def encode_tensor(tensor: Tensor) -> bytes:
    """The binary form of ``tensor``."""
    if tensor.datatype is Datatype.BYTES:
        return encode_bytes_tensor(tensor.data)
    return tensor.data.astype(tensor.datatype.dtype, order="C", copy=False).tobytes()


def byte_size_mismatch(name: str, model: str, expected: int, got: int) -> InvalidInput:
    """The error of an input whose data is longer or shorter than its shape says, bytes."""
    return InvalidInput(
        f"input byte size mismatch for input '{name}' for model '{model}'. "
        f"Expected {expected}, got {got}"
    )


def decode_bytes_tensor(data: bytes | memoryview, count: int, name: str) -> Array:
    """Read ``count`` length-prefixed elements.

    Returns:
        Array [count] of ``bytes`` objects (dtype object).

    Raises:
        InvalidInput: an element is cut short, or there are fewer or more than ``count``.
    """
    elements: list[bytes] = []
    position, end = 0, len(data)
    while position < end:
        if len(elements) == count:
            raise InvalidInput(
                f"unexpected number of string elements {count + 1} for inference input '{name}', "
                f"expecting {count}"
            )
        start = position + _LENGTH.size
        if start > end:
            raise InvalidInput(
                f"incomplete string length indicator for inference input '{name}', expecting "
                f"{_LENGTH.size} bytes but only {end - position} bytes available"
            )
        (length,) = _LENGTH.unpack_from(data, position)
        position = start + length
        if position > end:
            raise InvalidInput(
                f"incomplete string data for inference input '{name}', expecting string of "
                f"length {length} but only {end - start} bytes available"
            )
        elements.append(bytes(data[start:position]))
    if len(elements) != count:
        raise InvalidInput(
            f"expected {count} string elements for inference input '{name}', got {len(elements)}"
        )
    return bytes_array(elements)


def encode_bytes_tensor(array: Array) -> bytes:
    """Write the elements of ``array``, ``bytes`` or ``str`` (as UTF-8), each behind its length."""
    pieces: list[bytes] = []
    for element in array.ravel():
        value = element.encode() if isinstance(element, str) else bytes(element)
        pieces.append(_LENGTH.pack(len(value)))
        pieces.append(value)
    return b"".join(pieces)


def bytes_array(elements: list[bytes]) -> Array:
    """Array [len(elements)] of dtype object: NumPy's own conversion would cut trailing NULs."""
    array = np.empty(len(elements), np.object_)
    array[:] = elements
    return array
