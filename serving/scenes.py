"""Parts a video into scenes: stretches in which the frames look alike.

Frames are compared by what is left when detail is taken away: means of 8 x 8 fields. Noise, small
motion and compression disappear in them, a cut does not. Neighbours that look most alike are
joined first, until no two neighbouring scenes are near each other: clustering with the order of
time as a constraint (Ward's "minimum variance" criterion is left out: long scenes should not
repel each other). Compared with a threshold between successive frames (Zhang, Kankanhalli and
Smoliar, "Automatic partitioning of full-motion video", 1993, section 3), this also parts a slow
fade in two, since the means of its halves are far apart, and it can go on until few are left.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from serving.video_frames import VideoFrame

Floats = npt.NDArray[np.float32]

FIELDS = 8
"""Of the picture, each way."""

THRESHOLD = 0.10
"""Neighbouring scenes nearer than this are one."""

MAX_SCENES = 16


@dataclass(frozen=True, slots=True)
class SceneSpan:
    """A part of a video in which little changes."""

    start_s: float
    end_s: float
    """Seconds. The next scene begins where this one ends."""
    frame: VideoFrame
    """The frame nearest to the middle."""


@dataclass(slots=True)
class _Group:
    """Frames ``first`` to ``last`` and the mean of their signatures."""

    first: int
    last: int
    mean: Floats


def find_scenes(
    frames: Sequence[VideoFrame],
    duration_s: float | None = None,
    *,
    max_scenes: int = MAX_SCENES,
    threshold: float = THRESHOLD,
) -> list[SceneSpan]:
    """Part a video into scenes.

    Args:
        frames: at least one, by ascending time.
        duration_s: when the last frame disappears; None: when it appears.
        max_scenes: at least 1. If there are more, those most alike are joined further.
        threshold: of the distance, see ``distance``.

    Returns:
        Scenes that adjoin, from the first frame's time to ``duration_s``.
    """
    groups = [_Group(i, i, signature(frame.picture)) for i, frame in enumerate(frames)]
    while len(groups) > 1:
        gaps = [distance(a.mean, b.mean) for a, b in itertools.pairwise(groups)]
        nearest = int(np.argmin(gaps))
        if gaps[nearest] >= threshold and len(groups) <= max_scenes:
            break
        groups[nearest : nearest + 2] = [_joined(*groups[nearest : nearest + 2])]
    starts = [frames[group.first].time_s for group in groups]
    end_s = max(frames[-1].time_s, duration_s or 0.0)
    return [
        SceneSpan(start, end, _middle(frames[group.first : group.last + 1], (start + end) / 2))
        for group, start, end in zip(groups, starts, [*starts[1:], end_s], strict=True)
    ]


def signature(picture: Image.Image) -> Floats:
    """Mean colours of the fields of a picture: [FIELDS, FIELDS, 3], RGB, 0..1."""
    small = picture.convert("RGB").resize((FIELDS, FIELDS), Image.Resampling.BOX)
    return np.asarray(small, np.float32) / np.float32(255)


def distance(one: Floats, other: Floats) -> float:
    """Mean absolute difference of two signatures, 0 (equal) to 1 (black and white)."""
    return float(np.abs(one - other).mean())


def _joined(one: _Group, other: _Group) -> _Group:
    left, right = one.last - one.first + 1, other.last - other.first + 1
    share = np.float32(left / (left + right))
    mean = one.mean * share + other.mean * (1 - share)
    return _Group(one.first, other.last, mean)


def _middle(frames: Sequence[VideoFrame], time_s: float) -> VideoFrame:
    return min(frames, key=lambda frame: abs(frame.time_s - time_s))
