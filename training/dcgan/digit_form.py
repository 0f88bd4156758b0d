"""Weight and slant of a drawn digit, from its pixels. Pictures uint8 [N, 28, 28], ink bright."""

import torch
from torch import Tensor
from torch.nn import functional

_INK = 0.25


def slant(images: Tensor) -> Tensor:
    """Columns that a stroke moves to the right for each row that it rises, float32 [N].

    The shear that makes rows and columns of the ink uncorrelated: -mu_11 / mu_02, mu the central
    moments (LeCun et al. 1998, section III-B, "deslanting"). 0 without ink.
    """
    ink = images.float() / 255
    mass = ink.sum((1, 2)).clamp(min=1e-6)
    lines = torch.arange(images.shape[1], dtype=torch.float32)
    row = (ink.sum(2) * lines).sum(1) / mass
    column = (ink.sum(1) * lines).sum(1) / mass
    down = lines[None, :, None] - row[:, None, None]
    right = lines[None, None, :] - column[:, None, None]
    variance = (ink * down**2).sum((1, 2)) / mass
    covariance = (ink * down * right).sum((1, 2)) / mass
    return -covariance / variance.clamp(min=1e-6)


def weight(images: Tensor) -> Tensor:
    """Width of the line, pixels, float32 [N]: twice the ink's area over the length of its border.

    A line of length l and width w has the area l w and a border of 2 l, but for its ends. Pixels
    count by their grey value; the border is the total variation of it. 0 without ink.
    """
    ink = ((images.float() / 255 - _INK) / (1 - _INK)).clamp(min=0)
    padded = functional.pad(ink, [1, 1, 1, 1])
    across = padded[:, :, 1:] - padded[:, :, :-1]
    down = padded[:, 1:, :] - padded[:, :-1, :]
    length = torch.sqrt(across[:, :-1, :] ** 2 + down[:, :, :-1] ** 2 + 1e-12).sum((1, 2))
    return 2 * ink.sum((1, 2)) / length.clamp(min=1e-6)


def thirds(values: Tensor) -> tuple[float, float]:
    """The two borders that cut ``values`` [N] into three equal parts."""
    low, high = torch.quantile(values, torch.tensor([1 / 3, 2 / 3])).tolist()
    return low, high


def in_thirds(values: Tensor, borders: tuple[float, float]) -> Tensor:
    """0, 1 or 2, int64 [N]: below, between or above ``borders``."""
    return torch.bucketize(values, torch.tensor(borders))
