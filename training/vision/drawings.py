"""Draws pictures of sky, ground and coloured bodies: inputs for golden files.

Nothing here comes from a data set, so what it draws may be published with a model.
"""

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

Pixels = npt.NDArray[np.uint8]

_BODIES = (2, 6)
"""Least and most."""


def draw_pictures(count: int, side: int, seed: int = 0) -> Pixels:
    """uint8 [count, side, side, 3], red, green, blue; the same for equal arguments."""
    random = np.random.default_rng(seed)
    return np.stack([_draw(side, random) for _ in range(count)])


def _draw(side: int, random: np.random.Generator) -> Pixels:
    picture = Image.fromarray(_background(side, random))
    pencil = ImageDraw.Draw(picture)
    for _ in range(random.integers(_BODIES[0], _BODIES[1] + 1)):
        colour = tuple(random.integers(0, 256, 3).tolist())
        left, top = random.uniform(0, 0.8, 2) * side
        width, height = random.uniform(0.08, 0.5, 2) * side
        box = (left, top, left + width, top + height)
        if random.random() < 0.7:
            pencil.ellipse(box, fill=colour)
        else:
            pencil.rectangle(box, fill=colour)
    return np.asarray(picture, np.uint8)


def _background(side: int, random: np.random.Generator) -> Pixels:
    """Sky above ground, each from one colour to another."""
    horizon = int(random.uniform(0.25, 0.75) * side)
    ends = random.integers(0, 256, (2, 2, 3))
    parts = [
        np.linspace(first, last, rows)
        for (first, last), rows in zip(ends, (horizon, side - horizon), strict=True)
    ]
    column = np.concatenate(parts).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(column[:, None], (side, side, 3)))
