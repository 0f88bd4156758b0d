"""A photo or a drawing of one digit, brought to the form of MNIST.

The form, after LeCun, Bottou, Bengio and Haffner, "Gradient-Based Learning Applied to Document
Recognition", Proc. IEEE 86(11), 1998, section III.A, and http://yann.lecun.com/exdb/mnist: light
ink on black; the digit scaled with its aspect ratio kept, with anti-aliasing, to fit a box of 20 x
20 pixels; that box moved in a field of 28 x 28 so that the centre of mass lies at the centre. In
the 70,000 published pictures the centre is pixel (14, 14), met to within half a pixel.

Axes: H rows and W columns of a picture, h and w of the digit cut out of it.
"""

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from serving.ink import Grey, Mask, Real, find_ink

FIELD = 28
"""Side of the result, pixels."""
BOX = 20
"""Longest side of the digit in it, pixels."""
CENTRE = 14
"""Row and column where the centre of mass is put."""
_DETAIL = 4
"""Strokes are measured and thickened on a grid this many times finer than the result."""
_MIN_STROKE = 1.8
"""Thinnest stroke, pixels of the result; thinner pens are thickened to it."""


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
    ink_HW, mask_HW = find_ink(grey_HW)
    digit_hw = _boxed(ink_HW, mask_HW)
    return _centred(digit_hw) if digit_hw.any() else np.zeros((FIELD, FIELD), np.uint8)


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


def _boxed(ink_HW: Real, mask_HW: Mask) -> Grey:
    """Cut the digit out and scale it into the box: uint8 [h, w], the longer side 20, peak 255.

    All zero where the mask is empty, or the ink too little to show at this size.
    """
    if not mask_HW.any():
        return np.zeros((1, 1), np.uint8)
    level = max(float(np.percentile(ink_HW[mask_HW], 80)), 1.0)
    rows, columns = _extent(mask_HW)
    inside = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    # One pixel around the mask holds the other half of the strokes' soft edges.
    edge = Image.fromarray(mask_HW[inside]).convert("L").filter(ImageFilter.BoxBlur(1))
    cut = np.clip(ink_HW[inside] * (255 / level), 0, 255) * (np.asarray(edge) > 0)
    digit = Image.fromarray(cut.astype(np.uint8))
    if max(digit.size) > BOX:
        digit = _thickened(_scaled(digit, BOX * _DETAIL))
    box = np.asarray(_scaled(digit, BOX), np.float32)
    bright: Grey = np.round(box * (255 / max(float(box.max()), 1.0))).astype(np.uint8)
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
