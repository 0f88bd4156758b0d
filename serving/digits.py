"""A photo or a drawing of one digit, brought to the form of MNIST.

The form, after LeCun, Bottou, Bengio and Haffner, "Gradient-Based Learning Applied to Document
Recognition", Proc. IEEE 86(11), 1998, section III.A, and http://yann.lecun.com/exdb/mnist: light
ink on black; the digit scaled with its aspect ratio kept, with anti-aliasing, to fit a box of 20 x
20 pixels; that box moved in a field of 28 x 28 so that the centre of mass lies at the centre. In
the 70,000 published pictures the centre is pixel (14, 14), met to within half a pixel.

The way there for anything else: the lighting of the background is a quadratic surface fitted to
all but the ink, and subtracted; the threshold is Otsu's ("A Threshold Selection Method from
Gray-Level Histograms", IEEE Trans. SMC 9(1), 1979), but never inside the noise; connected parts
that are too small or too far from the digit are dropped.

Axes: H rows and W columns of the picture, P pixels of it, C coefficients of the surface.
"""

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from serving.components import label_components

FIELD = 28
"""Side of the result, pixels."""
BOX = 20
"""Longest side of the digit in it, pixels."""
CENTRE = 14
"""Row and column where the centre of mass is put."""
WORKING_SIDE = 512
"""Larger pictures are averaged down to this longest side first, pixels. A digit may then be a
tenth of the picture and still have more pixels than the result."""

_FIT_SIDE = 48
"""Longest side of the thumbnail that the background surface is fitted to, pixels."""
_FIT_STEPS = 8
"""Least-squares steps of that fit; half of them on the outer ring."""
_MIN_CONTRAST = 12.0
"""Fainter ink than this, in grey levels of 0..255, counts as none: JPEG artefacts reach 10."""
_NOISE_SIGMAS = 4.0
"""Ink must stand this many standard deviations of the background's noise out of it."""
_SPECK = 0.04
"""A part with less than this share of the main part's ink is no part of the digit."""
_DETAIL = 4
"""Strokes are measured and thickened on a grid this many times finer than the result."""
_MIN_STROKE = 1.8
"""Thinnest stroke, pixels of the result; thinner pens are thickened to it."""

Grey = npt.NDArray[np.uint8]
Real = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


def to_mnist_form(grey_HW: Grey) -> Grey:
    """Normalise a picture of one digit as MNIST's authors did.

    A picture that is in MNIST's form already comes back bit-equal (its negative: inverted), so
    test images sent as files score as they do as tensors.

    Args:
        grey_HW: uint8 [H, W], any size, dark on light or light on dark.

    Returns:
        uint8 [28, 28], ink 255 on background 0; all zero where no ink is found.
    """
    if grey_HW.shape == (FIELD, FIELD):
        upright = 255 - grey_HW if float(np.median(_border(grey_HW))) > 127 else grey_HW
        if _is_mnist_form(upright):
            return upright.copy()
    ink_HW, noise = _ink(_reduced(grey_HW))
    mask_HW = _digit_mask(ink_HW, noise)
    if not mask_HW.any():
        return np.zeros((FIELD, FIELD), np.uint8)
    return _centred(_boxed(ink_HW, mask_HW))


def _is_mnist_form(grey_HW: Grey) -> bool:
    """Whether box, centre of mass and range are MNIST's; true of all its 70,000 pictures."""
    rows, columns = _extent(grey_HW > 0)
    if not rows.size or int(grey_HW.max()) < 254:
        return False
    side = max(int(np.ptp(rows)), int(np.ptp(columns))) + 1
    corners = grey_HW[:: FIELD - 1, :: FIELD - 1]
    off_centre = max(abs(moment - CENTRE) for moment in _centre_of_mass(grey_HW))
    return side in (BOX - 1, BOX) and not corners.any() and off_centre < 0.53


def _extent(mask_HW: Mask) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Rows and columns that hold a true pixel, ascending."""
    return np.flatnonzero(np.any(mask_HW, axis=1)), np.flatnonzero(np.any(mask_HW, axis=0))


def _centre_of_mass(grey_HW: Grey) -> tuple[float, float]:
    """Row and column of the mean of the grey values' distribution."""
    total = float(grey_HW.sum())
    row = float(grey_HW.sum(axis=1) @ np.arange(grey_HW.shape[0])) / total
    column = float(grey_HW.sum(axis=0) @ np.arange(grey_HW.shape[1])) / total
    return row, column


def _border(grey_HW: Grey) -> Grey:
    """The outermost pixels, each once or (corners) twice."""
    return np.concatenate([grey_HW[0], grey_HW[-1], grey_HW[:, 0], grey_HW[:, -1]])


def _reduced(grey_HW: Grey) -> Grey:
    """Average down to WORKING_SIDE by a whole factor: fast, and noise falls with it."""
    factor = -(-max(grey_HW.shape) // WORKING_SIDE)
    if factor == 1:
        return grey_HW
    return np.asarray(Image.fromarray(grey_HW).reduce(factor))


def _ink(grey_HW: Grey) -> tuple[Real, float]:
    """Take the background away.

    Returns:
        float32 [H, W], how far the ink stands out of the background, in grey levels, >= 0; and the
        standard deviation of the background's noise, in grey levels.
    """
    difference_HW = grey_HW.astype(np.float32) - _background(grey_HW)
    # Noise is even, ink is one-sided and far from the surface: the third moment tells its side.
    if float(np.sum(difference_HW**3, dtype=np.float64)) < 0:
        difference_HW = -difference_HW
    noise = 1.4826 * float(np.median(np.abs(difference_HW)))
    return np.maximum(difference_HW, 0), noise


def _background(grey_HW: Grey) -> Real:
    """Fit the paper's lighting: a quadratic surface, blind to the ink.

    Iterated least squares with Tukey's biweight, which gives outliers no weight; it starts from
    the outer ring alone, where there is little ink.
    """
    thumb_HW = _thumbnail(grey_HW)
    value_P = thumb_HW.ravel()
    term_CP = np.stack([term.ravel() for term in _terms(thumb_HW.shape)])
    ring_P = _ring(thumb_HW.shape).ravel()
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
    surface_HW = np.zeros(grey_HW.shape)
    for coefficient, term_HW in zip(surface_C, _terms(grey_HW.shape), strict=True):
        surface_HW += coefficient * term_HW
    return surface_HW.astype(np.float32)


def _thumbnail(grey_HW: Grey) -> npt.NDArray[np.float64]:
    """Average down to at most _FIT_SIDE on the longest side."""
    factor = -(-max(grey_HW.shape) // _FIT_SIDE)
    image = Image.fromarray(grey_HW)
    return np.asarray(image.reduce(factor) if factor > 1 else image, np.float64)


def _terms(shape: tuple[int, ...]) -> tuple[npt.NDArray[np.float64], ...]:
    """1, y, x, y^2, x^2 and xy on the picture's pixels, y and x in -1..1, each [H, W]."""
    y_HW = np.broadcast_to(((np.arange(shape[0]) + 0.5) * 2 / shape[0] - 1)[:, None], shape)
    x_HW = np.broadcast_to((np.arange(shape[1]) + 0.5) * 2 / shape[1] - 1, shape)
    return np.ones(shape), y_HW, x_HW, y_HW**2, x_HW**2, y_HW * x_HW


def _ring(shape: tuple[int, ...]) -> Mask:
    """True within an eighth of the sides' lengths of the edge."""
    height, width = shape
    ring_HW = np.ones(shape, np.bool_)
    ring_HW[height // 8 + 1 : -(height // 8) - 1, width // 8 + 1 : -(width // 8) - 1] = False
    return ring_HW


def _digit_mask(ink_HW: Real, noise: float) -> Mask:
    """True on the digit: ink above the threshold, without specks and the edges of the paper."""
    floor = max(_NOISE_SIGMAS * noise, _MIN_CONTRAST)
    smooth_HW = ink_HW
    if noise > 1:
        blurred = Image.fromarray(ink_HW.astype(np.uint8)).filter(ImageFilter.BoxBlur(1))
        smooth_HW = np.asarray(blurred, np.float32)
    above_HW = np.where(smooth_HW > floor, smooth_HW, 0)
    mask_HW: Mask = above_HW > max(_otsu(above_HW), floor)
    labels_HW, count = label_components(mask_HW)
    if count < 2:
        return mask_HW
    return _kept_parts(labels_HW, ink_HW, count)[labels_HW]


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


def _kept_parts(labels_HW: npt.NDArray[np.int32], ink_HW: Real, count: int) -> Mask:
    """Which labels (0..count) belong to the digit: bool [count + 1]."""
    mass = np.bincount(labels_HW.ravel(), ink_HW.ravel(), count + 1)
    mass[0] = 0
    corners = np.unique(labels_HW[:: labels_HW.shape[0] - 1, :: labels_HW.shape[1] - 1])
    framed = np.isin(np.arange(count + 1), corners)
    # A part in a corner of the picture is the table beside the paper if there is another.
    inner = np.where(framed, 0, mass)
    if inner.max() > _SPECK * mass.max():
        mass = inner
    main = int(mass.argmax())
    heavy: Mask = mass >= _SPECK * mass[main]
    return heavy & _near(labels_HW, main, count)


def _near(labels_HW: npt.NDArray[np.int32], main: int, count: int) -> Mask:
    """Which labels reach into the main part's bounding box, widened by a third of its side."""
    rows, columns = (labels_HW == main).nonzero()
    reach = max(int(np.ptp(rows)), int(np.ptp(columns))) // 3 + 2
    near = np.zeros(count + 1, np.bool_)
    top, left = max(rows.min() - reach, 0), max(columns.min() - reach, 0)
    near[labels_HW[top : rows.max() + reach, left : columns.max() + reach]] = True
    near[0] = False
    return near


def _boxed(ink_HW: Real, mask_HW: Mask) -> Grey:
    """Cut the digit out and scale it into the box: uint8 [h, w], the longer side 20, peak 255."""
    level = max(float(np.percentile(ink_HW[mask_HW], 80)), 1.0)
    # One pixel around the mask holds the other half of the strokes' soft edges.
    edge_HW = np.asarray(Image.fromarray(mask_HW).convert("L").filter(ImageFilter.MaxFilter(3)))
    clean_HW = np.clip(ink_HW * (255 / level), 0, 255) * (edge_HW > 0)
    rows, columns = _extent(mask_HW)
    cut = clean_HW[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    digit = Image.fromarray(cut.astype(np.uint8))
    if max(digit.size) > BOX:
        digit = _thickened(_scaled(digit, BOX * _DETAIL))
    box = np.asarray(_scaled(digit, BOX), np.float32)
    bright: Grey = np.round(box * (255 / box.max())).astype(np.uint8)
    return bright


def _thickened(digit: Image.Image) -> Image.Image:
    """Give a thin pen's strokes the width of MNIST's thinnest."""
    kept = np.asarray(digit.filter(ImageFilter.MinFilter(3)), np.float64).sum()
    total = np.asarray(digit, np.float64).sum()
    # Erosion takes a pixel from both sides of a stroke: of w pixels' width, 2 / w of its area.
    width = 2 / max(1 - kept / total, 1e-3)
    missing = _MIN_STROKE * _DETAIL - width
    grow = 2 * round(missing / 2) + 1
    return digit.filter(ImageFilter.MaxFilter(grow)) if grow > 1 else digit


def _scaled(digit: Image.Image, side: int) -> Image.Image:
    """Resize to ``side`` pixels on the longer side, keeping the aspect ratio, antialiased."""
    factor = side / max(digit.size)
    size = (max(1, round(digit.width * factor)), max(1, round(digit.height * factor)))
    return digit.resize(size, Image.Resampling.HAMMING)


def _centred(digit_HW: Grey) -> Grey:
    """Put the box into the field by its centre of mass, whole pixels, never cut."""
    field = np.zeros((FIELD, FIELD), np.uint8)
    top, left = (
        min(max(round(CENTRE - moment), 0), FIELD - size)
        for moment, size in zip(_centre_of_mass(digit_HW), digit_HW.shape, strict=True)
    )
    field[top : top + digit_HW.shape[0], left : left + digit_HW.shape[1]] = digit_HW
    return field
