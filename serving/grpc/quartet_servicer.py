"""``quartet.v1.Quartet``: typed calls for the tasks that the server knows."""

from collections.abc import AsyncGenerator
from functools import partial
from typing import Any

import grpc

from serving.errors import InvalidInput
from serving.grpc.api import InferenceApi
from serving.grpc.calls import Call, unary, unary_stream
from serving.grpc.converters import PROTOCOL
from serving.grpc.text_messages import (
    decode_generate,
    encode_finished,
    encode_piece,
    encode_started,
)
from serving.pb.quartet.v1 import quartet_pb2 as pb
from serving.types import DEFAULT_TOP_K, MAX_IMAGES, ClassifyRequest, ClassifyResponse, Prediction

SERVICE_NAME = "quartet.v1.Quartet"


class QuartetServicer:
    """Answers the typed calls from an ``InferenceApi``."""

    def __init__(self, service: InferenceApi) -> None:
        self._service = service

    def handler(self) -> Any:
        """The methods, for ``grpc.aio.Server.add_generic_rpc_handlers``."""
        count = partial(self._service.count_refused, PROTOCOL)
        return grpc.method_handlers_generic_handler(
            SERVICE_NAME,
            {
                "Classify": unary(pb.ClassifyRequest, self.classify, count),
                "GenerateText": unary_stream(pb.GenerateTextRequest, self.generate_text, count),
            },
        )

    async def classify(self, request: pb.ClassifyRequest, call: Call) -> pb.ClassifyResponse:
        """Name the best classes of each picture."""
        decoded = decode_classify(request)
        decoded.deadline = call.deadline
        decoded.request_id = call.request_id
        return encode_classify(await self._service.classify(decoded))

    async def generate_text(
        self, request: pb.GenerateTextRequest, call: Call
    ) -> AsyncGenerator[pb.GenerateTextResponse, None]:
        """Write texts, and send them piece by piece."""
        decoded = decode_generate(request)
        decoded.client = decoded.client or call.client
        decoded.deadline = call.deadline
        decoded.request_id = call.request_id
        answer = await self._service.generate(decoded)
        try:
            yield encode_started(answer, decoded.id)
            async for piece in answer:
                yield encode_piece(piece)
        finally:
            await answer.aclose()
        yield encode_finished(answer.usage)


def decode_classify(message: pb.ClassifyRequest) -> ClassifyRequest:
    """Read a request. Raises InvalidInput."""
    if not 1 <= len(message.images) <= MAX_IMAGES:
        raise InvalidInput(
            f"{len(message.images)} images in one request, expected 1 to {MAX_IMAGES}"
        )
    images = tuple(image.data for image in message.images)
    if not all(images):
        raise InvalidInput(
            f"images[{images.index(b'')}] has 0 bytes, expected an encoded picture "
            "(PNG, JPEG, WebP, GIF or BMP)"
        )
    top_k = message.top_k if message.HasField("top_k") else DEFAULT_TOP_K
    if top_k < 1:
        raise InvalidInput("top_k: expected a whole number of at least 1, got 0")
    return ClassifyRequest(
        model_name=message.model_name,
        model_version=message.model_version,
        images=images,
        top_k=top_k,
        protocol=PROTOCOL,
    )


def encode_classify(response: ClassifyResponse) -> pb.ClassifyResponse:
    """Write an answer."""
    return pb.ClassifyResponse(
        model_name=response.model_name,
        model_version=response.model_version,
        results=[
            pb.Classification(predictions=[_encode_prediction(one) for one in predictions])
            for predictions in response.results
        ],
    )


def _encode_prediction(prediction: Prediction) -> pb.Prediction:
    return pb.Prediction(
        label=prediction.label, index=prediction.index, probability=prediction.probability
    )
