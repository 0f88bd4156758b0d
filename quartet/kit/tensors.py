"""Tensors of protocol v2: made from a model's metadata, and written as an infer request."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from quartet.kit.errors import KitError

FREE_AXIS = 16
"""Length given to a free axis (-1) that is not the batch's."""
TEXT = b"quartet"

_DTYPES: Mapping[str, type[np.generic]] = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
}
"""Wire name -> NumPy type; BYTES are arrays of objects."""
_WIRE = {np.dtype(dtype): wire for wire, dtype in _DTYPES.items()}


def from_metadata(
    inputs: Sequence[Mapping[str, Any]], batch: tuple[int, ...], seed: int
) -> dict[str, npt.NDArray[np.generic]]:
    """One value for each input: floats uniform in [0, 1), integers 0, texts ``TEXT``.

    Integers are 0, as an index of anything may be.

    Args:
        inputs: name, datatype and shape of each, as the metadata of protocol v2 gives them.
        batch: (rows,) where the first axis of every input is the batch; () where there is none.
        seed: of the floats.

    Raises:
        KitError: a datatype has no rule.
    """
    random = np.random.default_rng(seed)
    made: dict[str, npt.NDArray[np.generic]] = {}
    for tensor in inputs:
        name, wire = str(tensor["name"]), str(tensor["datatype"])
        axes = [FREE_AXIS if axis < 0 else int(axis) for axis in tensor["shape"][len(batch) :]]
        shape = (*batch, *axes)
        if wire == "BYTES":
            made[name] = np.full(shape, TEXT, dtype=np.object_)
        elif wire not in _DTYPES:
            raise KitError(f"input {name!r} of type {wire}: no sample can be made, add golden.npz")
        elif wire.startswith("FP"):
            made[name] = random.random(shape).astype(_DTYPES[wire])
        else:
            made[name] = np.zeros(shape, _DTYPES[wire])
    return made


def infer_body(
    inputs: Mapping[str, npt.NDArray[np.generic]], parameters: Mapping[str, Any]
) -> tuple[bytes, int]:
    """The body of an infer request with binary tensors both ways, and the length of its JSON."""
    blobs = [_blob(array) for array in inputs.values()]
    document: dict[str, Any] = {
        "inputs": [
            {
                "name": name,
                "datatype": _WIRE.get(array.dtype, "BYTES"),
                "shape": list(array.shape),
                "parameters": {"binary_data_size": len(blob)},
            }
            for (name, array), blob in zip(inputs.items(), blobs, strict=True)
        ],
        "parameters": {**parameters, "binary_data_output": True},
    }
    header = json.dumps(document).encode()
    return b"".join([header, *blobs]), len(header)


def _blob(array: npt.NDArray[np.generic]) -> bytes:
    """Little-endian, row-major; each text after its length in 4 bytes."""
    if array.dtype != np.object_:
        return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
    return b"".join(len(text).to_bytes(4, "little") + text for text in array.ravel().tolist())
