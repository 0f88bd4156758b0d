"""Messages of ``quartet.v1``'s captions to and from ``serving.caption_types``.

What a model, a search or a draw can do is the service's to check; here is checked what no model
takes.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from serving.caption_types import (
    Caption,
    CaptionAnswer,
    CaptionOptions,
    CaptionPiece,
    CaptionRequest,
    CaptionResponse,
    Floats,
    Frame,
    Scene,
    VideoRequest,
    VideoResponse,
    Word,
)
from serving.errors import InvalidInput
from serving.grpc.converters import PROTOCOL
from serving.grpc.text_messages import FINISH_REASONS
from serving.pb.quartet.v1 import quartet_pb2 as pb
from serving.types import MAX_IMAGES

_GIVEN: Final = (
    "captions",
    "beam_width",
    "length_penalty",
    "min_tokens",
    "max_tokens",
    "temperature",
    "top_k",
    "top_p",
    "seed",
)
"""Fields with presence, under the same name in the message and in the options."""


def decode_images(images: Sequence[pb.Image]) -> tuple[bytes, ...]:
    """The encoded pictures of a request.

    Raises:
        InvalidInput: there are none or more than ``MAX_IMAGES``, or one is empty.
    """
    if not 1 <= len(images) <= MAX_IMAGES:
        raise InvalidInput(f"{len(images)} images in one request, expected 1 to {MAX_IMAGES}")
    data = tuple(image.data for image in images)
    _refuse_empty(data, "images[{}]")
    return data


def decode_caption(message: pb.CaptionRequest) -> CaptionRequest:
    """Read a request for captions of pictures. Raises as ``decode_images``."""
    return CaptionRequest(
        model_name=message.model_name,
        model_version=message.model_version,
        images=decode_images(message.images),
        options=decode_options(message.options),
        client=message.client,
        id=message.id,
        protocol=PROTOCOL,
    )


def decode_video(message: pb.CaptionVideoRequest) -> VideoRequest:
    """Read a request for captions of a video.

    Raises:
        InvalidInput: there is neither a video nor a frame, or one of them is empty.
    """
    source = message.WhichOneof("source")
    if source is None:
        raise InvalidInput("neither video nor frames is given, expected one of them")
    if source == "video" and not message.video:
        raise InvalidInput("video has 0 bytes, expected an encoded file")
    frames = tuple(Frame(one.time_s, one.image.data) for one in message.frames.frames)
    if source == "frames" and not frames:
        raise InvalidInput("frames is empty, expected at least one")
    _refuse_empty([frame.data for frame in frames], "frames[{}].image")
    return VideoRequest(
        model_name=message.model_name,
        model_version=message.model_version,
        video=message.video,
        frames=frames,
        options=decode_options(message.options),
        client=message.client,
        id=message.id,
        protocol=PROTOCOL,
    )


def decode_options(message: pb.CaptionOptions) -> CaptionOptions:
    """Read how captions are found; what is not given stays None."""
    given = {name: getattr(message, name) for name in _GIVEN if message.HasField(name)}
    return CaptionOptions(beginning=message.beginning, attention=message.attention, **given)


def encode_captions(response: CaptionResponse, asked: str) -> pb.CaptionResponse:
    """Write all captions of a request.

    Args:
        response: what was found.
        asked: the request's id.
    """
    return pb.CaptionResponse(
        model_name=response.model_name,
        model_version=response.model_version,
        id=asked,
        seed=response.seed,
        results=[pb.ImageCaptions(captions=_encode_all(found)) for found in response.results],
    )


def encode_video(response: VideoResponse, asked: str) -> pb.CaptionVideoResponse:
    """Write the captions of a video's scenes; ``asked`` as in ``encode_captions``."""
    return pb.CaptionVideoResponse(
        model_name=response.model_name,
        model_version=response.model_version,
        id=asked,
        seed=response.seed,
        duration_s=response.duration_s,
        frames=response.frames,
        scenes=[_encode_scene(scene) for scene in response.scenes],
    )


def encode_caption_started(answer: CaptionAnswer, asked: str) -> pb.StreamCaptionResponse:
    """The first message of a stream; ``asked`` as in ``encode_captions``."""
    started = pb.CaptionStarted(
        model_name=answer.model_name,
        model_version=answer.model_version,
        id=asked,
        seed=answer.seed,
        captions=answer.captions,
    )
    return pb.StreamCaptionResponse(started=started)


def encode_caption_piece(piece: CaptionPiece) -> list[pb.StreamCaptionResponse]:
    """A word of a stream, the end of a caption, or both in this order."""
    messages = []
    if piece.word is not None:
        word = pb.StreamedWord(
            image=piece.image, caption=piece.caption, word=_encode_word(piece.word)
        )
        messages.append(pb.StreamCaptionResponse(word=word))
    if piece.whole is not None:
        whole = pb.StreamedCaption(
            image=piece.image, caption=piece.caption, whole=_encode_caption(piece.whole)
        )
        messages.append(pb.StreamCaptionResponse(caption=whole))
    return messages


def encode_caption_finished() -> pb.StreamCaptionResponse:
    """The last message of a stream."""
    return pb.StreamCaptionResponse(finished=pb.CaptionFinished())


def _refuse_empty(data: Sequence[bytes], where: str) -> None:
    if not all(data):
        raise InvalidInput(
            f"{where.format(data.index(b''))} has 0 bytes, expected an encoded picture "
            "(PNG, JPEG, WebP, GIF or BMP)"
        )


def _encode_all(captions: Iterable[Caption]) -> list[pb.Caption]:
    return [_encode_caption(caption) for caption in captions]


def _encode_caption(caption: Caption) -> pb.Caption:
    return pb.Caption(
        text=caption.text,
        words=[_encode_word(word) for word in caption.words],
        log_probability=caption.log_probability,
        finish_reason=FINISH_REASONS[caption.finish_reason],
    )


def _encode_word(word: Word) -> pb.CaptionWord:
    return pb.CaptionWord(
        text=word.text,
        log_probability=word.log_probability,
        attention=None if word.attention is None else _encode_map(word.attention),
    )


def _encode_map(attention: Floats) -> pb.AttentionMap:
    rows, columns = attention.shape
    return pb.AttentionMap(rows=rows, columns=columns, values=attention.ravel().tolist())


def _encode_scene(scene: Scene) -> pb.VideoScene:
    return pb.VideoScene(
        start_s=scene.start_s,
        end_s=scene.end_s,
        frame_s=scene.frame_s,
        captions=_encode_all(scene.captions),
    )
