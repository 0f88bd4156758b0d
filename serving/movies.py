"""Reads MP4 and MOV with PyAV (FFmpeg), which is an optional dependency.

FFmpeg opens no other container than the one named here, no file but the bytes it is given, and
none but a few common decoders; frames larger than the limit are refused inside the decoder.
"""

import io
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from PIL import Image

from serving.errors import InvalidInput, NotSupported, PayloadTooLarge
from serving.iso_media import check_boxes
from serving.video_frames import (
    DecodeClock,
    FrameSampler,
    VideoClip,
    VideoFrame,
    VideoLimits,
    kept_size,
)

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

CODECS = ("h264", "hevc", "mpeg4", "vp9", "av1", "libdav1d", "mjpeg")
"""FFmpeg's names of the decoders that are reachable."""

_FLATTEST = 8.0
"""Width of a pixel over its height; beyond, the file is wrong and pixels are taken as square."""

_TURNS = {
    1: Image.Transpose.ROTATE_90,
    2: Image.Transpose.ROTATE_180,
    3: Image.Transpose.ROTATE_270,
}

_DAMAGE = (OSError, ValueError, TypeError, ArithmeticError, LookupError, RuntimeError, EOFError)
"""What PyAV raises on damaged files besides its FFmpegError (which inherits from some of them)."""


def read_movie(data: bytes, limits: VideoLimits) -> VideoClip:
    """Look at an MP4 or MOV file.

    Args:
        data: the file.
        limits: of the video.

    Returns:
        The frames looked at: turned as the file says, square pixels.

    Raises:
        InvalidInput: damaged, truncated, without a picture track, or of a codec that is not read.
        PayloadTooLarge: over ``limits``.
        NotSupported: PyAV is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise NotSupported(
            "this server reads no MP4: PyAV is missing, pip install 'quartet[video]'; "
            "expected an animated GIF, WebP or PNG file, or single frames"
        ) from error
    check_boxes(data)
    try:
        with _open(data) as container:
            return _Movie(container, limits).read()
    except MemoryError as error:
        raise PayloadTooLarge("video is too large to decode") from error
    except (av.error.FFmpegError, *_DAMAGE) as error:
        raise InvalidInput(
            f"video is a damaged or truncated MP4 file ({len(data)} bytes): "
            f"{_reason(error)}; expected a whole one"
        ) from error


def _open(data: bytes) -> "InputContainer":
    import av

    return av.open(
        io.BytesIO(data),
        mode="r",
        format="mov",
        options={"threads": "1"},
        metadata_errors="replace",
    )


class _Movie:
    """One pass over the picture track of an open file."""

    def __init__(self, container: "InputContainer", limits: VideoLimits) -> None:
        self._container = container
        self._limits = limits
        self._stream = _picture_track(container)
        self._time_base = self._stream.time_base or Fraction(1, 1000)
        self._position = -(2**63)
        """The latest decoding time stamp of a packet taken, in units of the time base."""
        _prepare(self._stream, limits)

    def read(self) -> VideoClip:
        duration_s = self._duration_s()
        clock = DecodeClock(self._limits.max_decode_s)
        sampler = FrameSampler(self._limits, duration_s)
        first: float | None = None
        for frame in self._frames(sampler, clock):
            if frame.time is None:
                continue
            first = frame.time if first is None else first
            start = max(0.0, frame.time - first)
            end = start + self._shown_s(frame)
            if sampler.wants(end):
                sampler.add(VideoFrame(start, self._picture(frame)), end)
        clip = sampler.clip(duration_s)
        if not clip.frames:
            raise InvalidInput("video holds no frame that can be decoded")
        return clip

    def _duration_s(self) -> float | None:
        """What the file says."""
        if self._stream.duration is not None:
            return float(self._stream.duration * self._time_base)
        return None if self._container.duration is None else self._container.duration / 1e6

    def _frames(self, sampler: FrameSampler, clock: DecodeClock) -> Iterator[Any]:
        """Frames by ascending time, leaving out those between two that are wanted if possible."""
        more = True
        while more:
            more = False
            for packet in self._container.demux(self._stream):
                clock.check()
                self._position = max(self._position, packet.dts or self._position)
                yield from packet.decode()
                if self._skip_to(sampler.next_s):
                    more = True
                    break

    def _skip_to(self, time_s: float) -> bool:
        """Jump to the last key frame before ``time_s``, if that is ahead; whether it was done."""
        start = self._stream.start_time or 0
        target = start + int(time_s / self._time_base)
        entries = self._stream.index_entries
        number = entries.search_timestamp(target)
        if number < 0 or entries[number].timestamp <= self._position:
            return False
        # A damaged index may lead back; no key frame is gone to twice.
        self._position = entries[number].timestamp
        self._container.seek(target, stream=self._stream)
        return True

    def _shown_s(self, frame: Any) -> float:
        if frame.duration:
            return float(frame.duration * self._time_base)
        rate = self._stream.average_rate
        return float(1 / rate) if rate else 0.04

    def _picture(self, frame: Any) -> Image.Image:
        shape = float(self._stream.sample_aspect_ratio or 1)
        shape = shape if 1 / _FLATTEST <= shape <= _FLATTEST else 1.0
        width, height = kept_size(frame.width * shape, frame.height, self._limits)
        picture: Image.Image = frame.reformat(
            width=width, height=height, format="rgb24", interpolation="AREA", threads=1
        ).to_image()
        # By quarters: what phones write. `rotation` is counterclockwise, as Pillow has it.
        turns = round(frame.rotation / 90) % 4
        return picture if turns == 0 else picture.transpose(_TURNS[turns])


def _picture_track(container: "InputContainer") -> "VideoStream":
    import av

    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic:
            return stream
    raise InvalidInput("video has no picture track, expected one")


def _prepare(stream: "VideoStream", limits: VideoLimits) -> None:
    """Check what the header says, and hold the decoder to the limits."""
    context = stream.codec_context
    if context is None or context.name not in CODECS:
        name = "unknown" if context is None else context.name
        raise InvalidInput(
            f"video codec {name} is not read, expected H.264, H.265, MPEG-4, VP9, AV1 or MJPEG"
        )
    if context.width * context.height > limits.max_pixels:
        raise PayloadTooLarge(
            f"video has {context.width} x {context.height} = {context.width * context.height} "
            f"pixels a frame, at most {limits.max_pixels} are taken"
        )
    # A stream may change its size on the way; FFmpeg then refuses the larger frames itself.
    context.options = {"max_pixels": str(limits.max_pixels)}
    context.thread_count = 1


def _reason(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).splitlines()[0][:200]
