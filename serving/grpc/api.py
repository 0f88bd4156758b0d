"""What the gRPC side needs of the application."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Protocol

from serving.caption_types import CaptionAnswer, CaptionRequest, VideoRequest, VideoResponse
from serving.errors import ServingError
from serving.generation_types import GeneratedText, GenerateRequest
from serving.image_types import (
    CritiqueRequest,
    CritiqueResponse,
    ImageAnswer,
    ImageRequest,
    Pixels,
)
from serving.pb.inference.model_config_pb2 import ModelConfig
from serving.picture_files import PictureForm
from serving.types import (
    ClassifyRequest,
    ClassifyResponse,
    InferRequest,
    InferResponse,
    ModelMetadata,
    ServerMetadata,
)


class PictureWriter(Protocol):
    """The part of ``serving.picture_encoding.PictureEncoding`` that is needed."""

    async def picture(self, pixels: Pixels, form: PictureForm) -> bytes:
        """One picture [height, width, channels] as a file, written off the event loop."""
        ...


class InferenceApi(Protocol):
    """The part of ``serving.service.InferenceService`` that is reachable over gRPC.

    Methods raise ``serving.errors.ServingError``; anything else is a fault of the server.
    """

    def live(self) -> bool:
        """Whether the process works at all."""
        ...

    def ready(self) -> bool:
        """Whether requests should be sent here."""
        ...

    def model_ready(self, name: str, version: str = "") -> bool:
        """Whether a model serves. Raises ModelNotFound, ModelNotReady, InvalidInput."""
        ...

    def server_metadata(self) -> ServerMetadata:
        """Name, version and extensions."""
        ...

    def model_metadata(self, name: str, version: str = "") -> ModelMetadata:
        """What the model takes and gives."""
        ...

    def model_config(self, name: str, version: str = "") -> ModelConfig:
        """The configuration in effect."""
        ...

    def model_statistics(self, name: str = "", version: str = "") -> Sequence[Mapping[str, Any]]:
        """Counts of each version meant, with the keys of the message ``ModelStatistics``."""
        ...

    async def infer(self, request: InferRequest) -> InferResponse:
        """Run tensors through a model; cancelling the wait drops the request."""
        ...

    def is_decoupled(self, name: str, version: str = "") -> bool:
        """Whether a model gives any number of answers to a request. Raises as ``model_ready``."""
        ...

    def stream_infer(self, request: InferRequest) -> AsyncGenerator[InferResponse, None]:
        """Run tensors through a model and give its answers as they come: one, unless decoupled.

        Closing it stops the work. Raises as ``infer``, while it is iterated.
        """
        ...

    async def generate(self, request: GenerateRequest) -> GeneratedText:
        """Begin a text. What can be refused is refused before this returns."""
        ...

    async def classify(self, request: ClassifyRequest) -> ClassifyResponse:
        """Name the best classes of each picture."""
        ...

    async def caption(self, request: CaptionRequest) -> CaptionAnswer:
        """Begin to say what pictures show. What can be refused is refused before this returns."""
        ...

    async def caption_video(self, request: VideoRequest) -> VideoResponse:
        """Say what each scene of a video shows; cancelling the wait stops the work."""
        ...

    async def generate_images(self, request: ImageRequest) -> ImageAnswer:
        """Begin to make pictures. What can be refused is refused before this returns."""
        ...

    async def critique(self, request: CritiqueRequest) -> CritiqueResponse:
        """Ask a generator's discriminator whether pictures are real."""
        ...

    @property
    def picture_encoding(self) -> PictureWriter:
        """Writes the files of pictures."""
        ...

    def count_refused(self, protocol: str, error: ServingError) -> None:
        """Count a request that failed; one that the service has counted is not counted twice."""
        ...
