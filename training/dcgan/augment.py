"""Differentiable augmentation of what a discriminator sees. Pictures [B, C, S, S] from -1 to 1.

Zhao, Liu, Lin, Zhu, Han 2020, "Differentiable Augmentation for Data-Efficient GAN Training",
section 3.2 and appendix C: each picture is changed at random, real and generated alike, in the
steps of both networks. Random numbers come from PyTorch's global generator.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from training.dcgan.config import Policy

_SHIFT = 0.125
_CUT = 0.5


def augment(pictures: Tensor, policies: Sequence[Policy]) -> Tensor:
    """``pictures`` after each of ``policies`` in turn."""
    for policy in policies:
        pictures = _POLICIES[policy](pictures)
    return pictures


def _colour(pictures: Tensor) -> Tensor:
    """Brightness +-0.5, saturation x0 to x2, contrast x0.5 to x1.5."""
    draws = torch.rand(3, len(pictures), 1, 1, 1, device=pictures.device, dtype=pictures.dtype)
    pictures = pictures + (draws[0] - 0.5)
    grey = pictures.mean(1, keepdim=True)
    pictures = (pictures - grey) * (2 * draws[1]) + grey
    mean = pictures.mean((1, 2, 3), keepdim=True)
    return (pictures - mean) * (draws[2] + 0.5) + mean


def _translation(pictures: Tensor) -> Tensor:
    """Shifted by up to an eighth of the side along each axis, what comes in is 0."""
    rows, side = len(pictures), pictures.shape[-1]
    reach = round(side * _SHIFT)
    shifts = torch.randint(0, 2 * reach + 1, (2, rows, 1), device=pictures.device)
    lines = torch.arange(side, device=pictures.device)
    padded = functional.pad(pictures, [reach] * 4)
    row = (lines + shifts[0])[:, :, None]
    column = (lines + shifts[1])[:, None, :]
    batch = torch.arange(rows, device=pictures.device)[:, None, None]
    # Indexing puts the channels last; that is the order convolutions like best.
    moved = padded.permute(0, 2, 3, 1)[batch, row, column]
    return moved.permute(0, 3, 1, 2)


def _cutout(pictures: Tensor) -> Tensor:
    """A square of half the side is 0, its centre anywhere."""
    rows, side = len(pictures), pictures.shape[-1]
    half = side * _CUT / 2
    centres = torch.rand(2, rows, 1, device=pictures.device) * side
    lines = torch.arange(side, device=pictures.device) + 0.5
    inside = (lines - centres).abs() < half
    hole = inside[0][:, :, None] & inside[1][:, None, :]
    return pictures * (~hole)[:, None].to(pictures)


_POLICIES: Mapping[Policy, Callable[[Tensor], Tensor]] = {
    "colour": _colour,
    "translation": _translation,
    "cutout": _cutout,
}
