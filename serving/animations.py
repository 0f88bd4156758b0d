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

_SHORTEST_S = 0.011
"""A frame meant to last 10 ms or less, as many files that give no time have it, ..."""
_DEFAULT_S = 0.1
"""... lasts 100 ms, as in browsers (Chromium's GIF decoder, WebKit bug 36082)."""


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
    clock, sampler, start = DecodeClock(limits.max_decode_s), FrameSampler(limits), 0.0
    for frame in _frames(image, kind, limits):
        duration = float(frame.info.get("duration") or 0) / 1000
        end = start + (_DEFAULT_S if duration < _SHORTEST_S else duration)
        if sampler.wants(end):
            picture = reduce_picture(flatten_on_white(upright(frame)), limits)
            sampler.add(VideoFrame(start, picture), end)
        start = end
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
