"""A small service that computes, and the real server around it."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton

from serving.errors import InvalidInput, ModelNotFound, ModelNotReady, ServingError
from serving.grpc.server import GrpcServer
from serving.pb.inference import open_inference_grpc_pb2 as pb
from serving.pb.inference.model_config_pb2 import ModelConfig
from serving.settings import GrpcSettings
from serving.types import (
    ClassifyRequest,
    ClassifyResponse,
    Datatype,
    InferRequest,
    InferResponse,
    ModelMetadata,
    Prediction,
    ServerMetadata,
    Tensor,
    TensorSpec,
)

TIMEOUT_S = 10.0


class FakeService:
    """Model ``echo`` returns its inputs, ``double`` doubles them; ``wait`` answers when told."""

    def __init__(self) -> None:
        self.is_ready = True
        self.error: Exception | None = None
        self.infer_requests: list[InferRequest] = []
        self.classify_requests: list[ClassifyRequest] = []
        self.refused: list[tuple[str, str]] = []
        self.entered = threading.Event()
        self.cancelled = threading.Event()
        self.go_on = threading.Event()

    def live(self) -> bool:
        return True

    def ready(self) -> bool:
        return self.is_ready

    def model_ready(self, name: str, version: str = "") -> bool:
        if version and not version.isdecimal():
            raise InvalidInput(f"version must be an integer, got '{version}'")
        if name == "loading":
            raise ModelNotReady("model 'loading' is loading")
        if name not in ("echo", "double", "wait"):
            raise ModelNotFound(f"Request for unknown model: '{name}' is not found")
        return self.is_ready

    def server_metadata(self) -> ServerMetadata:
        return ServerMetadata(name="quartet", version="1.2", extensions=("binary_tensor_data",))

    def model_metadata(self, name: str, version: str = "") -> ModelMetadata:
        self.model_ready(name, version)
        spec = TensorSpec("x", Datatype.FP32, (-1, 2))
        return ModelMetadata(
            name=name,
            versions=(version or "1",),
            platform="onnxruntime_onnx",
            inputs=(spec,),
            outputs=(spec,),
            properties={"provider": "CPUExecutionProvider"},
        )

    def model_config(self, name: str, version: str = "") -> ModelConfig:
        self.model_ready(name, version)
        config = ModelConfig(name=name, max_batch_size=8)
        config.dynamic_batching.preferred_batch_size.append(4)
        return config

    def model_statistics(self, name: str = "", version: str = "") -> list[dict[str, Any]]:
        if name:
            self.model_ready(name, version)
        duration = {"count": 1, "ns": 9}
        return [
            {
                "name": model,
                "version": "1",
                "inference_count": 3,
                "inference_stats": {"queue": duration},
                "batch_stats": [{"batch_size": 3, "compute_infer": duration}],
                "response_stats": {},
                "memory_usage": [],
            }
            for model in ([name] if name else ["echo", "double"])
        ]

    def count_refused(self, protocol: str, error: ServingError) -> None:
        self.refused.append((protocol, error.outcome))

    async def infer(self, request: InferRequest) -> InferResponse:
        self.infer_requests.append(request)
        if self.error is not None:
            raise self.error
        self.model_ready(request.model_name, request.model_version)
        if request.model_name == "wait":
            await self._wait()
        factor = 2 if request.model_name == "double" else 1
        wanted = request.outputs or tuple(request.inputs)
        outputs = {
            name: Tensor(request.inputs[name].datatype, request.inputs[name].data * factor)
            if factor != 1
            else request.inputs[name]
            for name in wanted
        }
        return InferResponse(
            model_name=request.model_name,
            model_version=request.model_version or "1",
            outputs=outputs,
            id=request.id,
        )

    async def classify(self, request: ClassifyRequest) -> ClassifyResponse:
        self.classify_requests.append(request)
        if self.error is not None:
            raise self.error
        return ClassifyResponse(
            model_name=request.model_name,
            model_version="1",
            results=tuple(
                tuple(
                    Prediction(f"{len(image)}-{rank}", rank, 0.5**rank)
                    for rank in range(request.top_k)
                )
                for image in request.images
            ),
        )

    async def _wait(self) -> None:
        self.entered.set()
        try:
            await asyncio.to_thread(self.go_on.wait, TIMEOUT_S)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


class RunningServer:
    """A GrpcServer on an event loop in a thread of its own."""

    def __init__(self, service: FakeService, settings: GrpcSettings) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._server = GrpcServer(service, settings)
        self.address = f"127.0.0.1:{self.call(self._server.start('127.0.0.1', 0))}"

    def call(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(TIMEOUT_S)

    def stop(self, grace_s: float = 0.0) -> None:
        self.call(self._server.stop(grace_s))

    def close(self) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture
def service() -> Iterator[FakeService]:
    fake = FakeService()
    yield fake
    fake.go_on.set()


@pytest.fixture
def serve(service: FakeService) -> Callable[[GrpcSettings], AbstractContextManager[RunningServer]]:
    @contextmanager
    def run(settings: GrpcSettings) -> Iterator[RunningServer]:
        server = RunningServer(service, settings)
        try:
            yield server
        finally:
            service.go_on.set()
            server.close()

    return run


@pytest.fixture
def server(serve: Callable[..., AbstractContextManager[Any]]) -> Iterator[RunningServer]:
    with serve(GrpcSettings()) as running:
        yield running


@pytest.fixture
def client(server: RunningServer) -> Iterator[Any]:
    with triton.InferenceServerClient(server.address) as stock:
        yield stock


@pytest.fixture
def channel(server: RunningServer) -> Iterator[Any]:
    with grpc.insecure_channel(server.address) as opened:
        yield opened


@pytest.fixture
def infer(channel: Any) -> Any:
    """ModelInfer as bytes in, bytes out."""
    return channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")


@pytest.fixture
def message() -> Callable[[str], bytes]:
    """An infer request of [[1.5, -2.0]] for the model named."""

    def build(model: str) -> bytes:
        data = np.array([1.5, -2.0], "<f4").tobytes()
        request = pb.ModelInferRequest(model_name=model, raw_input_contents=[data])
        request.inputs.add(name="x", datatype="FP32", shape=[1, 2])
        return request.SerializeToString()

    return build
