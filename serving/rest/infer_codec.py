"""Infer requests and answers of the Open Inference Protocol over REST, JSON and binary.

A body is JSON alone, or JSON of ``Inference-Header-Content-Length`` bytes followed by the blobs of
the inputs that declare ``binary_data_size``, in their order (binary tensor data extension). A
length of 0 means that the whole body is the only input.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from serving.errors import InvalidInput
from serving.request_check import refuse_unserved
from serving.rest.json_codec import parse_json, render_json
from serving.rest.tensor_json import decode_json_tensor, encode_json_tensor, is_finite
from serving.tensors import decode_tensor, encode_tensor
from serving.types import (
    DATATYPES,
    Datatype,
    InferRequest,
    InferResponse,
    ModelMetadata,
    ParameterValue,
    Tensor,
    TensorSpec,
)


@dataclass(slots=True)
class InferCall:
    """A decoded request, and how its answer is to be written."""

    request: InferRequest
    binary: Mapping[str, bool] = field(default_factory=dict)
    """Output name -> wanted as a blob, where the request said so."""
    binary_default: bool = False
    """The same for outputs it was silent about."""


def parse_infer(body: bytes, json_length: int | None, model: str, version: str) -> InferCall:
    """Decode an infer request.

    Args:
        body: the whole body, decompressed.
        json_length: bytes of the JSON part; None: all of it.
        model: name from the URL.
        version: version from the URL, or empty.

    Raises:
        InvalidInput: the body contradicts the protocol; the text says what was expected.
        NotSupported: it asks for an extension that is not served.
    """
    if not body:
        raise InvalidInput("empty request: expected a JSON object with 'inputs'")
    if json_length is None:
        json_length = len(body)
    document = parse_json(memoryview(body)[:json_length])
    if not isinstance(document, dict):
        raise InvalidInput("the request must be a JSON object with 'inputs'")
    parameters = _parameters(document, "the request")
    inputs = _inputs(document, memoryview(body)[json_length:], model)
    names, binary = _outputs(document)
    return InferCall(
        request=InferRequest(
            model_name=model,
            model_version=version,
            inputs=inputs,
            outputs=names,
            id=_id(document),
            parameters={k: v for k, v in parameters.items() if k != "binary_data_output"},
        ),
        binary=binary,
        binary_default=_flag(parameters, "binary_data_output", default=False),
    )


def parse_raw_infer(body: bytes, metadata: ModelMetadata, version: str) -> InferCall:
    """Decode a raw binary request: the whole body is the model's only input, one row of it.

    Raises:
        InvalidInput: the model has several inputs or free axes, or the size does not fit.
    """
    if len(metadata.inputs) != 1:
        raise InvalidInput(
            f"a raw binary request needs a model with one input, {metadata.name!r} has "
            f"{[spec.name for spec in metadata.inputs]}"
        )
    spec = metadata.inputs[0]
    shape = _raw_shape(spec, len(body), batches=metadata.properties.get("max_batch_size") != "0")
    tensor = decode_tensor(body, spec.datatype, shape, spec.name, metadata.name)
    return InferCall(
        request=InferRequest(
            model_name=metadata.name, model_version=version, inputs={spec.name: tensor}
        ),
        binary_default=True,
    )


def check_answer_form(call: InferCall, outputs: Sequence[TensorSpec]) -> None:
    """Refuse before the model runs what ``render_infer`` could not write. Raises InvalidInput."""
    for spec in outputs:
        wanted = not call.request.outputs or spec.name in call.request.outputs
        if wanted and not call.binary.get(spec.name, call.binary_default):
            encode_json_tensor(Tensor(spec.datatype, np.empty(0, spec.datatype.dtype)), spec.name)


def render_infer(call: InferCall, response: InferResponse) -> tuple[bytes, int | None]:
    """The body of the answer, and the length of its JSON part if blobs follow it.

    Raises:
        InvalidInput: an output has no JSON form and was not asked for as a blob.
    """
    outputs: list[dict[str, Any]] = []
    blobs: list[bytes] = []
    finite = True
    for name, tensor in response.outputs.items():
        entry: dict[str, Any] = {
            "name": name,
            "datatype": tensor.datatype.wire,
            "shape": tensor.shape,
        }
        if not call.binary.get(name, call.binary_default):
            entry["data"] = encode_json_tensor(tensor, name)
            finite = finite and is_finite(tensor)
        elif tensor.data.size:
            blob = encode_tensor(tensor)
            entry["parameters"] = {"binary_data_size": len(blob)}
            blobs.append(blob)
        else:
            entry["data"] = []
        outputs.append(entry)
    document: dict[str, Any] = {"id": response.id} if response.id else {}
    document["model_name"] = response.model_name
    document["model_version"] = response.model_version
    document["outputs"] = outputs
    text = orjson.dumps(document) if finite else render_json(document)
    if not blobs:
        return text, None
    return b"".join((text, *blobs)), len(text)


def _id(document: Mapping[str, Any]) -> str:
    value = document.get("id", "")
    if not isinstance(value, str):
        raise InvalidInput(f"'id' must be a string, got {value!r}")
    return value


def _parameters(holder: Mapping[str, Any], where: str) -> dict[str, ParameterValue]:
    value = holder.get("parameters")
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidInput(f"'parameters' of {where} must be an object")
    for name, item in value.items():
        if not isinstance(item, bool | int | float | str):
            raise InvalidInput(f"parameter {name!r} of {where} must be a string, number or boolean")
    return value


def _flag(parameters: Mapping[str, ParameterValue], name: str, *, default: bool) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise InvalidInput(f"parameter {name!r} must be true or false, got {value!r}")
    return value


def _named_objects(document: Mapping[str, Any], key: str) -> list[tuple[str, dict[str, Any]]]:
    """The objects of an array, with their names, which must be text and differ."""
    value = document.get(key)
    if not isinstance(value, list):
        raise InvalidInput(f"{key!r} must be an array of objects")
    entries: dict[str, dict[str, Any]] = {}
    for item in value:
        if not isinstance(item, dict) or not isinstance(item.get("name"), str):
            raise InvalidInput(f"every element of {key!r} must be an object with a 'name'")
        if item["name"] in entries:
            raise InvalidInput(f"{key!r} names {item['name']!r} twice")
        entries[item["name"]] = item
    return list(entries.items())


def _inputs(document: Mapping[str, Any], blobs: memoryview, model: str) -> dict[str, Tensor]:
    if "inputs" not in document:
        raise InvalidInput("the request has no 'inputs'; expected an array of tensors")
    inputs: dict[str, Tensor] = {}
    position = 0
    for name, item in _named_objects(document, "inputs"):
        datatype, shape = _datatype(item, name), _shape(item, name)
        parameters = _parameters(item, f"input {name!r}")
        refuse_unserved(parameters, f"input {name!r}")
        size = _binary_size(parameters, item, name)
        if size is None:
            inputs[name] = decode_json_tensor(item["data"], datatype, shape, name)
            continue
        blob = blobs[position : position + size]
        if len(blob) < size:
            raise InvalidInput(
                f"unexpected size for input {name!r}, expecting {size - len(blob)} "
                f"additional bytes for model {model!r}"
            )
        inputs[name] = decode_tensor(blob, datatype, shape, name, model)
        position += size
    if position != len(blobs):
        raise InvalidInput(
            f"unexpected additional input data for model {model!r}: "
            f"{len(blobs) - position} bytes behind the last input"
        )
    return inputs


def _datatype(item: Mapping[str, Any], name: str) -> Datatype:
    value = item.get("datatype")
    datatype = DATATYPES.get(value) if isinstance(value, str) else None
    if datatype is None:
        raise InvalidInput(
            f"invalid datatype for input {name!r}: got {value!r}, expected one of "
            + ", ".join(DATATYPES)
        )
    return datatype


def _shape(item: Mapping[str, Any], name: str) -> tuple[int, ...]:
    value = item.get("shape")
    valid = isinstance(value, list) and all(type(size) is int and size >= 0 for size in value)
    if not valid:
        raise InvalidInput(
            f"input {name!r}: 'shape' must be an array of whole numbers >= 0, got {value!r}"
        )
    return tuple(item["shape"])


def _binary_size(
    parameters: Mapping[str, ParameterValue], item: Mapping[str, Any], name: str
) -> int | None:
    """Bytes of the input's blob; None if its data are in the JSON."""
    size = parameters.get("binary_data_size")
    if (size is None) == ("data" not in item):
        raise InvalidInput(
            f"Input must set only one of the following fields: 'data', 'binary_data_size' in "
            f"'parameters'; input {name!r} sets {'none' if size is None else 'both'}"
        )
    if size is None:
        return None
    if type(size) is not int or size < 0:
        raise InvalidInput(f"input {name!r}: 'binary_data_size' must be a whole number >= 0")
    return size


def _outputs(document: Mapping[str, Any]) -> tuple[tuple[str, ...], dict[str, bool]]:
    """Names wanted, in order, and which of them as a blob, where the request says so."""
    if not document.get("outputs"):
        return (), {}
    names: list[str] = []
    binary: dict[str, bool] = {}
    for name, item in _named_objects(document, "outputs"):
        parameters = _parameters(item, f"output {name!r}")
        refuse_unserved(parameters, f"output {name!r}")
        names.append(name)
        if "binary_data" in parameters:
            binary[name] = _flag(parameters, "binary_data", default=False)
    return tuple(names), binary


def _raw_shape(spec: TensorSpec, size: int, *, batches: bool) -> tuple[int, ...]:
    """The shape of one row that ``size`` bytes make; at most one axis may be free."""
    row = spec.shape[1:] if batches else spec.shape
    lead = (1,) if batches else ()
    free = [axis for axis, length in enumerate(row) if length < 0]
    if spec.datatype is Datatype.BYTES or len(free) > 1:
        raise InvalidInput(
            f"input {spec.name!r} of {spec.datatype.wire} {list(spec.shape)} does not fit a raw "
            "binary request: its size must follow from its bytes"
        )
    if not free:
        return lead + row
    known = spec.datatype.itemsize * int(np.prod([n for n in row if n >= 0], dtype=np.int64))
    if known == 0 or size % known:
        raise InvalidInput(
            f"input {spec.name!r}: {size} bytes are no whole number of {known} byte steps"
        )
    return lead + tuple(size // known if length < 0 else length for length in row)
