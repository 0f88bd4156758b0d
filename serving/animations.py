"""Reads animated GIF, WebP and PNG: frames with their own durations, one after the other.

Each frame of these formats is painted over the one before, so all are decoded; only the frames
that are looked at are held.
"""

import warnings
from collections.abc import Iterator

from PIL import Image, ImageFile

from serving.errors import InvalidInput, PayloadTooLarge
from serving.images import ImageLimits, check_size
from serving.picture_modes import flatten_on_white
from serving.pillow_files import DAMAGE, open_file, quiet, reason, upright
from serving.video_frames import (
    DecodeClock,
    FrameSampler,
    VideoClip,
    VideoFrame,
    VideoLimits,
    reduce_picture,
)

_TOO_SHORT_MS = 10
"""A frame of at most this, as many files that give no time have it, ..."""
_DEFAULT_MS = 100
"""... lasts so long, as in browsers (WebKit bug 36082, Gecko, Chromium)."""


def read_animation(data: bytes, kind: str, limits: VideoLimits) -> VideoClip | None:
    """Look at a picture file that may hold an animation.

    Args:
        data: the file.
        kind: its format by Pillow's name: GIF, PNG or WEBP.
        limits: of the video.

    Returns:
        The frames looked at; None if it is a still picture.

    Raises:
        InvalidInput: damaged or truncated.
        PayloadTooLarge: over ``limits``.
    """
    try:
        image = open_file(data, kind)
        check_size(image.size, _of_a_frame(limits))
        with quiet():
            animated = getattr(image, "is_animated", False)
        return _sample(image, kind, limits) if animated else None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError) as error:
        raise PayloadTooLarge(
            f"frames of the video are too large: {reason(error)}; "
            f"at most {limits.max_pixels} pixels are taken"
        ) from error
    except DAMAGE as error:
        raise InvalidInput(
            f"video is a damaged or truncated {kind} file ({len(data)} bytes): {reason(error)}; "
            "expected a whole one"
        ) from error


def _sample(image: ImageFile.ImageFile, kind: str, limits: VideoLimits) -> VideoClip:
    clock, sampler, start_ms = DecodeClock(limits.max_decode_s), FrameSampler(limits), 0.0
    for frame in _frames(image, kind, limits):
        duration_ms = float(frame.info.get("duration") or 0)
        end_ms = start_ms + (_DEFAULT_MS if duration_ms <= _TOO_SHORT_MS else duration_ms)
        if sampler.wants(end_ms / 1000):
            picture = reduce_picture(flatten_on_white(upright(frame)), limits)
            sampler.add(VideoFrame(start_ms / 1000, picture), end_ms / 1000)
        start_ms = end_ms
        clock.check()
    return sampler.clip()


def _frames(
    image: ImageFile.ImageFile, kind: str, limits: VideoLimits
) -> Iterator[ImageFile.ImageFile]:
    """Every frame, loaded; ``image`` itself, in turn."""
    # A PNG may hold a still picture for programs that cannot animate (PNG 3, 11.3.6.2).
    number = 1 if image.info.get("default_image") else 0
    while _seek(image, kind, number):
        check_size(image.size, _of_a_frame(limits))
        image.load()
        yield image
        number += 1


def _seek(image: ImageFile.ImageFile, kind: str, number: int) -> bool:
    """Go to frame ``number``; False if the file ends before it, as it should."""
    if kind != "GIF" and number >= getattr(image, "n_frames", 1):
        return False
    try:
        with quiet():
            # Else a buffer is made for a frame larger than the file's header says.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image.seek(number)
    except EOFError:
        if kind == "GIF" and _at_trailer(image):
            return False
        raise
    return True


def _at_trailer(image: ImageFile.ImageFile) -> bool:
    """Whether reading a GIF stopped at its last byte, ``;`` (GIF89a, section 27)."""
    stream = image.fp
    if stream is None or stream.tell() < 1:
        return False
    stream.seek(-1, 1)
    return stream.read(1) == b";"


def _of_a_frame(limits: VideoLimits) -> ImageLimits:
    return ImageLimits(max_pixels=limits.max_pixels, max_bytes=limits.max_bytes)
