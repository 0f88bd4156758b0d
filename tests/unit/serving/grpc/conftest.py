"""A small service that computes, and the real server around it."""

import asyncio
import itertools
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton

from serving.caption_types import CaptionRequest, VideoRequest, VideoResponse
from serving.errors import (
    InferenceFailed,
    InvalidInput,
    ModelNotFound,
    ModelNotReady,
    ServingError,
)
from serving.generation_types import (
    FinishReason,
    GeneratedText,
    GenerateRequest,
    Piece,
    Receipt,
    Replacement,
    Symbol,
    Usage,
)
from serving.grpc.server import GrpcServer
from serving.image_types import CritiqueRequest, CritiqueResponse, ImageRequest
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
from tests.fake_captions import FakeCaptionAnswer, FakeCaptions
from tests.fake_images import FakeEncoding, FakeImageAnswer, FakeImages
from tests.patience import TIMEOUT_S


class FakeText:
    """Writes one piece for each character of the prompt; each waits for the loop once."""

    def __init__(self, service: "FakeService", request: GenerateRequest) -> None:
        self.model_name = request.model_name
        self.model_version = "3"
        self.receipt = Receipt(
            seed=request.seed or 7,
            model=request.model_name,
            version="3",
            sha256="ab",
            provider="CPUExecutionProvider",
            precision="float32",
        )
        self.prompt = request.prompt
        self.replaced: tuple[Replacement, ...] = (Replacement("\u201c", '"', 2),)
        self.usage = Usage(prompt_tokens=len(request.prompt), completion_tokens=0)
        self._service = service
        self._prompt = request.prompt

    async def __aiter__(self) -> AsyncIterator[Piece]:
        for place, character in enumerate(self._prompt):
            if character == "!":
                raise InferenceFailed("the engine failed")
            await asyncio.sleep(0)
            self._service.pieces += 1
            self.usage = replace(self.usage, completion_tokens=place + 1)
            last = place == len(self._prompt) - 1
            symbols = (Symbol(character, -0.5, {"a": -0.25, "b": -2.0}),) if place else ()
            yield Piece(
                index=0,
                text=character,
                symbols=symbols,
                finish_reason=FinishReason.LENGTH if last else None,
            )

    async def aclose(self) -> None:
        self._service.cancelled.set()


class WatchedCaptions(FakeCaptionAnswer):
    """Tells when it is closed."""

    def __init__(self, request: CaptionRequest, service: "FakeService") -> None:
        super().__init__(request, service.captions)
        self._closed = service.cancelled

    async def aclose(self) -> None:
        await super().aclose()
        self._closed.set()


class WatchedImages(FakeImageAnswer):
    """Tells when it is closed."""

    def __init__(self, request: ImageRequest, service: "FakeService") -> None:
        super().__init__(request, service.images)
        self._closed = service.cancelled

    async def aclose(self) -> None:
        await super().aclose()
        self._closed.set()


class FakeService:
    """Model ``echo`` returns its inputs, ``double`` doubles them; ``wait`` answers when told.

    ``count`` is decoupled: x times, it answers with how many answers there were before, and one
    that does not tell that it is the last; ``endless`` never ends.
    """

    def __init__(self) -> None:
        self.is_ready = True
        self.error: Exception | None = None
        self.infer_requests: list[InferRequest] = []
        self.classify_requests: list[ClassifyRequest] = []
        self.generate_requests: list[GenerateRequest] = []
        self.captions = FakeCaptions()
        self.images = FakeImages()
        self.picture_encoding = FakeEncoding()
        self.pieces = 0
        """Made so far, by all answers of several pieces."""
        self.in_work = 0
        self.most_in_work = 0
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
        if name not in ("echo", "double", "wait", "fails"):
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
        if request.model_name == "fails":
            raise InferenceFailed("the engine failed")
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

    def is_decoupled(self, name: str, version: str = "") -> bool:
        if name == "absent":
            raise ModelNotFound("Request for unknown model: 'absent' is not found")
        return name in ("count", "endless")

    async def stream_infer(self, request: InferRequest) -> AsyncGenerator[InferResponse, None]:
        self.in_work += 1
        self.most_in_work = max(self.most_in_work, self.in_work)
        try:
            if not self.is_decoupled(request.model_name):
                yield await self.infer(request)
                return
            self.infer_requests.append(request)
            x = request.inputs["x"]
            for number in itertools.count():
                if number == x.data.flat[0] and request.model_name == "count":
                    return
                await asyncio.sleep(0)
                self.pieces += 1
                yield InferResponse(
                    model_name=request.model_name,
                    model_version="1",
                    outputs={"x": Tensor(x.datatype, np.full_like(x.data, number))},
                    id=request.id,
                    final=False,
                )
        finally:
            self.in_work -= 1
            if self.is_decoupled(request.model_name):
                self.cancelled.set()

    async def generate(self, request: GenerateRequest) -> GeneratedText:
        self.generate_requests.append(request)
        if self.error is not None:
            raise self.error
        return FakeText(self, request)

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

    async def caption(self, request: CaptionRequest) -> FakeCaptionAnswer:
        if self.error is not None:
            raise self.error
        answer = WatchedCaptions(request, self)
        self.captions.answers.append(answer)
        self.entered.set()
        return answer

    async def caption_video(self, request: VideoRequest) -> VideoResponse:
        if self.error is not None:
            raise self.error
        return await self.captions.caption_video(request)

    async def generate_images(self, request: ImageRequest) -> FakeImageAnswer:
        if self.error is not None:
            raise self.error
        answer = WatchedImages(request, self)
        self.images.answers.append(answer)
        return answer

    async def critique(self, request: CritiqueRequest) -> CritiqueResponse:
        if self.error is not None:
            raise self.error
        return await self.images.critique(request)

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

    def start_draining(self) -> None:
        self._loop.call_soon_threadsafe(self._server.start_draining)

    def finish(self, timeout_s: float) -> None:
        self.call(self._server.finish(timeout_s))

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
