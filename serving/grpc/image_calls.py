"""Calls of ``quartet.v1.Quartet`` about generated pictures."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from serving.grpc.api import InferenceApi
from serving.grpc.calls import Call
from serving.grpc.image_messages import (
    decode_critique,
    decode_form,
    decode_generate_images,
    encode_critique,
    encode_image,
    encode_images_finished,
    encode_images_started,
)
from serving.grpc.ordered_work import in_order
from serving.image_types import GeneratedImage
from serving.pb.quartet.v1 import quartet_pb2 as pb

ENCODINGS_AHEAD: Final = 8
"""Pictures of one stream that are being encoded or wait encoded for the reader."""


class ImageCalls:
    """Answers the calls about generated pictures from an ``InferenceApi``."""

    def __init__(self, service: InferenceApi) -> None:
        self._service = service

    async def generate(
        self, message: pb.GenerateImagesRequest, call: Call
    ) -> AsyncGenerator[pb.GenerateImagesResponse, None]:
        """Make pictures, and send each when it is made."""
        encoding, form = self._service.picture_encoding, decode_form(message)
        request = decode_generate_images(message)
        request.deadline = call.deadline
        request.request_id = call.request_id

        async def write(image: GeneratedImage) -> pb.GenerateImagesResponse:
            if form.kind == "raw":
                return encode_image(image, image.pixels.tobytes())
            return encode_image(image, await encoding.picture(image.pixels, form))

        answer = await self._service.generate_images(request)
        try:
            yield encode_images_started(answer, request.id)
            async with aclosing(in_order(answer, write, ENCODINGS_AHEAD)) as responses:
                async for response in responses:
                    yield response
        finally:
            await answer.aclose()
        yield encode_images_finished()

    async def critique(
        self, message: pb.CritiqueImagesRequest, call: Call
    ) -> pb.CritiqueImagesResponse:
        """Ask whether pictures are real."""
        request = decode_critique(message)
        request.deadline = call.deadline
        request.request_id = call.request_id
        return encode_critique(await self._service.critique(request), request.id)
