"""``quartet.v1.Quartet``: typed calls for the tasks that the server knows."""

from collections.abc import AsyncGenerator
from functools import partial
from typing import Any, TypeVar

import grpc

from serving.caption_types import CaptionRequest, VideoRequest, collect_captions
from serving.errors import InvalidInput
from serving.generation_types import GenerateRequest
from serving.grpc.api import InferenceApi
from serving.grpc.calls import Call, unary, unary_stream
from serving.grpc.caption_messages import (
    decode_caption,
    decode_images,
    decode_video,
    encode_caption_finished,
    encode_caption_piece,
    encode_caption_started,
    encode_captions,
    encode_video,
)
from serving.grpc.converters import PROTOCOL
from serving.grpc.image_calls import ImageCalls
from serving.grpc.text_messages import (
    decode_generate,
    encode_finished,
    encode_piece,
    encode_started,
)
from serving.pb.quartet.v1 import quartet_pb2 as pb
from serving.types import DEFAULT_TOP_K, ClassifyRequest, ClassifyResponse, Prediction

SERVICE_NAME = "quartet.v1.Quartet"

RequestT = TypeVar("RequestT", CaptionRequest, GenerateRequest, VideoRequest)


class QuartetServicer:
    """Answers the typed calls from an ``InferenceApi``."""

    def __init__(self, service: InferenceApi) -> None:
        self._service = service
        self._images = ImageCalls(service)

    def handler(self) -> Any:
        """The methods, for ``grpc.aio.Server.add_generic_rpc_handlers``."""
        count = partial(self._service.count_refused, PROTOCOL)
        return grpc.method_handlers_generic_handler(
            SERVICE_NAME,
            {
                "Classify": unary(pb.ClassifyRequest, self.classify, count),
                "GenerateText": unary_stream(pb.GenerateTextRequest, self.generate_text, count),
                "Caption": unary(pb.CaptionRequest, self.caption, count),
                "StreamCaption": unary_stream(pb.CaptionRequest, self.stream_caption, count),
                "CaptionVideo": unary(pb.CaptionVideoRequest, self.caption_video, count),
                "GenerateImages": unary_stream(
                    pb.GenerateImagesRequest, self._images.generate, count
                ),
                "CritiqueImages": unary(pb.CritiqueImagesRequest, self._images.critique, count),
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
        decoded = _of_call(decode_generate(request), call)
        answer = await self._service.generate(decoded)
        try:
            yield encode_started(answer, decoded.id)
            async for piece in answer:
                yield encode_piece(piece)
        finally:
            await answer.aclose()
        yield encode_finished(answer.usage)

    async def caption(self, request: pb.CaptionRequest, call: Call) -> pb.CaptionResponse:
        """Say in words what each picture shows."""
        decoded = _of_call(decode_caption(request), call)
        answer = await self._service.caption(decoded)
        return encode_captions(await collect_captions(answer), decoded.id)

    async def stream_caption(
        self, request: pb.CaptionRequest, call: Call
    ) -> AsyncGenerator[pb.StreamCaptionResponse, None]:
        """The same, word by word."""
        decoded = _of_call(decode_caption(request), call)
        answer = await self._service.caption(decoded)
        try:
            yield encode_caption_started(answer, decoded.id)
            async for piece in answer:
                for message in encode_caption_piece(piece):
                    yield message
        finally:
            await answer.aclose()
        yield encode_caption_finished()

    async def caption_video(
        self, request: pb.CaptionVideoRequest, call: Call
    ) -> pb.CaptionVideoResponse:
        """Say in words what each scene of a video shows."""
        decoded = _of_call(decode_video(request), call)
        return encode_video(await self._service.caption_video(decoded), decoded.id)


def _of_call(request: RequestT, call: Call) -> RequestT:
    """``request`` with what the transport knows of it."""
    request.client = request.client or call.client
    request.deadline = call.deadline
    request.request_id = call.request_id
    return request


def decode_classify(message: pb.ClassifyRequest) -> ClassifyRequest:
    """Read a request. Raises InvalidInput."""
    images = decode_images(message.images)
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
