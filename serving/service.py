"""The application without a wire: what the server can do, for REST and gRPC alike."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from quartet import __version__
from serving.accounting import OK, Accounting, Entry
from serving.caption_drawing import draw_caption
from serving.caption_types import (
    Caption,
    CaptionAnswer,
    CaptionRequest,
    VideoRequest,
    VideoResponse,
)
from serving.captioning import Captioning, CaptioningParts
from serving.classification import classify_images
from serving.errors import ServingError
from serving.generation import Generation
from serving.generation_types import GeneratedText, GenerateRequest
from serving.image_generation import ImageGeneration, ImageGenerationParts, image_generator_of
from serving.image_types import CritiqueRequest, CritiqueResponse, ImageAnswer, ImageRequest
from serving.loaded_model import LoadedModel
from serving.pb.inference import model_config_pb2 as pb
from serving.pbtxt import PLATFORM
from serving.picture_encoding import PictureEncoding
from serving.picture_room import PictureRoom
from serving.readiness import Readiness
from serving.service_parts import ServiceParts
from serving.session_types import SessionInfo, SessionRequest
from serving.statistics import model_statistics
from serving.tasks.image_generation import ImageGenerator
from serving.tensor_inference import infer_tensors
from serving.text_sessions import TextSessions
from serving.token_scheduler import RowState
from serving.types import (
    ClassifyRequest,
    ClassifyResponse,
    InferRequest,
    InferResponse,
    ModelMetadata,
    ServerMetadata,
)

EXTENSIONS = ("sequence", "model_configuration", "binary_tensor_data", "parameters", "statistics")
"""Protocol extensions that are switched on, under Triton's names; clients decide by them."""


class InferenceService:
    """Models, readiness and inference. One event loop; nothing here knows a protocol."""

    def __init__(self, parts: ServiceParts) -> None:
        """Wire the parts together; nothing is loaded yet."""
        self._repository = parts.repository
        self._image_limits = images = parts.image_limits
        self._image_pool = pool = parts.image_pool
        self.readiness = Readiness(parts.repository, parts.required_models)
        self._room = room = PictureRoom(parts.max_images)
        metrics = parts.metrics
        self._accounting = Accounting(metrics, log_requests=parts.log_requests, clock=parts.clock)
        self._sessions = TextSessions(parts.repository, self._accounting, parts.sessions)
        self._generation = Generation(parts.repository, self._sessions, self._accounting)
        self._captioning = Captioning(
            parts.repository,
            self._accounting,
            CaptioningParts(room=room, pool=pool, images=images, video=parts.video_limits),
        )
        self.image_settings = parts.image_generation
        """How many pictures a request may ask for."""
        self._images = ImageGeneration(
            parts.repository,
            self._accounting,
            ImageGenerationParts(settings=self.image_settings, room=room, pool=pool, images=images),
        )
        self.picture_encoding = PictureEncoding(pool)
        metrics.ready.set_function(lambda: float(self.ready()))
        metrics.sessions.set_function(self._sessions.count)

    def live(self) -> bool:
        """Whether the process works at all; true until it exits."""
        return True

    def started(self) -> bool:
        """Whether every model has been tried, whatever became of it; true until it exits."""
        return self.readiness.started()

    def ready(self) -> bool:
        """Whether requests should be sent here; see ``Readiness.ready``."""
        return self.readiness.ready()

    def why_not_ready(self) -> str:
        """The reason in words; empty if ready."""
        return self.readiness.why_not()

    def model_ready(self, name: str, version: str = "") -> bool:
        """Whether the model (its version, or any) serves. Raises ModelNotFound, ModelNotReady."""
        self._repository.get(name, version)
        return not self.readiness.draining

    def server_metadata(self) -> ServerMetadata:
        """Name, version and extensions."""
        return ServerMetadata(name="quartet", version=__version__, extensions=EXTENSIONS)

    def model_names(self) -> list[str]:
        """Of all models with a ready version, without parts of models."""
        return sorted({model.name for model in self._repository.ready_models()})

    def model_metadata(self, name: str, version: str = "") -> ModelMetadata:
        """What the model takes and gives. Raises as ``ModelRepository.get``."""
        model = self._repository.get(name, version)
        versions = [model.version] if version else self._repository.ready_versions(name)
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
        """Counts of every ready version that is meant: of all models and parts without ``name``.

        Elements have the keys of ``ModelStatistics``. Raises as ``ModelRepository.get``.
        """
        models = self._repository.ready_matches(name, version)
        return [model_statistics(m.name, str(m.version), m.metrics.totals) for m in models]

    def is_decoupled(self, name: str, version: str = "") -> bool:
        """Whether a request may get several answers. Raises as ``ModelRepository.get``."""
        return self._repository.get(name, version).generator is not None

    async def infer(self, request: InferRequest) -> InferResponse:
        """Run tensors through a model; of one that writes, wait for the whole of it.

        Raises:
            ServingError: a subclass that says whose fault it was; see ``serving.errors``.
        """
        with self._accounting.counted(request) as entry:
            model = entry.model = self._repository.get(request.model_name, request.model_version)
            if model.generator is not None:
                return await self._generation.infer(request, entry)
            return await self._infer_whole(model, request, entry)

    async def stream_infer(self, request: InferRequest) -> AsyncGenerator[InferResponse, None]:
        """As ``infer``, in pieces: one or more from a model that writes text, one from another.

        Leaving the iteration (``aclose``, cancellation) stops the text.
        """
        entry = self._accounting.open(request)
        with entry.failing():
            model = entry.model = self._repository.get(request.model_name, request.model_version)
            if model.generator is None:
                response = await self._infer_whole(model, request, entry)
                entry.close(OK)
                yield response
                return
            async with aclosing(self._generation.stream_infer(request, entry)) as responses:
                async for response in responses:
                    yield response

    async def _infer_whole(
        self, model: LoadedModel, request: InferRequest, entry: Entry
    ) -> InferResponse:
        """Of a model that gives one answer."""
        if model.captioner is not None:
            return await self._captioning.infer(request, entry)
        return await infer_tensors(model, request, entry)

    async def classify(self, request: ClassifyRequest) -> ClassifyResponse:
        """Run encoded pictures through a classifier and name the best classes of each.

        Raises:
            NotSupported: the model does not declare how a picture becomes its input.
            ServingError: as ``infer``; a bad picture is InvalidInput or PayloadTooLarge.
        """
        with self._accounting.counted(request) as entry:
            model = entry.model = self._repository.get(request.model_name, request.model_version)
            with self._room.hold(len(request.images)):
                response = await classify_images(
                    model, request, self._image_limits, self._image_pool
                )
            entry.timings = response.timings
        return response

    async def caption(self, request: CaptionRequest) -> CaptionAnswer:
        """Begin to say what pictures show. Whatever can be refused is refused before this returns.

        The caller iterates to the end or closes the answer: until then the request is in flight.

        Raises:
            NotSupported: the model does not caption pictures.
            InvalidInput, PayloadTooLarge: an option, which the text begins with, or a picture is at
                fault; of several pictures the text says which.
            ServingError: as ``infer``.
        """
        return await self._captioning.caption(request)

    async def attention_picture(self, request: CaptionRequest, caption: Caption) -> bytes:
        """Draw where the model looked for each word of a caption of the request's first picture.

        The request's version should be the one that ran. Returns and raises as ``draw_caption``.
        """
        model = self._repository.get(request.model_name, request.model_version)
        with self._room.hold(1):
            return await draw_caption(
                model, request.images[0], caption, self._image_limits, self._image_pool
            )

    async def caption_video(self, request: VideoRequest) -> VideoResponse:
        """Say what each scene of a video shows. Raises as ``caption``."""
        return await self._captioning.caption_video(request)

    async def generate(self, request: GenerateRequest) -> GeneratedText:
        """Begin to write text. Whatever can be refused is refused before this returns.

        The caller iterates to the end or closes the answer: until then the request is in flight,
        and a session that it goes on with is in use.

        Raises:
            NotSupported: the model does not write text.
            ServingError: as ``infer``; Conflict, SessionNotFound.
        """
        return await self._generation.generate(request)

    async def generate_images(self, request: ImageRequest) -> ImageAnswer:
        """Begin to make pictures. Whatever can be refused is refused before this returns.

        The caller iterates to the end or closes the answer: until then the request is in flight.

        Raises:
            NotSupported: the model does not make pictures.
            ServingError: as ``infer``; InvalidInput names the field at fault.
        """
        return await self._images.generate(request)

    async def critique(self, request: CritiqueRequest) -> CritiqueResponse:
        """Ask a generator's discriminator whether pictures are real.

        Raises as ``generate_images`` and ``classify``; NotSupported if there is none.
        """
        return await self._images.critique(request)

    def image_generator(self, name: str, version: str = "") -> ImageGenerator:
        """What makes a model's pictures. Raises NotSupported, or as ``ModelRepository.get``."""
        return image_generator_of(self._repository.get(name, version))

    async def create_session(self, request: SessionRequest) -> SessionInfo:
        """See ``TextSessions.create``."""
        return await self._sessions.create(request)

    async def fork_session(self, session_id: str) -> SessionInfo:
        """See ``TextSessions.fork``."""
        return self._sessions.fork(session_id)

    async def import_session(self, blob: bytes) -> SessionInfo:
        """See ``TextSessions.take_in``."""
        return self._sessions.take_in(blob)

    def session(self, session_id: str) -> SessionInfo:
        """See ``TextSessions.info``."""
        return self._sessions.info(session_id)

    def session_state(self, session_id: str) -> RowState:
        """See ``TextSessions.state``."""
        return self._sessions.state(session_id)

    def export_session(self, session_id: str) -> bytes:
        """See ``TextSessions.export``."""
        return self._sessions.export(session_id)

    def delete_session(self, session_id: str) -> None:
        """See ``TextSessions.delete``."""
        self._sessions.delete(session_id)

    def start_draining(self) -> None:
        """Stop being ready; requests are still served."""
        self.readiness.draining = True

    def refuse_new(self) -> None:
        """Serve what is in flight and nothing more."""
        self.readiness.draining = True
        self._accounting.refuse_new()

    async def drained(self) -> None:
        """Wait until no request is in flight."""
        await self._accounting.drained()

    def close(self) -> None:
        """Fail what still waits, and end what still runs."""
        self._repository.close()

    def count_refused(self, protocol: str, error: ServingError) -> None:
        """Count a request that failed in the transport, before any model could be charged."""
        self._accounting.count_refused(protocol, error)
