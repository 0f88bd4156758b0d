"""Drawn photographs: JPEG files of several sizes, the same at every call."""

import io

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIZES = ((160, 160), (240, 320), (320, 240), (500, 375), (640, 480))
"""Width and height, pixels: thumbnails, the sizes of Flickr8k, and VGA."""
QUALITY = 85
_SHAPES = 12
_NOISE = 6.0
"""Standard deviation, of 255."""


def draw_photos(count: int, seed: int = 0) -> list[bytes]:
    """``count`` files of ``SIZES`` in turn: a gradient, blurred shapes and noise, as a camera's."""
    random = np.random.default_rng(seed)
    return [_draw(*SIZES[number % len(SIZES)], random) for number in range(count)]


def _draw(width: int, height: int, random: np.random.Generator) -> bytes:
    corners = random.integers(0, 256, (2, 2, 3), np.uint8)
    picture = Image.fromarray(corners).resize((width, height), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(picture)
    for _ in range(_SHAPES):
        left, top = int(random.integers(width)), int(random.integers(height))
        wide, high = random.integers(8, max(width, height) // 2, 2).tolist()
        box = (left, top, left + wide, top + high)
        colour = tuple(random.integers(0, 256, 3).tolist())
        (pen.ellipse if random.random() < 0.5 else pen.rectangle)(box, fill=colour)
    smooth = np.asarray(picture.filter(ImageFilter.GaussianBlur(2)), np.float32)
    noisy = smooth + random.normal(0, _NOISE, smooth.shape)
    stream = io.BytesIO()
    pixels = np.clip(noisy, 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(stream, "JPEG", quality=QUALITY)
    return stream.getvalue()
