"""Parts a video into scenes: stretches in which the frames look alike.

A frame's signature is what is left when detail is taken away: the mean colours of 8 x 8 fields,
which tell where what is, and a histogram of 4 x 4 x 4 colours, which stays the same when
something moves (Swain and Ballard, "Color Indexing", 1991, equation 2). Neighbours that look most
alike are joined first, until no two neighbouring scenes are near each other. Compared with a
threshold between successive frames (Zhang, Kankanhalli and Smoliar, "Automatic partitioning of
full-motion video", 1993, section 3), this parts two shots as well that fade slowly into each
other, and it can go on until few scenes are left.
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

LEVELS = 4
"""Of each channel in the histogram."""

HISTOGRAM_WEIGHT = 0.25
"""Of the histogram's share in the distance; that of the fields is 1."""

THRESHOLD = 0.235
"""Neighbouring scenes nearer than this are one. Measured on 300 photos of Flickr8k: 99 % of the
pairs of different photos are farther apart. Of a photo and the same one changed, as within a
scene, so are: with noise (sigma 20 of 255), another photo in 20 % of its area, moved by 10 % of its
width or enlarged by 10 to 25 %, none; moved by 20 %, 5 %; darker by 15 %, 4 %; by 30 %, half."""

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
    """What two pictures are compared by: [FIELDS² * 3 + LEVELS³], float32, see ``distance``."""
    small = picture.convert("RGB").resize((8 * FIELDS, 8 * FIELDS), Image.Resampling.BOX)
    pixels = np.asarray(small)
    fields = pixels.reshape(FIELDS, 8, FIELDS, 8, 3).mean((1, 3), dtype=np.float32) / 255
    level = pixels.astype(np.intp) * LEVELS // 256
    colour = (level[..., 0] * LEVELS + level[..., 1]) * LEVELS + level[..., 2]
    histogram = np.bincount(colour.ravel(), minlength=LEVELS**3) / colour.size
    weighted = histogram * (HISTOGRAM_WEIGHT / 2)
    return np.concatenate([fields.ravel() / fields.size, weighted]).astype(np.float32)


def distance(one: Floats, other: Floats) -> float:
    """How unlike two signatures are, 0 (equal) to 1.25 (black and white).

    The mean absolute difference of the fields, 0..1, and HISTOGRAM_WEIGHT times the share of
    pixels whose colour the other picture has not, 0..1.
    """
    return float(np.abs(one - other).sum())


def _joined(one: _Group, other: _Group) -> _Group:
    left, right = one.last - one.first + 1, other.last - other.first + 1
    share = np.float32(left / (left + right))
    mean = one.mean * share + other.mean * (1 - share)
    return _Group(one.first, other.last, mean)


def _middle(frames: Sequence[VideoFrame], time_s: float) -> VideoFrame:
    return min(frames, key=lambda frame: abs(frame.time_s - time_s))
