"""From stored pictures to the model's input."""

import pytest
import torch

from training.mnist.data import prepare


def test_prepare_standardises_pixels() -> None:
    images = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1).expand(2, 28, 28)
    got = prepare(images)
    assert got.shape == (2, 1, 28, 28)
    assert got.dtype == torch.float32
    assert got[:, 0, 0, 0].tolist() == pytest.approx([-0.1307 / 0.3081, (1 - 0.1307) / 0.3081])


def test_prepare_fills_what_a_shift_uncovers_with_background() -> None:
    images = torch.full((1, 28, 28), 255, dtype=torch.uint8)
    shift = torch.tensor([[[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]])
    got = prepare(images, shift)
    assert got[0, 0, 14, -1].item() == pytest.approx(-0.1307 / 0.3081)
    assert got[0, 0, 14, 0].item() == pytest.approx((1 - 0.1307) / 0.3081)
