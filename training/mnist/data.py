"""From stored MNIST pictures to the model's input."""

from torch import Tensor

from training.data.augment import apply_affine
from training.mnist.model import PIXEL_MEAN, PIXEL_STD


def prepare(images: Tensor, maps: Tensor | None = None) -> Tensor:
    """Standardised float32 [B, 1, 28, 28] of uint8 pictures [B, 28, 28].

    ``maps`` [B, 2, 3] distorts them first, while the background is still 0.
    """
    pixels = images.unsqueeze(1).float() / 255
    if maps is not None:
        pixels = apply_affine(pixels, maps)
    return (pixels - PIXEL_MEAN) / PIXEL_STD
