"""What is kept of a video: a few frames, evenly spread, reduced, within limits."""

import math
import time
from dataclasses import dataclass, field

from PIL import Image

from quartet.config import ConfigError
from serving.errors import PayloadTooLarge

_ROUNDING_S = 1e-6
"""Times are sums of the file's fractions of a second; a grid point is not missed by less."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoLimits:
    """What one video may be, and how much of it is looked at. All are > 0."""

    max_bytes: int = 64 * 1024 * 1024
    """Size of the encoded file, or of all frames that a client sends, bytes."""
    max_duration_s: float = 600.0
    """Length of the video, seconds."""
    max_frames_looked_at: int = 64
    """Frames that are kept. A longer video is looked at less often; of a client's own frames no
    more may be sent."""
    max_pixels: int = 4096 * 2304
    """Width times height of a frame: the largest of H.264 level 5.1 (ITU-T H.264, table A-1,
    36,864 macroblocks of 16 x 16). A decoder holds up to 17 such frames of 1.5 to 3 bytes a
    pixel."""
    frames_per_s: float = 2.0
    """Frames kept of each second while the video is short enough for it."""
    kept_pixels: int = 640 * 480
    """Larger frames are reduced to this many pixels: 3 bytes each, for every frame kept."""
    max_decode_s: float = 30.0
    """Processor time that reading one video may take, seconds, looked at after every frame. Time
    on the clock would refuse a harmless video on a busy machine."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ConfigError(f"{name} must be a number > 0, got {value}")


@dataclass(frozen=True, slots=True)
class VideoFrame:
    """One frame, decoded."""

    time_s: float
    """When it appears, seconds from the first frame of the file."""
    picture: Image.Image
    """Mode RGB, upright, without transparency, at most ``VideoLimits.kept_pixels`` large."""


@dataclass(frozen=True, slots=True)
class VideoClip:
    """What was looked at of one video."""

    duration_s: float
    """When its last frame disappears, seconds; 0 for a single picture."""
    frames: tuple[VideoFrame, ...]
    """At least one, by ascending time."""


@dataclass(slots=True)
class DecodeClock:
    """Stops the reading of a video that takes too long.

    It measures the thread that made it: decoders are told to use no threads of their own.
    """

    limit_s: float
    start: float = field(default_factory=time.thread_time)

    def check(self) -> None:
        """Raise PayloadTooLarge if the time is over."""
        if time.thread_time() - self.start > self.limit_s:
            raise PayloadTooLarge(
                f"video takes more than {self.limit_s:g} s of processor time to decode; expected "
                "a shorter one, or one of fewer pixels"
            )


class FrameSampler:
    """Keeps the frames that are visible at evenly spaced times, at most a given number.

    Where the length is not known beforehand, the spacing doubles whenever there are too many:
    frames held stay few however long the video turns out to be.
    """

    def __init__(self, limits: VideoLimits, duration_s: float | None = None) -> None:
        """Start empty.

        Args:
            limits: of the video.
            duration_s: its length, if it is known.
        """
        if duration_s is not None:
            check_duration(duration_s, limits)
        self._limits = limits
        # One less than the limit: a last frame a little after the end still finds a place.
        intervals = max(1, limits.max_frames_looked_at - 1)
        self._spacing = max(1 / limits.frames_per_s, (duration_s or 0.0) / intervals)
        self._kept: list[tuple[float, VideoFrame]] = []
        self.next_s = 0.0
        """The next time whose frame is wanted, seconds."""
        self.end_s = 0.0
        """When the last frame seen disappears, seconds."""

    def wants(self, end_s: float) -> bool:
        """Whether to ``add`` the frame that disappears at ``end_s``, later than all before.

        Raises:
            PayloadTooLarge: the video turns out to be too long.
        """
        check_duration(end_s, self._limits)
        self.end_s = max(self.end_s, end_s)
        return end_s > self.next_s + _ROUNDING_S

    def add(self, frame: VideoFrame, end_s: float) -> None:
        """Keep a frame that ``wants`` accepted."""
        self._kept.append((end_s, frame))
        self.next_s = self._grid(end_s)
        while len(self._kept) > self._limits.max_frames_looked_at:
            self._thin()

    def clip(self, duration_s: float | None = None) -> VideoClip:
        """All that was kept; the length is what was seen, or ``duration_s`` if that is more."""
        duration_s = max(self.end_s, duration_s or 0.0)
        return VideoClip(duration_s, tuple(frame for _, frame in self._kept))

    def _grid(self, time_s: float) -> float:
        """The first grid point that is not before ``time_s``."""
        return math.ceil((time_s - _ROUNDING_S) / self._spacing) * self._spacing

    def _thin(self) -> None:
        self._spacing *= 2
        kept, self._kept, self.next_s = self._kept, [], 0.0
        for end_s, frame in kept:
            if end_s > self.next_s + _ROUNDING_S:
                self._kept.append((end_s, frame))
                self.next_s = self._grid(end_s)


def check_duration(duration_s: float, limits: VideoLimits) -> None:
    """Raise PayloadTooLarge if a video of this length is over ``limits``."""
    if duration_s > limits.max_duration_s:
        raise PayloadTooLarge(
            f"video lasts {duration_s:.6g} s, at most {limits.max_duration_s:g} s are taken"
        )


def kept_size(width: float, height: float, limits: VideoLimits) -> tuple[int, int]:
    """Width and height to reduce a picture to: the same shape, ``kept_pixels`` at most."""
    scale = min(1.0, math.sqrt(limits.kept_pixels / (width * height)))
    # A strip one pixel thin cannot keep its shape; it must keep to the limit.
    columns = min(max(1, math.floor(width * scale)), limits.kept_pixels)
    rows = min(max(1, math.floor(height * scale)), limits.kept_pixels // columns)
    return columns, max(1, rows)


def reduce_picture(picture: Image.Image, limits: VideoLimits) -> Image.Image:
    """Bring a picture to ``kept_size``; one that is small enough comes back as it is."""
    size = kept_size(*picture.size, limits)
    if size == picture.size:
        return picture
    return picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
