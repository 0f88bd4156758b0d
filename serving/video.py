"""From the bytes of a video, or from single frames, to the frames that are looked at.

A video is a file of a stranger's, like a picture: its limits are checked while it is read, and
every fault is an InvalidInput or a PayloadTooLarge whose text says what was wrong.
"""

import itertools
import math
from collections.abc import Sequence

from serving.animations import read_animation
from serving.caption_types import Frame
from serving.errors import InvalidInput, PayloadTooLarge, ServingError
from serving.image_formats import sniff_format
from serving.images import ImageLimits, decode_image
from serving.iso_media import is_iso_media
from serving.movies import read_movie
from serving.video_frames import VideoClip, VideoFrame, VideoLimits, reduce_picture

__all__ = [
    "EXPECTED",
    "VideoClip",
    "VideoFrame",
    "VideoLimits",
    "frames_of",
    "read_video",
]

EXPECTED = "an MP4 or MOV file, an animated GIF, WebP or PNG file, or a picture"
"""What a client may send, for error messages."""


def read_video(data: bytes, limits: VideoLimits) -> VideoClip:
    """Look at one video: frames at even distances over its whole length.

    Args:
        data: the file. MP4 and MOV need PyAV (extra ``video``); animated GIF, WebP and PNG do
            not. A picture that does not move is a video of one frame and no length.
        limits: refused beyond these; at most ``max_frames_looked_at`` frames are held.

    Returns:
        The first frame of the file, and those visible every ``1 / frames_per_s`` seconds, or
        less often in a long video. An animation, whose length is known only at its end, gives
        between half of ``max_frames_looked_at`` and all when it is long.

    Raises:
        InvalidInput: no video, an unsupported format, damaged or truncated.
        PayloadTooLarge: over ``limits``.
        NotSupported: MP4 or MOV, and PyAV is not installed.
    """
    if len(data) > limits.max_bytes:
        raise PayloadTooLarge(f"video has {len(data)} bytes, at most {limits.max_bytes} are taken")
    if is_iso_media(data):
        return read_movie(data, limits)
    kind = sniff_format(data, "video", EXPECTED)
    clip = read_animation(data, kind, limits) if kind in ("GIF", "PNG", "WEBP") else None
    return clip or VideoClip(0.0, (_still(data, 0.0, limits),))


def frames_of(frames: Sequence[Frame], limits: VideoLimits) -> VideoClip:
    """Decode the frames that a client picked itself.

    Args:
        frames: pictures by ascending time, at least one; of an animation the first frame.
        limits: all of them together have at most ``max_bytes``.

    Returns:
        All frames with their own times. The last is taken to be visible as long as the others
        are on average; a single one for no time.

    Raises:
        InvalidInput: no frame, times that do not ascend, or a frame that is no picture.
        PayloadTooLarge: over ``limits``.
    """
    _check_list(frames, limits)
    kept = []
    for number, frame in enumerate(frames):
        try:
            kept.append(_still(frame.data, frame.time_s, limits))
        except ServingError as error:
            raise type(error)(f"frame {number}: {error.message}") from error
    first, last = frames[0].time_s, frames[-1].time_s
    return VideoClip(last + (last - first) / max(1, len(frames) - 1), tuple(kept))


def _check_list(frames: Sequence[Frame], limits: VideoLimits) -> None:
    if not frames:
        raise InvalidInput("frames is empty, expected at least one")
    if len(frames) > limits.max_frames_looked_at:
        raise PayloadTooLarge(
            f"{len(frames)} frames were sent, at most {limits.max_frames_looked_at} are taken"
        )
    size = sum(len(frame.data) for frame in frames)
    if size > limits.max_bytes:
        raise PayloadTooLarge(
            f"frames have {size} bytes together, at most {limits.max_bytes} are taken"
        )
    for number, frame in enumerate(frames):
        if not (math.isfinite(frame.time_s) and 0 <= frame.time_s <= limits.max_duration_s):
            raise InvalidInput(
                f"frame {number} has time {frame.time_s:g} s, "
                f"expected 0 to {limits.max_duration_s:g}"
            )
    for number, (one, other) in enumerate(itertools.pairwise(frames), 1):
        if other.time_s <= one.time_s:
            raise InvalidInput(
                f"frame {number} has time {other.time_s:g} s after {one.time_s:g} s, "
                "expected ascending times"
            )


def _still(data: bytes, time_s: float, limits: VideoLimits) -> VideoFrame:
    within = ImageLimits(max_pixels=limits.max_pixels, max_bytes=limits.max_bytes)
    picture = decode_image(data, within).convert("RGB")
    return VideoFrame(time_s, reduce_picture(picture, limits))
