"""Arithmetic on the noise that pictures are made from. Row i of a result depends on row i alone.

Computed in float64 and rounded once, so that a picture does not depend on how rows are grouped.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.floating]
Latents = npt.NDArray[np.float32]
_Doubles = npt.NDArray[np.float64]

PARALLEL = 1e-6
"""Sine of an angle below which two directions count as one, or as opposite: there is no single
great circle through them, and the formula would divide by almost nothing."""


def slerp(start: Rows, end: Rows, share: npt.NDArray[np.float64]) -> Latents:
    """Points on the way from ``start`` to ``end``.

    Their direction moves along the great circle at constant speed (Shoemake 1985, "Animating
    rotation with quaternion curves", section 3.3; for latent spaces White 2016, "Sampling
    generative networks"), their length linearly. A straight line goes through normal noise of too
    small a length, which makes pale pictures. Between parallel points, and from a point of length
    0, it is a straight line.

    Args:
        start: [B, size].
        end: [B, size].
        share: of the way [B], 0 to 1; at 0 and 1 the result is exactly ``start`` and ``end``.

    Returns:
        float32 [B, size].
    """
    first, last = start.astype(np.float64), end.astype(np.float64)
    lengths = _lengths(first), _lengths(last)
    with np.errstate(invalid="ignore", divide="ignore"):
        from_direction, to_direction = first / lengths[0], last / lengths[1]
        cosine = np.clip((from_direction * to_direction).sum(axis=1, keepdims=True), -1.0, 1.0)
        angle, t = np.arccos(cosine), share[:, None]
        sine = np.sin(angle)
        around = (
            np.sin((1 - t) * angle) * from_direction + np.sin(t * angle) * to_direction
        ) / sine
    curved = around * (lengths[0] + t * (lengths[1] - lengths[0]))
    straight = first + t * (last - first)
    # Not <=: the sine is NaN where a length is 0.
    found = np.where(sine > PARALLEL, curved, straight)
    found = np.where(t == 0, first, np.where(t == 1, last, found))
    return found.astype(np.float32)


def path_shares(
    points: int, frames: int, *, closed: bool
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Where the frames of a way through ``points`` points lie.

    The points themselves are among the frames: point k is the frame nearest to its time, and those
    between two points are at equal distances.

    Args:
        points: >= 2.
        frames: in all, at least ``points``.
        closed: the way leads back to the first point, which is not repeated at the end.

    Returns:
        The point that each frame lies behind [frames], in 0 .. points - 1, and the share [frames]
        of the way from there to the next one, 0 to 1.
    """
    legs = points if closed else points - 1
    steps = frames if closed else frames - 1
    ends = np.array([(2 * leg * steps + legs) // (2 * legs) for leg in range(legs + 1)], np.int64)
    frame = np.arange(frames)
    leg = np.clip(np.searchsorted(ends, frame, side="right") - 1, 0, legs - 1)
    share = (frame - ends[leg]) / (ends[leg + 1] - ends[leg])
    return leg, share


def weighted_sum(weights: Sequence[float], points: Rows) -> Latents:
    """Sum of ``points`` [N, size] by ``weights``, over the root of the weights' squares' sum.

    Of independent standard normal points it is standard normal again.

    Returns:
        float32 [size].
    """
    # Scaled by the largest first: squares of huge or tiny weights would leave the range.
    relative = np.asarray(weights, np.float64) / max(map(abs, weights))
    total = np.zeros(points.shape[1], np.float64)
    for weight, point in zip(relative, points.astype(np.float64), strict=True):
        total += weight * point
    found: _Doubles = total / np.sqrt((relative * relative).sum())
    return found.astype(np.float32)


def move(z: Rows, step: Rows) -> Latents:
    """``z`` [B, size] plus ``step`` [size], each row scaled back to the length it had.

    A generator has learned from noise of about one length; longer noise makes garish pictures.
    """
    before = z.astype(np.float64)
    after = before + step
    lengths = _lengths(after)
    scale = np.divide(_lengths(before), lengths, out=np.zeros_like(lengths), where=lengths > 0)
    return (after * scale).astype(np.float32)


def _lengths(rows: _Doubles) -> _Doubles:
    """[B, 1]."""
    found: _Doubles = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
    return found
