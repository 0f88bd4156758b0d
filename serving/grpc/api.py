"""What the gRPC side needs of the application."""

from typing import Protocol

from serving.types import (
    ClassifyRequest,
    ClassifyResponse,
    InferRequest,
    InferResponse,
    ModelMetadata,
    ServerMetadata,
)


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

    async def infer(self, request: InferRequest) -> InferResponse:
        """Run tensors through a model; cancelling the wait drops the request."""
        ...

    async def classify(self, request: ClassifyRequest) -> ClassifyResponse:
        """Name the best classes of each picture."""
        ...
