"""Requests, answers and tensors as the server's inside sees them, whatever the wire.

Shapes are full shapes with the batch axis; -1 marks an axis that the client may choose. Durations
are seconds on ``time.monotonic()``'s clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
ParameterValue = bool | int | float | str

DEFAULT_TOP_K = 5
"""Classes of a classification answer, unless the client says otherwise."""
MAX_IMAGES = 64
"""Pictures of one classification request."""


class Datatype(Enum):
    """Tensor element types of the Open Inference Protocol.

    BYTES arrays hold ``bytes`` objects (dtype object). BF16 arrays hold the upper 16 bits of the
    float32 as uint16, since NumPy has no such type.
    """

    BOOL = ("BOOL", np.dtype(np.bool_), "tensor(bool)")
    UINT8 = ("UINT8", np.dtype(np.uint8), "tensor(uint8)")
    UINT16 = ("UINT16", np.dtype("<u2"), "tensor(uint16)")
    UINT32 = ("UINT32", np.dtype("<u4"), "tensor(uint32)")
    UINT64 = ("UINT64", np.dtype("<u8"), "tensor(uint64)")
    INT8 = ("INT8", np.dtype(np.int8), "tensor(int8)")
    INT16 = ("INT16", np.dtype("<i2"), "tensor(int16)")
    INT32 = ("INT32", np.dtype("<i4"), "tensor(int32)")
    INT64 = ("INT64", np.dtype("<i8"), "tensor(int64)")
    FP16 = ("FP16", np.dtype("<f2"), "tensor(float16)")
    BF16 = ("BF16", np.dtype("<u2"), "tensor(bfloat16)")
    FP32 = ("FP32", np.dtype("<f4"), "tensor(float)")
    FP64 = ("FP64", np.dtype("<f8"), "tensor(double)")
    BYTES = ("BYTES", np.dtype(np.object_), "tensor(string)")

    def __init__(self, wire: str, dtype: np.dtype[Any], onnx: str) -> None:
        self.wire = wire
        """Name on the wire, for instance ``FP32``."""
        self.dtype = dtype
        """NumPy dtype of the arrays, little-endian."""
        self.onnx = onnx
        """ONNX Runtime's name, for instance ``tensor(float)``."""

    @property
    def itemsize(self) -> int:
        """Bytes of one element; 0 for BYTES, whose elements vary."""
        return 0 if self is Datatype.BYTES else self.dtype.itemsize


DATATYPES: Mapping[str, Datatype] = {member.wire: member for member in Datatype}
"""Wire name -> datatype."""
ONNX_DATATYPES: Mapping[str, Datatype] = {member.onnx: member for member in Datatype}
"""ONNX Runtime's type name -> datatype."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output as the model declares it."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    """Full shape with the batch axis; -1 where the size is free."""
    optional: bool = False
    """An input that a request may leave out."""
    first_axis: str = field(default="", compare=False)
    """What the graph calls the first axis if its size is free; empty if it has no name."""


@dataclass(slots=True)
class Tensor:
    """One input or output of one request: its datatype and its values, C-contiguous."""

    datatype: Datatype
    data: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the values."""
        return self.data.shape


@dataclass(slots=True)
class Timings:
    """What became of a request's time, seconds. Filled by the scheduler."""

    queue_s: float = 0.0
    """From submission until its batch was formed."""
    compute_input_s: float = 0.0
    """Joining the rows of the batch."""
    compute_infer_s: float = 0.0
    """Inside the engine."""
    compute_output_s: float = 0.0
    """Splitting the outputs."""
    batch_rows: int = 0
    """Rows of the batch that the request travelled in."""


@dataclass(slots=True, kw_only=True)
class InferRequest:
    """One inference request, decoded but not yet checked against the model."""

    model_name: str
    model_version: str = ""
    """Decimal text, or empty for the default version."""
    inputs: Mapping[str, Tensor]
    """Input name -> values."""
    outputs: tuple[str, ...] = ()
    """Names wanted, in the order of the answer; empty for all in the model's order."""
    id: str = ""
    """The client's own id, echoed in the answer; empty if none."""
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict)
    """Request parameters the transports did not consume themselves."""
    client: str = ""
    """Whose request it is: waiting texts of different clients take turns."""
    deadline: float | None = None
    """``time.monotonic()`` time after which nobody waits for the answer."""
    protocol: str = "http"
    """``http`` or ``grpc``: a metrics label."""
    request_id: str = ""
    """The server's id of this call, in logs, errors and headers."""


@dataclass(slots=True, kw_only=True)
class InferResponse:
    """The answer to an InferRequest."""

    model_name: str
    model_version: str
    """The version that really ran."""
    outputs: Mapping[str, Tensor]
    """Output name -> values, in the order to be written."""
    id: str = ""
    final: bool = True
    """Whether it is the last one to its request; only models that write text give several."""
    timings: Timings = field(default_factory=Timings)


@dataclass(frozen=True, slots=True)
class Prediction:
    """One class of a classification answer."""

    label: str
    index: int
    probability: float


@dataclass(slots=True, kw_only=True)
class ClassifyRequest:
    """Pictures to be classified, still encoded (PNG, JPEG, WebP, GIF or BMP)."""

    model_name: str
    model_version: str = ""
    images: tuple[bytes, ...]
    """Encoded pictures, at least one."""
    top_k: int = DEFAULT_TOP_K
    """Classes wanted for each picture, >= 1; more than the model has means all."""
    deadline: float | None = None
    protocol: str = "http"
    request_id: str = ""


@dataclass(slots=True, kw_only=True)
class ClassifyResponse:
    """Predictions of each picture, best first, pictures in the order given."""

    model_name: str
    model_version: str
    results: tuple[tuple[Prediction, ...], ...]
    timings: Timings = field(default_factory=Timings)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerMetadata:
    """Answer of ``GET /v2`` and ``ServerMetadata``."""

    name: str
    version: str
    extensions: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelMetadata:
    """Answer of ``GET /v2/models/{m}`` and ``ModelMetadata``."""

    name: str
    versions: tuple[str, ...]
    """Ready versions, ascending; the one asked for if the request named one."""
    platform: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    properties: Mapping[str, str]
    """For instance the execution provider. REST only: in gRPC, field 6 means other things to
    other clients."""
