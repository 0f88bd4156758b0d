"""Messages of ``quartet.v1``'s generated pictures to and from ``serving.image_types``.

Ranges, limits and what a model can do are the service's to check; here is checked what its types
cannot say, and how pictures are written.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from serving.errors import InvalidInput
from serving.grpc.caption_messages import decode_images
from serving.grpc.converters import PROTOCOL
from serving.image_types import (
    Arithmetic,
    CritiqueRequest,
    CritiqueResponse,
    GeneratedImage,
    GivenLatents,
    ImageAnswer,
    ImageOptions,
    ImageRequest,
    Interpolation,
    LatentPoint,
    LatentSource,
    Samples,
    SeedList,
)
from serving.pb.quartet.v1 import quartet_pb2 as pb
from serving.picture_files import PictureForm, PictureKind, check_quality

_KINDS: Final[Mapping[int, PictureKind]] = {
    pb.IMAGE_FORMAT_UNSPECIFIED: "png",
    pb.IMAGE_FORMAT_PNG: "png",
    pb.IMAGE_FORMAT_JPEG: "jpeg",
    pb.IMAGE_FORMAT_WEBP: "webp",
    pb.IMAGE_FORMAT_RAW: "raw",
}


def decode_generate_images(message: pb.GenerateImagesRequest) -> ImageRequest:
    """Read a request for pictures.

    Raises:
        InvalidInput: latents are missing or differ in length, or a term has no point.
    """
    return ImageRequest(
        model_name=message.model_name,
        model_version=message.model_version,
        source=_decode_source(message),
        options=ImageOptions(
            truncation=message.truncation if message.HasField("truncation") else None,
            class_name=message.class_name if message.HasField("class_name") else None,
            prompt=message.prompt if message.HasField("prompt") else None,
            directions=dict(message.directions),
        ),
        id=message.id,
        protocol=PROTOCOL,
    )


def decode_form(message: pb.GenerateImagesRequest) -> PictureForm:
    """Read how pictures shall be written.

    Raises:
        InvalidInput: there is no such format, or its quality is out of range.
    """
    kind = _KINDS.get(message.format)
    if kind is None:
        raise InvalidInput(
            f"format: expected one of {', '.join(pb.ImageFormat.keys())}, got {message.format}"
        )
    quality = message.quality if message.HasField("quality") else None
    check_quality(kind, quality)
    return PictureForm(kind, quality)


def decode_critique(message: pb.CritiqueImagesRequest) -> CritiqueRequest:
    """Read a request for critique. Raises as ``decode_images``."""
    return CritiqueRequest(
        model_name=message.model_name,
        model_version=message.model_version,
        images=decode_images(message.images),
        class_name=message.class_name if message.HasField("class_name") else None,
        prompt=message.prompt if message.HasField("prompt") else None,
        id=message.id,
        protocol=PROTOCOL,
    )


def encode_images_started(answer: ImageAnswer, asked: str) -> pb.GenerateImagesResponse:
    """The first message of a stream.

    Args:
        answer: what has begun.
        asked: the request's id.
    """
    started = pb.ImagesStarted(
        model_name=answer.model_name,
        model_version=answer.model_version,
        id=asked,
        seed=answer.seed,
        count=answer.count,
        height=answer.height,
        width=answer.width,
        channels=answer.channels,
        prompt=answer.prompt or "",
        fingerprint=answer.fingerprint,
    )
    return pb.GenerateImagesResponse(started=started)


def encode_image(image: GeneratedImage, data: bytes) -> pb.GenerateImagesResponse:
    """One picture of a stream, whose encoded form is ``data``."""
    point = image.point
    message = pb.GeneratedImage(
        number=image.number,
        data=data,
        point=None if point is None else pb.LatentPoint(seed=point.seed, index=point.index),
        class_name=image.class_name or "",
    )
    return pb.GenerateImagesResponse(image=message)


def encode_images_finished() -> pb.GenerateImagesResponse:
    """The last message of a stream."""
    return pb.GenerateImagesResponse(finished=pb.ImagesFinished())


def encode_critique(response: CritiqueResponse, asked: str) -> pb.CritiqueImagesResponse:
    """Write what a critic thinks; ``asked`` as in ``encode_images_started``."""
    return pb.CritiqueImagesResponse(
        model_name=response.model_name,
        model_version=response.model_version,
        id=asked,
        probabilities=response.probabilities,
    )


def _decode_source(message: pb.GenerateImagesRequest) -> LatentSource:
    given = message.WhichOneof("source")
    if given == "seeds":
        return SeedList(tuple(message.seeds.seeds), message.seeds.index)
    if given == "latents":
        return _decode_latents(message.latents.latents)
    if given == "interpolation":
        return _decode_path(message.interpolation)
    if given == "arithmetic":
        return _decode_sum(message.arithmetic)
    samples = message.samples
    return Samples(
        samples.seed if samples.HasField("seed") else None,
        samples.count if samples.HasField("count") else 1,
        samples.first,
    )


def _decode_latents(latents: Sequence[pb.Latent]) -> GivenLatents:
    if not latents:
        raise InvalidInput("latents is empty, expected at least one")
    size = len(latents[0].values)
    for number, latent in enumerate(latents):
        if len(latent.values) != size:
            raise InvalidInput(
                f"latents[{number}] has {len(latent.values)} values, expected {size} as latents[0]"
            )
    return GivenLatents(np.array([latent.values for latent in latents], np.float32))


def _decode_path(path: pb.LatentPath) -> Interpolation:
    points = tuple(map(_decode_point, path.points))
    if path.HasField("frames"):
        return Interpolation(points, path.frames, path.closed)
    return Interpolation(points, closed=path.closed)


def _decode_sum(message: pb.LatentSum) -> Arithmetic:
    for number, term in enumerate(message.terms):
        # A point's zeros may be left out, but not the point, which is likelier to be forgotten.
        if not term.HasField("point"):
            raise InvalidInput(f"arithmetic: terms[{number}] has no point, expected one")
    return Arithmetic(tuple((term.weight, _decode_point(term.point)) for term in message.terms))


def _decode_point(point: pb.LatentPoint) -> LatentPoint:
    return LatentPoint(point.seed, point.index)
