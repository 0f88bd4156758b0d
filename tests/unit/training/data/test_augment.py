"""Affine augmentation: limits of the drawn maps, and what maps do to pictures."""

import math

import torch

from training.config import AugmentationConfig
from training.data.augment import apply_affine, draw_affine

LIMITS = AugmentationConfig(rotation_deg=10, shift=0.08, scale=0.1)


def maps(config: AugmentationConfig, rows: int = 2000, seed: int = 0) -> torch.Tensor:
    return draw_affine(config, rows, torch.Generator().manual_seed(seed))


def test_draw_affine_stays_within_its_limits_and_reaches_them() -> None:
    drawn = maps(LIMITS)
    angle = torch.rad2deg(torch.atan2(drawn[:, 1, 0], drawn[:, 0, 0])).abs()
    zoom = 1 / torch.linalg.det(drawn[:, :, :2]).sqrt()
    shift = drawn[:, :, 2].abs() / 2  # a side is 2 long in sampling coordinates
    assert 9.9 < angle.max() <= 10.001
    assert 1.099 < zoom.max() <= 1.1001
    assert 0.8999 <= zoom.min() < 0.901
    assert 0.079 < shift.max() <= 0.08001


def test_draw_affine_repeats_with_the_generator() -> None:
    assert torch.equal(maps(LIMITS, seed=3), maps(LIMITS, seed=3))
    assert not torch.equal(maps(LIMITS, seed=3), maps(LIMITS, seed=4))


def test_draw_affine_with_limits_at_zero_is_the_identity() -> None:
    identity = torch.eye(2, 3).expand(5, 2, 3)
    assert torch.equal(maps(AugmentationConfig(rotation_deg=0, shift=0, scale=0), 5), identity)


def test_apply_affine_leaves_a_picture_under_the_identity() -> None:
    picture = torch.rand(2, 1, 28, 28)
    moved = apply_affine(picture, torch.eye(2, 3).expand(2, 2, 3))
    assert torch.allclose(moved, picture, atol=1e-5)


def test_apply_affine_shifts_by_whole_pixels_and_fills_with_zero() -> None:
    picture = torch.rand(1, 1, 28, 28)
    shift = torch.tensor([[[1.0, 0.0, 2 * 2 / 28], [0.0, 1.0, 0.0]]])
    moved = apply_affine(picture, shift)
    assert torch.allclose(moved[..., :-2], picture[..., 2:], atol=1e-5)
    assert torch.allclose(moved[..., -2:], torch.zeros(1, 1, 28, 2), atol=1e-5)


def test_apply_affine_turns_by_a_right_angle() -> None:
    picture = torch.rand(1, 1, 28, 28)
    cos, sin = math.cos(math.pi / 2), math.sin(math.pi / 2)
    turned = apply_affine(picture, torch.tensor([[[cos, -sin, 0.0], [sin, cos, 0.0]]]))
    assert torch.allclose(turned, torch.rot90(picture, 1, (2, 3)), atol=1e-4)
