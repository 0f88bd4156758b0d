"""Draws digits from pen strokes: inputs for golden files and pictures for the documentation.

Nothing here comes from a data set, so what it draws may be published with a model. ``digit`` gives
the form of MNIST (LeCun et al. 1998, section III: white on black, fitted into 20x20, centred by its
mass in 28x28); ``photo`` gives dark ink on unevenly lit paper, as a telephone would see it.

Run ``python -m training.mnist.strokes OUT.png --digit 7`` to write a photo.
"""

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

Pixels = npt.NDArray[np.uint8]
Point = tuple[float, float]
Stroke = Sequence[Point]

SIDE = 28
"""Height and width of MNIST's form, pixels."""
_BOX = 20
_CANVAS = 280
_PAPER_SIZE = (240, 200)
"""Height and width of a photo, pixels."""


def _arc(centre: Point, radii: Point, start_deg: float, stop_deg: float) -> list[Point]:
    """Points on an ellipse; 0 degrees points right, 90 down (y grows downward)."""
    angles = np.radians(np.linspace(start_deg, stop_deg, 25))
    return [
        (centre[0] + radii[0] * math.cos(a), centre[1] + radii[1] * math.sin(a)) for a in angles
    ]


def _shapes(digit: int) -> tuple[tuple[Stroke, ...], ...]:
    """The ways a digit is written: each a tuple of strokes in the unit square, y downward."""
    loop_six = _arc((0.48, 0.70), (0.24, 0.25), -150, 210)
    shapes: dict[int, tuple[tuple[Stroke, ...], ...]] = {
        0: ((_arc((0.5, 0.5), (0.30, 0.45), -90, 270),),),
        1: (([(0.5, 0.05), (0.5, 0.95)],), ([(0.36, 0.22), (0.52, 0.05), (0.52, 0.95)],)),
        2: (([*_arc((0.5, 0.30), (0.28, 0.24), -170, 40), (0.20, 0.93), (0.82, 0.93)],),),
        3: (
            (
                _arc((0.46, 0.27), (0.27, 0.22), -150, 90),
                _arc((0.46, 0.71), (0.30, 0.22), -90, 150),
            ),
        ),
        4: (
            ([(0.60, 0.05), (0.18, 0.62), (0.84, 0.62)], [(0.64, 0.36), (0.62, 0.95)]),
            ([(0.25, 0.08), (0.22, 0.50), (0.75, 0.50)], [(0.75, 0.08), (0.73, 0.95)]),
        ),
        5: (
            (
                [(0.76, 0.07), (0.32, 0.07), (0.29, 0.44)],
                [(0.29, 0.44), *_arc((0.46, 0.68), (0.29, 0.26), -110, 140)],
            ),
        ),
        6: (([(0.66, 0.05), (0.42, 0.28), (0.27, 0.57), *loop_six],),),
        7: (
            ([(0.20, 0.09), (0.80, 0.09), (0.44, 0.95)],),
            ([(0.22, 0.13), (0.78, 0.08), (0.58, 0.50), (0.42, 0.95)],),
        ),
        8: (
            (
                _arc((0.5, 0.28), (0.23, 0.22), 90, 450),
                _arc((0.5, 0.72), (0.27, 0.22), -90, 270),
            ),
        ),
        9: (([*_arc((0.48, 0.30), (0.25, 0.24), 0, -360), (0.72, 0.40), (0.62, 0.95)],),),
    }
    if digit not in shapes:
        raise ValueError(f"digit must be 0 to 9, got {digit}")
    return shapes[digit]


def _draw(digit: int, generator: np.random.Generator, pen: float) -> Image.Image:
    """White strokes on black, ``_CANVAS`` pixels square, a little rotated, slanted, stretched."""
    shapes = _shapes(digit)
    strokes = shapes[generator.integers(len(shapes))]
    angle, slant = generator.normal(0.0, math.radians(4.0)), generator.normal(0.08, 0.08)
    stretch = generator.uniform(0.85, 1.1, 2)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    matrix = turn @ np.array([[1.0, -slant], [0.0, 1.0]]) @ np.diag(stretch) * 0.62 * _CANVAS
    image = Image.new("L", (_CANVAS, _CANVAS), 0)
    brush = ImageDraw.Draw(image)
    radius = pen / 2
    for stroke in strokes:
        wobble = generator.normal(0.0, 0.004, (len(stroke), 2))
        points = (np.asarray(stroke) - 0.5 + wobble) @ matrix.T + _CANVAS / 2
        line = [(float(x), float(y)) for x, y in points]
        brush.line(line, fill=255, width=round(pen), joint="curve")
        for x, y in (line[0], line[-1]):
            brush.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    return image


def digit(value: int, generator: np.random.Generator) -> Pixels:
    """One digit in MNIST's form.

    Args:
        value: 0 to 9.
        generator: draws the way of writing, the jitter and the pen's width.

    Returns:
        uint8 [28, 28], ink 255 on 0, the ink's centre of mass within half a pixel of the centre.
    """
    ink = _draw(value, generator, generator.uniform(18.0, 28.0))
    cut = ink.crop(ink.getbbox())
    ratio = _BOX / max(cut.size)
    size = (max(1, round(cut.width * ratio)), max(1, round(cut.height * ratio)))
    small = np.asarray(cut.resize(size, Image.Resampling.BOX), np.float64)
    rows, columns = np.indices(small.shape)
    mass = small.sum()
    centre = (float((rows * small).sum() / mass), float((columns * small).sum() / mass))
    top, left = (
        int(np.clip(round((SIDE - 1) / 2 - middle), 0, SIDE - length))
        for middle, length in zip(centre, small.shape, strict=True)
    )
    picture = np.zeros((SIDE, SIDE), np.uint8)
    picture[top : top + small.shape[0], left : left + small.shape[1]] = np.round(small)
    return picture


def golden_images(seed: int = 7, per_class: int = 5) -> Pixels:
    """Pictures that exercise a digit classifier: digits of every class, noise, black and white.

    Args:
        seed: of the drawing.
        per_class: digits of each class.

    Returns:
        uint8 [10 * per_class + 14, 28, 28]: the digits ordered 0 to 9 over and over, then eight
        of noise (four dense, four sparse), black, white, and four gradients.
    """
    generator = np.random.default_rng(seed)
    digits = [digit(value, generator) for _ in range(per_class) for value in range(10)]
    noise = [generator.integers(0, 256, (SIDE, SIDE)).astype(np.uint8) for _ in range(4)]
    sparse = [np.where(n > 230, n, 0).astype(np.uint8) for n in noise]
    ramp = np.tile(np.linspace(0, 255, SIDE).astype(np.uint8), (SIDE, 1))
    flat = [np.zeros((SIDE, SIDE), np.uint8), np.full((SIDE, SIDE), 255, np.uint8)]
    return np.stack([*digits, *noise, *sparse, *flat, ramp, ramp.T, ramp[:, ::-1], ramp.T[::-1]])


def photo(value: int, generator: np.random.Generator) -> Image.Image:
    """A photograph-like picture of a digit: dark pen on light paper.

    Args:
        value: 0 to 9.
        generator: draws the writing, its place, the light and the grain.

    Returns:
        RGB, 200 wide and 240 high; the light falls off across the paper by about a quarter.
    """
    height, width = _PAPER_SIZE
    ink = _draw(value, generator, 13.0).resize((190, 190), Image.Resampling.LANCZOS)
    mask = Image.new("L", (width, height), 0)
    left, top = generator.integers((8, 32), (22, 48))
    mask.paste(ink, (int(left), int(top)))
    mask = mask.filter(ImageFilter.GaussianBlur(0.7))
    coverage = np.asarray(mask, np.float64)[..., None] / 255.0
    rows, columns = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    light = 1.0 - 0.17 * columns - 0.10 * rows + 0.03 * np.sin(5.0 * rows + 3.0 * columns)
    paper = light[..., None] * np.array([246.0, 241.0, 228.0])
    pen = np.array([38.0, 44.0, 78.0])
    grain = generator.normal(0.0, 2.5, (height, width, 1))
    mixed = paper * (1.0 - 0.93 * coverage) + pen * 0.93 * coverage + grain
    return Image.fromarray(np.clip(mixed, 0, 255).astype(np.uint8), "RGB")


def main(argv: Sequence[str]) -> int:
    """Write one photo. Returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m training.mnist.strokes", description="Draws a digit written on paper."
    )
    parser.add_argument("output", type=Path, help="picture to write; its suffix names the format")
    parser.add_argument("--digit", type=int, default=7, choices=range(10), help="default: 7")
    parser.add_argument("--seed", type=int, default=1, help="of the drawing; default: 1")
    arguments = parser.parse_args(argv)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    photo(arguments.digit, np.random.default_rng(arguments.seed)).save(arguments.output)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
