"""Finds the ink of one digit in a photo or drawing: what is written, without paper and light.

A drawing's background is one grey level. In a photo the light is uneven: a quadratic surface is
fitted to all but the ink, and what is left but too broad for a stroke (shadows, the table beside
the paper) is taken away by a morphological opening ("top-hat": Serra, Image Analysis and
Mathematical Morphology, 1982). The threshold is Otsu's ("A Threshold Selection Method from
Gray-Level Histograms", IEEE Trans. SMC 9(1), 1979), but never inside the noise; parts too small
for, or too far from, the digit are dropped.

Axes: H rows and W columns of the picture; y, x and P rows, columns and all pixels of a thumbnail
of it; C coefficients of the surface.
"""

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from serving.components import label_components

WORKING_SIDE = 512
"""Larger pictures are averaged down to this longest side first, pixels. A digit may then be a
tenth of the picture and still have more pixels than MNIST's."""
_FIT_SIDE = 48
"""Longest side of the thumbnail on which the background is estimated, pixels."""
_FIT_STEPS = 8
"""Least-squares steps of the surface; half of them on the outer ring."""
_BROADEST_STROKE = 9
"""What is broader than this in every direction, in pixels of the thumbnail, is no stroke. Odd."""
_MIN_CONTRAST = 12.0
"""Fainter ink than this, in grey levels of 0..255, counts as none: JPEG artefacts reach 10."""
_NOISE_SIGMAS = 4.0
"""Ink must stand this many standard deviations of the background's noise out of it."""
_SPECK = 0.04
"""A part with less than this share of the main part's ink is no part of the digit."""

Grey = npt.NDArray[np.uint8]
Real = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


def find_ink(grey_HW: Grey) -> tuple[Real, Mask]:
    """Find the digit's strokes, whether dark on light or light on dark.

    Args:
        grey_HW: uint8 [H, W], any size.

    Returns:
        float32 [h, w], how far each pixel stands out of the background, in grey levels, >= 0, of
        the picture averaged down to at most WORKING_SIDE; and bool [h, w], true on the digit.
    """
    grey_HW = _reduced(grey_HW)
    level = _canvas_level(grey_HW)
    drawn = level is not None
    if level is not None:
        ink_HW = _inked_side_up(grey_HW.astype(np.float32) - level)[0]
        noise = 0.0
    else:
        ink_HW = _without_light(grey_HW)
        noise = 1.4826 * float(np.median(np.abs(ink_HW[::2, ::2])))
    ink_HW = np.maximum(ink_HW, 0)
    mask_HW = _above_threshold(ink_HW, noise)
    labels_HW, count = label_components(mask_HW)
    if count > 1:
        mask_HW = _kept_parts(labels_HW, ink_HW, count, framed_by_ink=drawn)[labels_HW]
    return ink_HW, mask_HW


def _reduced(grey_HW: Grey) -> Grey:
    """Average down to WORKING_SIDE by a whole factor: fast, and noise falls with it."""
    factor = -(-max(grey_HW.shape) // WORKING_SIDE)
    if factor == 1:
        return grey_HW
    return np.asarray(Image.fromarray(grey_HW).reduce(factor))


def _canvas_level(grey_HW: Grey) -> float | None:
    """The background's grey level if the picture was drawn, not photographed; else None.

    Then one level, give or take one, holds half of the edge and a quarter of the picture, in
    spite of ink that touches the edge.
    """
    edge = np.concatenate([grey_HW[0], grey_HW[-1], grey_HW[:, 0], grey_HW[:, -1]])
    level = int(np.bincount(edge, minlength=256).argmax())
    near_edge = np.abs(edge.astype(np.int16) - level) <= 1
    near = np.abs(grey_HW.astype(np.int16) - level) <= 1
    return float(level) if near_edge.mean() >= 0.5 and near.mean() >= 0.25 else None


def _inked_side_up(difference_HW: Real) -> tuple[Real, int]:
    """Turn the sign so that ink is positive; and the sign, 1 or -1.

    Noise is even, ink is one-sided and far from the background: the third moment tells its side.
    """
    sign = -1 if float(np.vdot(difference_HW * difference_HW, difference_HW)) < 0 else 1
    return difference_HW * sign, sign


def _without_light(grey_HW: Grey) -> Real:
    """How far each pixel stands out of the lighting, ink positive, noise around zero."""
    height, width = grey_HW.shape
    factor = min(1.0, _FIT_SIDE / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    thumb = Image.fromarray(grey_HW).resize(size, Image.Resampling.BOX)
    thumb_yx = np.asarray(thumb, np.float32)
    surface_yx = _surface(thumb_yx)
    ink_HW, sign = _inked_side_up(grey_HW - _enlarged(surface_yx, grey_HW.shape))
    return ink_HW - _enlarged(_broad((thumb_yx - surface_yx) * sign), grey_HW.shape)


def _enlarged(thumb_yx: Real, shape: tuple[int, ...]) -> Real:
    image = Image.fromarray(thumb_yx)
    return np.asarray(image.resize((shape[1], shape[0]), Image.Resampling.BILINEAR))


def _broad(ink_yx: Real) -> Real:
    """The part of ``ink_yx`` that no stroke is broad enough for, >= 0."""
    image = Image.fromarray(np.maximum(ink_yx, 0))
    eroded = image.filter(ImageFilter.MinFilter(_BROADEST_STROKE))
    # Grown by a little more than was eroded, for the rims of round shapes; and a pixel beyond the
    # shape itself, for its edge, which the thumbnail has blurred.
    opened = eroded.filter(ImageFilter.MaxFilter(_BROADEST_STROKE + 4))
    reach = image.filter(ImageFilter.MaxFilter(3))
    broad: Real = np.minimum(np.asarray(opened), np.asarray(reach))
    return broad


def _surface(thumb_yx: Real) -> Real:
    """Fit a quadratic surface to the paper's lighting, blind to the ink.

    Iterated least squares with Tukey's biweight, which gives outliers no weight; it starts from
    the outer ring alone, where there is little ink.
    """
    value_P = thumb_yx.ravel().astype(np.float64)
    term_CP = _terms(thumb_yx.shape)
    ring_P = _ring(thumb_yx.shape).ravel()
    surface_C = np.zeros(len(term_CP))
    surface_C[0] = np.median(value_P[ring_P])
    for step in range(_FIT_STEPS):
        within_P = ring_P if step < _FIT_STEPS // 2 else np.ones_like(ring_P)
        residual_P = value_P - surface_C @ term_CP
        spread = 1.4826 * float(np.median(np.abs(residual_P[within_P])))
        share_P = residual_P / (4.685 * max(spread, 2.0))
        weighted_CP = term_CP * (within_P * np.square(np.maximum(1 - share_P**2, 0)))
        # The small ridge keeps the surface where too few pixels have weight to tell it.
        normal_CC = weighted_CP @ term_CP.T + 1e-3 * np.eye(len(term_CP))
        surface_C += np.linalg.solve(normal_CC, weighted_CP @ residual_P)
    return (surface_C @ term_CP).reshape(thumb_yx.shape).astype(np.float32)


def _terms(shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """1, y, x, y^2, x^2 and xy at the pixels' centres, y and x in -1..1: [C, P]."""
    y, x = (
        ((index + 0.5) * 2 / size - 1) for index, size in zip(np.indices(shape), shape, strict=True)
    )
    return np.stack([np.ones(shape), y, x, y * y, x * x, y * x]).reshape(6, -1)


def _ring(shape: tuple[int, ...]) -> Mask:
    """True within an eighth of the sides' lengths of the edge."""
    height, width = shape
    ring_yx = np.ones(shape, np.bool_)
    ring_yx[height // 8 + 1 : -(height // 8) - 1, width // 8 + 1 : -(width // 8) - 1] = False
    return ring_yx


def _above_threshold(ink_HW: Real, noise: float) -> Mask:
    """True where ink stands out; ``noise``: standard deviation, grey levels."""
    floor = max(_NOISE_SIGMAS * noise, _MIN_CONTRAST)
    smooth_HW = ink_HW
    if noise > 1:
        image = Image.fromarray(ink_HW.astype(np.uint8))
        smooth_HW = np.asarray(image.filter(ImageFilter.BoxBlur(1)), np.float32)
    above_HW = np.where(smooth_HW > floor, smooth_HW, np.float32(0))
    mask: Mask = above_HW > max(_otsu(above_HW), floor)
    return mask


def _otsu(ink_HW: Real) -> float:
    """Otsu's threshold: the grey level that parts the two classes of the largest variance."""
    count = np.bincount(ink_HW.astype(np.uint8).ravel(), minlength=256).astype(np.float64)
    below = np.cumsum(count)
    sum_below = np.cumsum(count * np.arange(256))
    above, sum_above = below[-1] - below, sum_below[-1] - sum_below
    gap = sum_below / np.maximum(below, 1) - sum_above / np.maximum(above, 1)
    variance = below * above * gap**2
    # A gap in the histogram gives a plateau; its middle is the threshold.
    return float(np.flatnonzero(variance >= variance.max() * (1 - 1e-12)).mean())


def _kept_parts(
    labels_HW: npt.NDArray[np.int32], ink_HW: Real, count: int, *, framed_by_ink: bool
) -> Mask:
    """Which labels (0..count) belong to the digit: bool [count + 1].

    In a photo a part along the edge is the table beside the paper, if there is another part; a
    drawing's ink may run along the edge (``framed_by_ink``).
    """
    mass = np.bincount(labels_HW.ravel(), ink_HW.ravel(), count + 1)
    mass[0] = 0
    if not framed_by_ink:
        edges = (labels_HW[0], labels_HW[-1], labels_HW[:, 0], labels_HW[:, -1])
        along = sum(np.bincount(edge, minlength=count + 1) for edge in edges)
        inner = np.where(along * 3 > min(labels_HW.shape), 0, mass)
        mass = inner if inner.max() > _SPECK * mass.max() else mass
    main = int(mass.argmax())
    heavy: Mask = mass >= _SPECK * mass[main]
    return _near(np.where(heavy[labels_HW], labels_HW, 0), main, count)


def _near(labels_HW: npt.NDArray[np.int32], main: int, count: int) -> Mask:
    """Which labels reach the box around ``main``, widened by a third of its side: [count + 1].

    The box grows to what reaches it, until nothing more does.
    """
    rows, columns = labels_HW.nonzero()
    part = labels_HW[rows, columns]
    low = np.full((count + 1, 2), max(labels_HW.shape))
    high = np.full((count + 1, 2), -1)
    np.minimum.at(low, part, np.stack([rows, columns], axis=1))
    np.maximum.at(high, part, np.stack([rows, columns], axis=1))
    near: Mask = np.arange(count + 1) == main
    while True:
        top_left, bottom_right = low[near].min(axis=0), high[near].max(axis=0)
        reach = (bottom_right - top_left).max() // 3 + 2
        before: Mask = near
        near = np.all((high >= top_left - reach) & (low <= bottom_right + reach), axis=1)
        if np.array_equal(near, before):
            return before
