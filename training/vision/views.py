"""Random and plain views of stored pictures uint8 [B, 3, H, W], made for a whole batch at once.

Random crops: Szegedy et al. 2015, section 6; colour: Howard 2013, section 2.2; both in one
``grid_sample`` (Jaderberg et al. 2015, eq. 1).
"""

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional

from training.vision.config import CropConfig

PIXEL_MEAN = (0.485, 0.456, 0.406)
"""Mean of red, green and blue over ImageNet, after division by 255."""
PIXEL_STD = (0.229, 0.224, 0.225)
"""Their standard deviations."""
_LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in brightness (ITU-R BT.601)."""


def standardise(pixels: Tensor) -> Tensor:
    """Pixels from 0 to 1, [B, 3, H, W], to mean 0 and deviation 1 over ImageNet."""
    mean = pixels.new_tensor(PIXEL_MEAN).view(3, 1, 1)
    return (pixels - mean) / pixels.new_tensor(PIXEL_STD).view(3, 1, 1)


def draw_crops(config: CropConfig, rows: int, generator: Generator) -> Tensor:
    """Sampling maps float32 [rows, 2, 3], in coordinates from -1 to 1, of parts of pictures.

    A part's area is uniform from ``config.smallest`` to 1 and the logarithm of its ratio of sides
    uniform, cut where it would leave the picture; its place is uniform.
    """
    unit = torch.rand(rows, 5, generator=generator)
    area = config.smallest + unit[:, 0] * (1 - config.smallest)
    ratio = torch.exp((unit[:, 1] * 2 - 1) * math.log(config.ratio))
    width = torch.sqrt(area * ratio).clamp(max=1)
    height = torch.sqrt(area / ratio).clamp(max=1)
    left = (unit[:, 2] * 2 - 1) * (1 - width)
    top = (unit[:, 3] * 2 - 1) * (1 - height)
    mirrored = torch.where((unit[:, 4] < 0.5) & config.flip, -1.0, 1.0)
    zero = torch.zeros(rows)
    return torch.stack(
        [
            torch.stack([width * mirrored, zero, left], dim=1),
            torch.stack([zero, height, top], dim=1),
        ],
        dim=1,
    )


def draw_jitter(config: CropConfig, rows: int, generator: Generator) -> Tensor:
    """Factors of brightness, contrast and saturation, float32 [rows, 3], around 1."""
    return 1 + (torch.rand(rows, 3, generator=generator) * 2 - 1) * config.jitter


def random_views(images: Tensor, maps: Tensor, jitter: Tensor, side: int) -> Tensor:
    """Standardised float32 [B, 3, side, side] of uint8 ``images``, cropped and coloured."""
    pixels = images.float() / 255
    grid = functional.affine_grid(
        maps.to(pixels), [len(images), 3, side, side], align_corners=False
    )
    pixels = functional.grid_sample(
        pixels, grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    return standardise(_recolour(pixels, jitter.to(pixels)))


def plain_views(images: Tensor, side: int) -> Tensor:
    """Standardised float32 [B, 3, side, side] of all of each of uint8 ``images``."""
    pixels = images.float() / 255
    if images.shape[2:] != (side, side):
        pixels = functional.interpolate(
            pixels, size=(side, side), mode="bilinear", align_corners=False, antialias=True
        )
    return standardise(pixels)


def _recolour(pixels: Tensor, jitter: Tensor) -> Tensor:
    """Brightness, then contrast about the mean grey, then saturation; kept within 0 to 1."""
    brightness, contrast, saturation = jitter.view(-1, 3, 1, 1, 1).unbind(1)
    pixels = pixels * brightness
    luma = pixels.new_tensor(_LUMA).view(3, 1, 1)
    mean = (pixels * luma).sum(1, keepdim=True).mean((2, 3), keepdim=True)
    pixels = mean + (pixels - mean) * contrast
    grey = (pixels * luma).sum(1, keepdim=True)
    return (grey + (pixels - grey) * saturation).clamp(0, 1)
