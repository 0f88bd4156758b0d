"""The requests of a measurement and the answers that they must get."""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from PIL import Image, ImageDraw, ImageFont

from benchmarks.serving.networks import SIDE

SEED = 1
COUNT = 64
FONT_SIZES = (18, 26)
"""Least and greatest size of a drawn digit, pixels."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Samples:
    """N inputs of the tensor network with its outputs, and N pictures of digits."""

    inputs: Floats
    """[N, 1, 28, 28]."""
    outputs: Floats
    """[N, 10]: what the bare engine gives for each input alone."""
    pictures: npt.NDArray[np.uint8]
    """[N, 28, 28], light digits on black; picture i shows digit i mod 10."""

    def save(self, path: Path) -> None:
        """Write an .npz."""
        np.savez(path, inputs=self.inputs, outputs=self.outputs, pictures=self.pictures)

    @classmethod
    def load(cls, path: Path) -> "Samples":
        """Read what ``save`` wrote."""
        with np.load(path) as stored:
            return cls(stored["inputs"], stored["outputs"], stored["pictures"])


def make_samples(network: Path) -> Samples:
    """Seeded samples; ``network`` is the file of the tensor network."""
    inputs = np.random.default_rng(SEED).random((COUNT, 1, SIDE, SIDE), np.float32)
    session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
    outputs = np.concatenate([session.run(None, {"x": row[None]})[0] for row in inputs])
    return Samples(inputs, outputs, draw_digits(COUNT))


def draw_digits(count: int) -> npt.NDArray[np.uint8]:
    """[count, 28, 28] pictures of digits in a font, of seeded sizes and near the centre."""
    generator = np.random.default_rng(SEED)
    pictures = np.zeros((count, SIDE, SIDE), np.uint8)
    for index in range(count):
        canvas = Image.new("L", (SIDE, SIDE))
        font = ImageFont.load_default(int(generator.integers(*FONT_SIZES)))
        shift: Any = generator.integers(-2, 3, 2) + SIDE // 2
        ImageDraw.Draw(canvas).text(
            (int(shift[0]), int(shift[1])), str(index % 10), fill=255, font=font, anchor="mm"
        )
        pictures[index] = np.asarray(canvas)
    return pictures


def encode_png(picture: npt.NDArray[np.uint8]) -> bytes:
    """A greyscale PNG."""
    stream = BytesIO()
    Image.fromarray(picture).save(stream, "PNG")
    return stream.getvalue()
