"""Bodies of ``/v2/models/{m}/generate`` and ``generate_stream``: flat JSON for tensors.

A key that is the name of an input holds its values: one value, a flat array, or one nested as the
input's shape, with or without the batch axis. ``id`` is the request's id. Any other key, like the
members of ``parameters``, is a request parameter; sequence parameters work in both places
(generate extension of the Open Inference Protocol).
"""

import math
from collections.abc import Mapping
from typing import Any

import orjson

from serving.errors import InvalidInput
from serving.rest.fields import Reader, an_object, parse_object, text, texts
from serving.rest.infer_codec import InferCall, check_answer_form
from serving.rest.json_codec import render_json
from serving.rest.tensor_json import decode_json_tensor, encode_json_tensor, is_finite
from serving.types import (
    InferRequest,
    InferResponse,
    ModelMetadata,
    ParameterValue,
    Tensor,
    TensorSpec,
)

STRUCTURED_PARAMETERS: Mapping[str, Reader] = {"stop": texts, "receipt": an_object}
"""Parameters that may be given as JSON in place of the text of that JSON, and what they must be."""


def parse_generate(body: bytes, metadata: ModelMetadata, version: str) -> InferRequest:
    """Decode a request.

    Args:
        body: the whole body, decompressed.
        metadata: of the model.
        version: from the URL, or empty.

    Raises:
        InvalidInput: the body does not fit the model; the text says what was expected.
    """
    document = parse_object(body)
    specs = {spec.name: spec for spec in metadata.inputs}
    batches = metadata.properties.get("max_batch_size") != "0"
    inputs = {
        name: _tensor(specs[name], value, batches=batches)
        for name, value in document.items()
        if name in specs
    }
    rest = {name: value for name, value in document.items() if name not in specs}
    request = InferRequest(
        model_name=metadata.name,
        model_version=version,
        inputs=inputs,
        id=text("id", rest.pop("id", "")),
        parameters=_parameters(rest),
    )
    check_answer_form(InferCall(request), metadata.outputs)
    return request


def render_generate(response: InferResponse) -> bytes:
    """The answer as a flat object; the array of one element becomes that element.

    Raises:
        InvalidInput: an output has no JSON form.
    """
    document: dict[str, Any] = {"id": response.id} if response.id else {}
    document["model_name"] = response.model_name
    document["model_version"] = response.model_version
    finite = True
    for name, tensor in response.outputs.items():
        values = encode_json_tensor(tensor, name)
        document[name] = values[0] if len(values) == 1 else values
        finite = finite and is_finite(tensor)
    return orjson.dumps(document) if finite else render_json(document)


def _parameters(rest: dict[str, Any]) -> dict[str, ParameterValue]:
    """Request parameters: the members of ``parameters`` and every other key."""
    named = rest.pop("parameters", None)
    if named is None:
        named = {}
    if not isinstance(named, dict):
        raise InvalidInput("'parameters' of the request must be an object")
    twice = sorted(named.keys() & rest.keys())
    if twice:
        raise InvalidInput(f"parameter {twice[0]!r} stands at the top and in 'parameters'")
    return {name: _parameter(name, value) for name, value in {**named, **rest}.items()}


def _parameter(name: str, value: Any) -> ParameterValue:
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, dict | list) and name in STRUCTURED_PARAMETERS:
        return orjson.dumps(STRUCTURED_PARAMETERS[name](name, value)).decode()
    raise InvalidInput(
        f"parameter {name[:80]!r} must be a string, number or boolean; it names no input"
    )


def _tensor(spec: TensorSpec, value: Any, *, batches: bool) -> Tensor:
    values = value if isinstance(value, list) else [value]
    row = spec.shape[1:] if batches else spec.shape
    sizes = _nesting(values)
    if len(sizes) < 2:
        shape = (1,) * batches + _row_shape(spec, row, len(values))
    elif len(sizes) == len(spec.shape):
        shape = sizes
    elif len(sizes) == len(row):
        values, shape = [values], (1, *sizes)
    else:
        raise _wrong_arity(spec, f"an array nested {len(sizes)} deep")
    return decode_json_tensor(values, spec.datatype, shape, spec.name)


def _row_shape(spec: TensorSpec, row: tuple[int, ...], count: int) -> tuple[int, ...]:
    """The shape of ``row`` that ``count`` elements fill; at most one axis grows with them."""
    known = math.prod(size for size in row if size >= 0)
    free = sum(size < 0 for size in row)
    fits = count == known or (free == 1 and known > 0 and count % known == 0)
    if not fits:
        raise _wrong_arity(spec, f"{count} elements")
    return tuple(count // known if size < 0 else size for size in row)


def _nesting(values: Any) -> tuple[int, ...]:
    """Lengths of the arrays on the way to the first element."""
    sizes = []
    while isinstance(values, list):
        sizes.append(len(values))
        values = values[0] if values else None
    return tuple(sizes)


def _wrong_arity(spec: TensorSpec, got: str) -> InvalidInput:
    return InvalidInput(
        f"The schema can not convert input '{spec.name}' to tensor with proper shape: "
        f"expected {list(spec.shape)}, got {got}"
    )
