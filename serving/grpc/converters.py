"""Messages of the Open Inference Protocol to and from ``serving.types``."""

from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any, Final

import numpy as np

from serving.errors import InvalidInput
from serving.pb.inference import open_inference_grpc_pb2 as pb
from serving.request_check import refuse_unserved
from serving.tensors import (
    byte_size_mismatch,
    bytes_array,
    decode_tensor,
    element_count,
    encode_tensor,
    shaped,
)
from serving.types import (
    DATATYPES,
    Array,
    Datatype,
    InferRequest,
    InferResponse,
    ModelMetadata,
    ParameterValue,
    Tensor,
    TensorSpec,
)

PROTOCOL: Final = "grpc"
"""The metrics label."""

_CONTENTS: Final[Mapping[Datatype, str]] = {
    Datatype.BOOL: "bool_contents",
    Datatype.INT8: "int_contents",
    Datatype.INT16: "int_contents",
    Datatype.INT32: "int_contents",
    Datatype.INT64: "int64_contents",
    Datatype.UINT8: "uint_contents",
    Datatype.UINT16: "uint_contents",
    Datatype.UINT32: "uint_contents",
    Datatype.UINT64: "uint64_contents",
    Datatype.FP32: "fp32_contents",
    Datatype.FP64: "fp64_contents",
    Datatype.BYTES: "bytes_contents",
}
"""The list of InferTensorContents that carries a datatype. FP16 and BF16 have none."""

_NARROWED: Final = frozenset((Datatype.INT8, Datatype.INT16, Datatype.UINT8, Datatype.UINT16))
"""Travel in 32-bit lists, so a value may not fit."""


def decode_infer(message: pb.ModelInferRequest) -> InferRequest:
    """Read a request. Raw contents are not copied: the arrays view the message's own bytes.

    Raises:
        InvalidInput: the message contradicts the protocol.
        NotSupported: it asks for an extension that is not served.
    """
    inputs: dict[str, Tensor] = {}
    raw = message.raw_input_contents
    for index, entry in enumerate(message.inputs):
        if entry.name in inputs:
            raise InvalidInput(f"input '{entry.name}' is given twice")
        if entry.parameters:
            refuse_unserved(entry.parameters, f"input '{entry.name}'")
        inputs[entry.name] = _decode_input(entry, raw, index, message.model_name)
    if len(raw) > len(message.inputs):
        raise InvalidInput(
            f"unexpected number of raw_input_contents for model '{message.model_name}': "
            f"expected {len(message.inputs)}, got {len(raw)}"
        )
    return InferRequest(
        model_name=message.model_name,
        model_version=message.model_version,
        inputs=inputs,
        outputs=_decode_outputs(message.outputs),
        id=message.id,
        parameters=_decode_parameters(message.parameters) if message.parameters else {},
        protocol=PROTOCOL,
    )


def _decode_input(
    entry: pb.ModelInferRequest.InferInputTensor,
    raw: Any,
    index: int,
    model: str,
) -> Tensor:
    name = entry.name
    datatype = DATATYPES.get(entry.datatype)
    if datatype is None:
        raise InvalidInput(
            f"invalid datatype for input {name}: '{entry.datatype}', "
            f"expected one of {', '.join(DATATYPES)}"
        )
    if raw:
        if entry.HasField("contents"):
            raise InvalidInput(
                "contents field must not be specified when using raw_input_contents "
                f"for '{name}' for model '{model}'"
            )
        if index < len(raw):
            return decode_tensor(raw[index], datatype, tuple(entry.shape), name, model)
    elif entry.HasField("contents"):
        return _decode_contents(entry, datatype, model)
    raise InvalidInput(f"unable to find data for input tensor '{name}' for model '{model}'")


def _decode_contents(
    entry: pb.ModelInferRequest.InferInputTensor, datatype: Datatype, model: str
) -> Tensor:
    """Read typed contents."""
    field = _CONTENTS.get(datatype)
    if field is None:
        raise InvalidInput(
            f"input '{entry.name}' has no typed contents for {datatype.wire}, "
            "use raw_input_contents"
        )
    values = getattr(entry.contents, field)
    shape = tuple(entry.shape)
    count = element_count(shape, entry.name)
    if len(values) != count:
        if datatype is Datatype.BYTES:
            raise InvalidInput(
                f"expected {count} string elements for inference input '{entry.name}', "
                f"got {len(values)} in {field}"
            )
        size = datatype.itemsize
        raise byte_size_mismatch(entry.name, model, count * size, len(values) * size)
    return Tensor(datatype, shaped(_as_array(values, datatype, entry.name), shape, entry.name))


def _as_array(values: Iterable[Any], datatype: Datatype, name: str) -> Array:
    if datatype is Datatype.BYTES:
        return bytes_array(list(values))
    if datatype not in _NARROWED:
        return np.fromiter(values, datatype.dtype)
    wide = np.fromiter(values, np.int64)
    limits = np.iinfo(datatype.dtype)
    if wide.size and (wide.min() < limits.min or wide.max() > limits.max):
        raise InvalidInput(
            f"value out of range in input '{name}': {datatype.wire} holds "
            f"{limits.min}..{limits.max}, got {wide.min()}..{wide.max()}"
        )
    return wide.astype(datatype.dtype)


def _decode_outputs(
    entries: Iterable[pb.ModelInferRequest.InferRequestedOutputTensor],
) -> tuple[str, ...]:
    names: dict[str, None] = {}
    for entry in entries:
        if entry.name in names:
            raise InvalidInput(f"output '{entry.name}' is requested twice")
        if entry.parameters:
            refuse_unserved(entry.parameters, f"output '{entry.name}'")
        names[entry.name] = None
    return tuple(names)


def _decode_parameters(
    parameters: MutableMapping[str, pb.InferParameter],
) -> dict[str, ParameterValue]:
    decoded: dict[str, ParameterValue] = {}
    for key, value in parameters.items():
        kind = value.WhichOneof("parameter_choice")
        if kind is None:
            raise InvalidInput(f"parameter '{key}' has no value")
        decoded[key] = getattr(value, kind)
    return decoded


def encode_infer(
    response: InferResponse, into: pb.ModelInferResponse | None = None
) -> pb.ModelInferResponse:
    """Write an answer, into an empty message of the caller's or a new one.

    Values are always raw: ``tritonclient`` cannot read typed ones.
    """
    message = pb.ModelInferResponse() if into is None else into
    message.model_name = response.model_name
    message.model_version = response.model_version
    message.id = response.id
    for name, tensor in response.outputs.items():
        message.outputs.add(name=name, datatype=tensor.datatype.wire, shape=tensor.data.shape)
        message.raw_output_contents.append(encode_tensor(tensor))
    return message


def encode_model_metadata(metadata: ModelMetadata) -> pb.ModelMetadataResponse:
    """Write a model's metadata, without the properties (field 6), on which servers disagree."""
    return pb.ModelMetadataResponse(
        name=metadata.name,
        versions=metadata.versions,
        platform=metadata.platform,
        inputs=[_encode_spec(spec) for spec in metadata.inputs],
        outputs=[_encode_spec(spec) for spec in metadata.outputs],
    )


def _encode_spec(spec: TensorSpec) -> pb.ModelMetadataResponse.TensorMetadata:
    return pb.ModelMetadataResponse.TensorMetadata(
        name=spec.name, datatype=spec.datatype.wire, shape=spec.shape
    )
