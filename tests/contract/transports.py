"""One interface to the stock clients, so that one test body checks every transport."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import grpc
import ml_dtypes
import numpy as np
import numpy.typing as npt
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
import tritonclient.http.aio
from tritonclient.utils import InferenceServerException

from tests.e2e.process import ServerProcess
from tests.patience import TIMEOUT_S

Array = npt.NDArray[Any]

GRPC_CODES = {
    "400": "INVALID_ARGUMENT",
    "404": "NOT_FOUND",
    "413": "RESOURCE_EXHAUSTED",
    "415": "UNIMPLEMENTED",
    "429": "RESOURCE_EXHAUSTED",
    "500": "INTERNAL",
    "501": "UNIMPLEMENTED",
    "503": "UNAVAILABLE",
    "504": "DEADLINE_EXCEEDED",
}
"""HTTP status -> the name of the gRPC code of the same error."""


class Refused(Exception):
    """The server's refusal, in gRPC's words whatever the transport."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text


@dataclass(kw_only=True)
class Request:
    """What to infer."""

    model: str
    inputs: Mapping[str, tuple[str, Array]]
    """Name -> wire datatype and values; BF16 as ml_dtypes.bfloat16, BYTES as objects."""
    outputs: Sequence[str] = ()
    version: str = ""
    id: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(kw_only=True)
class Result:
    """What came back."""

    model: str
    version: str
    id: str
    outputs: dict[str, tuple[str, Array]]


class Transport(Protocol):
    """A client of the running server."""

    def call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call one of the client's methods; gRPC answers as the JSON that HTTP gives."""
        ...

    def infer(self, request: Request) -> Result:
        """Infer. Raises Refused."""
        ...

    def close(self) -> None:
        """Hang up."""
        ...


class Triton:
    """One of tritonclient's four clients."""

    def __init__(self, client: Any, module: Any, run: Callable[[Any], Any] | None = None) -> None:
        """Wrap ``client`` of ``module``; ``run`` awaits what an asyncio client returns."""
        self._client = client
        self._module = module
        self._run = run or (lambda value: value)
        self._json = {"as_json": True} if "grpc" in module.__name__ else {}

    def call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """See Transport."""
        if method.startswith("get_"):
            kwargs |= self._json
        try:
            return self._run(getattr(self._client, method)(*args, **kwargs))
        except InferenceServerException as error:
            raise _refused(error) from error

    def infer(self, request: Request) -> Result:
        """See Transport."""
        wanted = [self._requested(name) for name in request.outputs] or None
        answer = self.call(
            "infer",
            request.model,
            [self._input(name, *value) for name, value in request.inputs.items()],
            model_version=request.version,
            outputs=wanted,
            request_id=request.id,
            parameters=dict(request.parameters) or None,
        )
        head = answer.get_response(**self._json)
        names = [output["name"] for output in head["outputs"]]
        types = {output["name"]: output["datatype"] for output in head["outputs"]}
        return Result(
            model=head["model_name"],
            version=head["model_version"],
            id=head.get("id", ""),
            outputs={name: (types[name], answer.as_numpy(name)) for name in names},
        )

    def close(self) -> None:
        """See Transport."""
        self._run(self._client.close())

    def _requested(self, name: str) -> Any:
        return self._module.InferRequestedOutput(name)

    def _input(self, name: str, datatype: str, values: Array) -> Any:
        tensor = self._module.InferInput(name, list(values.shape), datatype)
        tensor.set_data_from_numpy(values)
        return tensor


class TritonJson(Triton):
    """tritonclient over HTTP with every tensor in JSON, in and out."""

    def infer(self, request: Request) -> Result:
        """See Transport; all outputs must be named to be asked for as JSON."""
        if not request.outputs:
            metadata = self.call("get_model_metadata", request.model, request.version)
            request.outputs = [output["name"] for output in metadata["outputs"]]
        return super().infer(request)

    def _requested(self, name: str) -> Any:
        return self._module.InferRequestedOutput(name, binary_data=False)

    def _input(self, name: str, datatype: str, values: Array) -> Any:
        tensor = self._module.InferInput(name, list(values.shape), datatype)
        tensor.set_data_from_numpy(values, binary_data=False)
        return tensor


class TypedGrpc(Triton):
    """gRPC with typed contents, which tritonclient never sends, through its generated stubs."""

    CONTENTS = (
        ("bool_contents", ("BOOL",)),
        ("int_contents", ("INT8", "INT16", "INT32")),
        ("int64_contents", ("INT64",)),
        ("uint_contents", ("UINT8", "UINT16", "UINT32")),
        ("uint64_contents", ("UINT64",)),
        ("fp32_contents", ("FP32",)),
        ("fp64_contents", ("FP64",)),
        ("bytes_contents", ("BYTES",)),
    )

    def __init__(self, address: str) -> None:
        """Connect to ``address``."""
        module = tritonclient.grpc
        super().__init__(module.InferenceServerClient(address), module)
        self._channel = grpc.insecure_channel(address)
        self._stub = module.service_pb2_grpc.GRPCInferenceServiceStub(self._channel)

    def infer(self, request: Request) -> Result:
        """See Transport."""
        message = tritonclient.grpc.service_pb2.ModelInferRequest(
            model_name=request.model, model_version=request.version, id=request.id
        )
        for name, (datatype, values) in request.inputs.items():
            entry = message.inputs.add(name=name, datatype=datatype, shape=values.shape)
            field_name = next(f for f, types in self.CONTENTS if datatype in types)
            getattr(entry.contents, field_name).extend(values.ravel().tolist())
        for name in request.outputs:
            message.outputs.add(name=name)
        for name, value in request.parameters.items():
            kind = {bool: "bool_param", int: "int64_param", str: "string_param"}[type(value)]
            setattr(message.parameters[name], kind, value)
        try:
            answer = self._stub.ModelInfer(message, timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            raise Refused(error.code().name, error.details() or "") from error
        assert not any(output.HasField("contents") for output in answer.outputs)
        read = tritonclient.grpc.InferResult(answer)
        return Result(
            model=answer.model_name,
            version=answer.model_version,
            id=answer.id,
            outputs={o.name: (o.datatype, read.as_numpy(o.name)) for o in answer.outputs},
        )

    def close(self) -> None:
        """See Transport."""
        self._channel.close()
        super().close()


class AsyncTriton(Triton):
    """tritonclient's asyncio clients, on a loop of their own."""

    def __init__(self, module: Any, address: str) -> None:
        """Connect to ``address``; such clients must be made where their loop runs."""
        self._runner = asyncio.Runner()

        async def connect() -> Any:
            return module.InferenceServerClient(address)

        async def wait(value: Any) -> Any:
            return await value

        client = self._runner.run(connect())
        super().__init__(client, module, lambda value: self._runner.run(wait(value)))

    def close(self) -> None:
        """See Transport."""
        super().close()
        self._runner.close()


TRANSPORTS: dict[str, Callable[[ServerProcess], Transport]] = {
    "http": lambda s: Triton(
        tritonclient.http.InferenceServerClient(s.http_address), tritonclient.http
    ),
    "http-json": lambda s: TritonJson(
        tritonclient.http.InferenceServerClient(s.http_address), tritonclient.http
    ),
    "http-aio": lambda s: AsyncTriton(tritonclient.http.aio, s.http_address),
    "grpc": lambda s: Triton(
        tritonclient.grpc.InferenceServerClient(s.grpc_address), tritonclient.grpc
    ),
    "grpc-typed": lambda s: TypedGrpc(s.grpc_address),
    "grpc-aio": lambda s: AsyncTriton(tritonclient.grpc.aio, s.grpc_address),
}
RAW_TRANSPORTS = tuple(name for name in TRANSPORTS if name not in ("http-json", "grpc-typed"))
"""Those that carry FP16 and BF16, which have neither a JSON nor a typed form."""


def samples(datatype: str) -> Array:
    """Two rows of three values that show lost bytes, signs and ranges."""
    if datatype == "BOOL":
        return np.array([[True, False, True], [False, False, True]])
    if datatype == "BYTES":
        return np.array([[b"", b"a\0b", "é".encode()], [b"x" * 70_000, b"\n", b"7"]], np.object_)
    if datatype == "BF16":
        return np.array([[0.5, -2, 3], [1.5, 0, -0.25]], ml_dtypes.bfloat16)
    if datatype.startswith("FP"):
        floating = np.dtype(f"float{datatype[2:]}")
        limits = np.finfo(floating)
        return np.array([[0.1, -2.5, limits.max], [limits.tiny, limits.min, 7]], floating)
    integer = np.dtype(datatype.lower())
    low, high = np.iinfo(integer).min, np.iinfo(integer).max
    return np.array([[low, high, 0], [1, 2, high - 1]], integer)


def _refused(error: InferenceServerException) -> Refused:
    status = str(error.status()).removeprefix("StatusCode.")
    return Refused(GRPC_CODES.get(status, status), error.message())
