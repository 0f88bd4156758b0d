"""Random affine maps of whole batches in one ``grid_sample``.

Affine distortions of training digits: LeCun et al. 1998, section III.C; the sampler: Jaderberg et
al. 2015, eq. 1.
"""

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor
from torch.nn import functional

from training.config import AugmentationConfig


def draw_affine(config: AugmentationConfig, rows: int, generator: Generator) -> Tensor:
    """Random sampling maps, float32 [rows, 2, 3], in coordinates from -1 to 1.

    Output position p shows input position A p + t, with A = R(a) / s; angle a, enlargement s and
    shift t are uniform within ``config``'s limits.
    """
    unit = torch.rand(rows, 4, generator=generator) * 2 - 1
    angle = unit[:, 0] * math.radians(config.rotation_deg)
    zoom = 1 + unit[:, 1] * config.scale
    shift = unit[:, 2:] * (2 * config.shift)
    cos, sin = torch.cos(angle) / zoom, torch.sin(angle) / zoom
    return torch.stack(
        [
            torch.stack([cos, -sin, shift[:, 0]], dim=1),
            torch.stack([sin, cos, shift[:, 1]], dim=1),
        ],
        dim=1,
    )


def apply_affine(images: Tensor, maps: Tensor) -> Tensor:
    """Sample float images [B, C, H, W] bilinearly at ``maps`` [B, 2, 3]; 0 outside the picture."""
    shape: Sequence[int] = images.shape
    grid = functional.affine_grid(maps.to(images), list(shape), align_corners=False)
    return functional.grid_sample(
        images, grid, mode="bilinear", padding_mode="zeros", align_corners=False
    )
