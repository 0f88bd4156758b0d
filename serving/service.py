"""The application without a wire: what the server can do, for REST and gRPC alike."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from quartet import __version__
from serving.classification import classify_images
from serving.errors import Cancelled, QueueFull, ServingError, ShuttingDown, internal_error
from serving.images import ImageLimits
from serving.loaded_model import LoadedModel
from serving.metrics import Metrics
from serving.pb.inference import model_config_pb2 as pb
from serving.pbtxt import PLATFORM
from serving.repository import ModelRepository
from serving.statistics import model_statistics
from serving.types import (
    Array,
    ClassifyRequest,
    ClassifyResponse,
    Datatype,
    InferRequest,
    InferResponse,
    ModelMetadata,
    ServerMetadata,
    Tensor,
    Timings,
)

EXTENSIONS = ("model_configuration", "binary_tensor_data", "parameters", "statistics")
"""Protocol extensions that are switched on, under Triton's names; clients decide by them."""

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Outcome:
    """What a call tells its bookkeeping."""

    model: LoadedModel | None = None
    timings: Timings | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceParts:
    """What an InferenceService is made of."""

    repository: ModelRepository
    metrics: Metrics
    image_limits: ImageLimits
    image_pool: Executor
    """Threads that decode pictures."""
    max_images: int = 1024
    """Pictures that may be worked on at once, those that wait to be decoded included."""
    required_models: Sequence[str] = ()
    log_requests: bool = False
    """One log line a request."""
    clock: Callable[[], float] = field(default=time.monotonic)


class InferenceService:
    """Models, readiness and inference. One event loop; nothing here knows a protocol."""

    def __init__(self, parts: ServiceParts) -> None:
        """Wire the parts together; nothing is loaded yet."""
        self._repository = parts.repository
        self._metrics = parts.metrics
        self._image_limits = parts.image_limits
        self._image_pool = parts.image_pool
        self._required = tuple(parts.required_models)
        self._log_requests = parts.log_requests
        self._clock = parts.clock
        self._max_images = parts.max_images
        self._images = 0
        """Pictures between their request and its answer."""
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._draining = False
        self._closed = False
        parts.metrics.ready.set_function(lambda: float(self.ready()))

    def live(self) -> bool:
        """Whether the process works at all; true until it exits."""
        return True

    def ready(self) -> bool:
        """Whether requests should be sent here.

        False while models load, while draining, while a required model is not ready, and if no
        model at all could be loaded from a repository that has some.
        """
        if self._draining or not self._repository.loaded:
            return False
        models = self._repository.models
        if not all(name in models and models[name].ready_versions() for name in self._required):
            return False
        return not models or any(entry.ready_versions() for entry in models.values())

    def why_not_ready(self) -> str:
        """The reason in words; empty if ready."""
        if self._draining:
            return "the server is shutting down"
        if not self._repository.loaded:
            return "models are loading"
        if self.ready():
            return ""
        models = self._repository.models
        missing = [n for n in self._required if n not in models or not models[n].ready_versions()]
        return (
            f"required models are not ready: {missing}" if missing else "no model could be loaded"
        )

    def model_ready(self, name: str, version: str = "") -> bool:
        """Whether the model (its version, or any) serves. Raises ModelNotFound, ModelNotReady."""
        self._repository.get(name, version)
        return not self._draining

    def server_metadata(self) -> ServerMetadata:
        """Name, version and extensions."""
        return ServerMetadata(name="quartet", version=__version__, extensions=EXTENSIONS)

    def model_metadata(self, name: str, version: str = "") -> ModelMetadata:
        """What the model takes and gives. Raises as ``ModelRepository.get``."""
        model = self._repository.get(name, version)
        versions = [model.version] if version else self._repository.models[name].ready_versions()
        return ModelMetadata(
            name=name,
            versions=tuple(str(v) for v in versions),
            platform=PLATFORM,
            inputs=model.config.inputs,
            outputs=model.config.outputs,
            properties=model.properties,
        )

    def model_config(self, name: str, version: str = "") -> pb.ModelConfig:
        """The effective configuration. Raises as ``ModelRepository.get``."""
        return self._repository.get(name, version).message

    def model_statistics(self, name: str = "", version: str = "") -> list[dict[str, Any]]:
        """Counts of every ready version that is meant: of all models if ``name`` is empty.

        The elements have the keys of the message ``ModelStatistics``. Raises as
        ``ModelRepository.get``.
        """
        models = self._repository.ready_models()
        if name:
            self._repository.get(name, version)
            models = [m for m in models if m.name == name and version in ("", str(m.version))]
        return [model_statistics(m.name, str(m.version), m.metrics.totals) for m in models]

    async def infer(self, request: InferRequest) -> InferResponse:
        """Run tensors through a model.

        Raises:
            ServingError: a subclass that says whose fault it was; see ``serving.errors``.
        """
        with self._counted(request) as outcome:
            model = outcome.model = self._repository.get(request.model_name, request.model_version)
            checker, scheduler = model.tensors()
            finished = await scheduler.submit(checker.check(request))
            outcome.timings = finished.timings
        return InferResponse(
            model_name=model.name,
            model_version=str(model.version),
            outputs=_wire_outputs(model, finished.outputs),
            id=request.id,
            timings=finished.timings,
        )

    async def classify(self, request: ClassifyRequest) -> ClassifyResponse:
        """Run encoded pictures through a classifier and name the best classes of each.

        Raises:
            NotSupported: the model does not declare how a picture becomes its input.
            ServingError: as ``infer``; a bad picture is InvalidInput or PayloadTooLarge.
        """
        with self._counted(request) as outcome:
            model = outcome.model = self._repository.get(request.model_name, request.model_version)
            with self._room_for(len(request.images)):
                results, timings = await classify_images(
                    model, request, self._image_limits, self._image_pool
                )
            outcome.timings = timings
        return ClassifyResponse(
            model_name=model.name,
            model_version=str(model.version),
            results=results,
            timings=timings,
        )

    def start_draining(self) -> None:
        """Stop being ready; requests are still served."""
        self._draining = True

    def refuse_new(self) -> None:
        """Serve what is in flight and nothing more."""
        self._draining = True
        self._closed = True

    async def drained(self) -> None:
        """Wait until no request is in flight."""
        await self._idle.wait()

    def close(self) -> None:
        """Fail what still waits, and end what still runs."""
        self._repository.close()

    @contextmanager
    def _room_for(self, images: int) -> Iterator[None]:
        """Hold a place for each picture, which are kept encoded until a thread decodes them.

        Raises:
            QueueFull: too many are being worked on. An idle server takes any request.
        """
        if self._images and self._images + images > self._max_images:
            raise QueueFull(
                f"Exceeds maximum queue size: {self._images} pictures are being worked on, "
                f"{self._max_images} may",
                retry_after_s=1.0,
            )
        self._images += images
        try:
            yield
        finally:
            self._images -= images

    def count_refused(self, protocol: str, error: ServingError) -> None:
        """Count a request that failed in the transport, before any model could be charged."""
        if not error.counted:
            error.counted = True
            self._metrics.unrouted(protocol, error.outcome)

    @contextmanager
    def _counted(self, request: InferRequest | ClassifyRequest) -> Iterator[_Outcome]:
        """Count one request, whatever becomes of it."""
        if self._closed:
            raise ShuttingDown("the server is shutting down and has stopped accepting new requests")
        outcome = _Outcome()
        result = ServingError.outcome
        started = self._clock()
        self._in_flight += 1
        self._idle.clear()
        try:
            yield outcome
            result = "ok"
        except ServingError as error:
            result = error.outcome
            error.counted = True
            raise
        except asyncio.CancelledError:
            result = Cancelled.outcome
            raise
        except Exception as error:
            # Made a ServingError here so that the transport does not count it a second time.
            crash = internal_error(request.request_id)
            crash.counted = True
            raise crash from error
        finally:
            self._in_flight -= 1
            if self._in_flight == 0:
                self._idle.set()
            self._record(request, outcome, result, self._clock() - started)

    def _record(
        self,
        request: InferRequest | ClassifyRequest,
        outcome: _Outcome,
        result: str,
        duration_s: float,
    ) -> None:
        model, timings = outcome.model, outcome.timings
        if model is None:
            self._metrics.unrouted(request.protocol, result)
        else:
            model.metrics.request_finished(request.protocol, result, duration_s, timings)
        if self._log_requests:
            logger.info(
                "request",
                extra={
                    "request_id": request.request_id,
                    "protocol": request.protocol,
                    "model": request.model_name,
                    "version": model.version if model else None,
                    "outcome": result,
                    "duration_ms": round(duration_s * 1e3, 3),
                    "queue_ms": round(timings.queue_s * 1e3, 3) if timings else None,
                    "execution_ms": round(timings.compute_infer_s * 1e3, 3) if timings else None,
                    "batch_rows": timings.batch_rows if timings else None,
                },
            )


def _wire_outputs(model: LoadedModel, outputs: Mapping[str, Array]) -> dict[str, Tensor]:
    """The engine's arrays as tensors of the declared types; text becomes UTF-8 bytes."""
    datatypes = {spec.name: spec.datatype for spec in model.config.outputs}
    return {name: _wire_tensor(datatypes[name], array) for name, array in outputs.items()}


def _wire_tensor(datatype: Datatype, array: Array) -> Tensor:
    if datatype is not Datatype.BYTES:
        return Tensor(datatype, array)
    encoded = np.empty(array.size, np.object_)
    encoded[:] = [str(element).encode() for element in array.ravel()]
    return Tensor(datatype, encoded.reshape(array.shape))
