"""The body of ``POST /v1/captions/{model}``: pictures or a video, and how to caption them.

Pictures come as form fields, as the raw body or as base64 in JSON, like those of classify; a video
likewise, or as single frames. Options stand beside them or in the query; the body's win.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from serving.animation_check import is_animated
from serving.caption_types import CaptionOptions, Frame
from serving.errors import InvalidInput, UnsupportedEncoding
from serving.iso_media import is_iso_media
from serving.rest.fields import (
    Reader,
    an_object,
    flag,
    from_text,
    number,
    parse_object,
    read_members,
    text,
    whole,
    wrong,
)
from serving.rest.forms import FormField, decode_base64, parse_form

HINT = "try: curl -F image=@photo.jpg http://HOST:PORT/v1/captions/MODEL"
"""Ends errors about the whole request: the shortest one that works."""

_ANY_TYPES = ("", "application/octet-stream", "binary/octet-stream")
_MOVING_TYPES = ("image/gif", "image/webp")
_MAX_FIELDS = 1024
"""Of a form: more than any server takes pictures, or frames and their times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionSource:
    """What is to be captioned: ``images``, ``video`` or ``frames``; the others are empty."""

    images: tuple[bytes, ...] = ()
    """Encoded pictures, in the order sent."""
    video: bytes = b""
    frames: tuple[Frame, ...] = ()
    many: bool = False
    """Whether the answer is a list: several pictures, or one in a JSON list."""

    @property
    def is_video(self) -> bool:
        """Whether scenes are captioned."""
        return not self.images


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionCall:
    """What a request for captions asks for."""

    source: CaptionSource
    options: CaptionOptions = field(default_factory=CaptionOptions)
    stream: bool | None = None
    """Whether words are wanted as they come; None: the request does not say."""


def parse_captions(body: bytes, content_type: str, query: Mapping[str, str]) -> CaptionCall:
    """Read a request, decompressed.

    Args:
        body: the whole body.
        content_type: the header, or empty: then the body is a picture or a video.
        query: the URL's query parameters, decoded.

    Raises:
        InvalidInput: the request cannot be read; the text says what was expected.
        UnsupportedEncoding: a media type that is none of the ways in.
    """
    values = read_members(query, _TEXT_OPTIONS)
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == "multipart/form-data":
        source, own = _from_form(parse_form(body, content_type, _MAX_FIELDS, HINT))
    elif media_type == "application/json":
        source, own = _from_json(body)
    else:
        source, own = _from_raw(body, media_type), {}
    values |= own
    _check_source(source)
    stream = values.pop("stream", None)
    if stream and source.is_video:
        raise InvalidInput("stream: captions of a video are not streamed; leave it out")
    return CaptionCall(source=source, options=CaptionOptions(**values), stream=stream)


def _check_source(source: CaptionSource) -> None:
    files = (*source.images, *(frame.data for frame in source.frames))
    if not all(files) or not (files or source.video):
        raise InvalidInput(f"a file of 0 bytes, expected an encoded picture or video; {HINT}")


def _from_raw(body: bytes, media_type: str) -> CaptionSource:
    moves = (
        media_type.startswith("video/")
        or (media_type in _MOVING_TYPES and is_animated(body))
        or (media_type in _ANY_TYPES and is_iso_media(body))
    )
    if moves:
        return CaptionSource(video=body)
    if media_type in _ANY_TYPES or media_type.startswith("image/"):
        return CaptionSource(images=(body,))
    raise UnsupportedEncoding(
        f"Content-Type {media_type!r} is not served, expected multipart/form-data with the field "
        f"'image' or 'video', image/*, video/*, or application/json; {HINT}"
    )


def _from_form(form: list[FormField]) -> tuple[CaptionSource, dict[str, Any]]:
    files: dict[str, list[bytes]] = {"image": [], "video": [], "frame": []}
    times: list[float] = []
    options: dict[str, Any] = {}
    for part in form:
        if part.name in files:
            files[part.name].append(part.file(HINT))
        elif part.name == "time_s":
            times.append(_TIME_TEXT("time_s", part.text()))
        elif part.name in _TEXT_OPTIONS:
            options[part.name] = part.text()
        else:
            known = ", ".join(sorted((*files, "time_s", *_TEXT_OPTIONS)))
            raise InvalidInput(f"{part.name[:80]}: unknown field; expected any of {known}")
    _check_one_of({name: parts for name, parts in files.items() if parts}, files)
    if len(files["video"]) > 1:
        raise InvalidInput(f"video: {len(files['video'])} fields, one request takes one")
    source = CaptionSource(
        images=tuple(files["image"]),
        video=b"".join(files["video"]),
        frames=_frames(files["frame"], times),
        many=len(files["image"]) > 1,
    )
    return source, read_members(options, _TEXT_OPTIONS)


def _frames(files: list[bytes], times: list[float]) -> tuple[Frame, ...]:
    """Frames with times; one a second if there are none."""
    if times and len(times) != len(files):
        raise InvalidInput(
            f"time_s: {len(times)} times for {len(files)} frames; expected one for each, or none"
        )
    times = times or [float(second) for second in range(len(files))]
    return tuple(Frame(*one) for one in zip(times, files, strict=True))


def _from_json(body: bytes) -> tuple[CaptionSource, dict[str, Any]]:
    values = read_members(parse_object(body), _MEMBERS)
    found = {name: values.pop(name) for name in _SOURCES if name in values}
    _check_one_of(found, _SOURCES)
    images = found.get("images", ())
    if "image" in found:
        images = (found["image"],)
    source = CaptionSource(
        images=images,
        video=found.get("video", b""),
        frames=found.get("frames", ()),
        many="images" in found,
    )
    return source, values


def _check_one_of(found: Mapping[str, Any], names: Mapping[str, Any]) -> None:
    if len(found) != 1:
        got = " and ".join(repr(name) for name in found) or "none"
        expected = ", ".join(repr(name) for name in names)
        raise InvalidInput(f"expected exactly one of {expected}, got {got}; {HINT}")


def _base64s(name: str, value: Any) -> tuple[bytes, ...]:
    items = _filled_list(name, value, "an array of at least one base64 string")
    return tuple(decode_base64(item, f"{name}[{place}]") for place, item in enumerate(items))


def _json_frames(name: str, value: Any) -> tuple[Frame, ...]:
    items = _filled_list(name, value, 'an array of at least one {"time_s", "image"}')
    return tuple(_json_frame(f"{name}[{place}]", item) for place, item in enumerate(items))


def _json_frame(where: str, value: Any) -> Frame:
    frame = an_object(where, value)
    if frame.keys() != {"time_s", "image"}:
        raise InvalidInput(f"{where}: expected the keys 'time_s' and 'image', got {list(frame)}")
    time_s = number(f"{where}.time_s", frame["time_s"])
    return Frame(time_s, decode_base64(frame["image"], f"{where}.image"))


def _filled_list(name: str, value: Any, expected: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise wrong(name, expected, value)
    return value


def _base64(name: str, value: Any) -> bytes:
    return decode_base64(value, name)


_OPTIONS: Mapping[str, Reader] = {
    "captions": whole,
    "beam_width": whole,
    "length_penalty": number,
    "min_tokens": whole,
    "max_tokens": whole,
    "temperature": number,
    "top_k": whole,
    "top_p": number,
    "seed": whole,
    "beginning": text,
    "attention": flag,
    "stream": flag,
}
_TEXT_OPTIONS: Mapping[str, Reader] = {name: from_text(read) for name, read in _OPTIONS.items()}
_TIME_TEXT = from_text(number)
_SOURCES: Mapping[str, Reader] = {
    "image": _base64,
    "images": _base64s,
    "video": _base64,
    "frames": _json_frames,
}
_MEMBERS: Mapping[str, Reader] = {**_SOURCES, **_OPTIONS}
CAPTION_FIELDS = tuple(_MEMBERS)
"""All that a JSON request may have."""
OPTION_FIELDS = tuple(_OPTIONS)
"""What may stand in the query too."""
