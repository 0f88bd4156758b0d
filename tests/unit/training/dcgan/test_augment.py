"""Differentiable augmentation: what it may do to a picture, and that gradients pass through it."""

import pytest
import torch
from torch import Tensor

from training.dcgan.augment import augment
from training.dcgan.config import Policy

POLICIES: tuple[Policy, ...] = ("colour", "translation", "cutout")
SIDE = 16


def pictures(rows: int = 6, channels: int = 3, seed: int = 0) -> Tensor:
    """No pixel is 0, which is what comes in from outside and what is cut out."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(rows, channels, SIDE, SIDE, generator=generator) * 0.9 + 0.05


def seeded(given: Tensor, *policies: Policy, seed: int = 1) -> Tensor:
    torch.manual_seed(seed)
    return augment(given, policies)


def test_no_policy_changes_nothing() -> None:
    given = pictures()
    assert augment(given, ()) is given


@pytest.mark.parametrize("policy", POLICIES)
def test_each_policy_repeats_with_the_seed_and_differs_without(policy: Policy) -> None:
    given = pictures()
    assert torch.equal(seeded(given, policy), seeded(given, policy))
    assert not torch.equal(seeded(given, policy), seeded(given, policy, seed=2))


@pytest.mark.parametrize("policy", POLICIES)
def test_each_picture_is_changed_by_itself(policy: Policy) -> None:
    changed = seeded(pictures(1).expand(6, -1, -1, -1), policy)
    assert len({picture.numpy().tobytes() for picture in changed}) == 6


@pytest.mark.parametrize("policy", POLICIES)
def test_channels_of_a_grey_picture_stay_alike(policy: Policy) -> None:
    changed = seeded(pictures(channels=1).expand(-1, 3, -1, -1), policy)
    # Equal values, but for the rounding of their mean over three channels.
    torch.testing.assert_close(changed[:, 1], changed[:, 0], rtol=0, atol=1e-6)
    torch.testing.assert_close(changed[:, 2], changed[:, 0], rtol=0, atol=1e-6)


def test_policies_follow_one_another() -> None:
    given = pictures()
    torch.manual_seed(1)
    one_by_one = augment(augment(augment(given, ["colour"]), ["translation"]), ["cutout"])
    assert torch.equal(seeded(given, *POLICIES), one_by_one)


@pytest.mark.parametrize("channels", [1, 3])
def test_colour_moves_a_plain_picture_by_half_at_most(channels: int) -> None:
    moved = seeded(torch.zeros(200, channels, 4, 4), "colour")
    assert moved.amax((1, 2, 3)).sub(moved.amin((1, 2, 3))).abs().max() < 1e-6
    assert -0.5 <= moved.min() < -0.45
    assert 0.45 < moved.max() <= 0.5


def test_colour_stretches_contrast_by_half_to_one_and_a_half() -> None:
    halves = torch.full((200, 1, 4, 4), -0.5)
    halves[..., 2:] = 0.5
    stretched = seeded(halves, "colour")
    contrast = stretched[..., 2:].mean((1, 2, 3)) - stretched[..., :2].mean((1, 2, 3))
    assert 0.5 <= contrast.min() < 0.55
    assert 1.45 < contrast.max() <= 1.5


def test_colour_stretches_saturation_to_the_double_at_most() -> None:
    coloured = torch.tensor([0.3, 0.0, -0.3]).view(1, 3, 1, 1).expand(400, 3, 4, 4)
    changed = seeded(coloured, "colour")
    # Contrast multiplies it again, by 1.5 at most; the order of the channels stays.
    ratio = (changed[:, 0] - changed[:, 2]).mean((1, 2)) / 0.6
    assert 0 <= ratio.min() < 0.1
    assert 2.0 < ratio.max() <= 3.0 + 1e-6


def test_translation_moves_a_dot_by_an_eighth_of_the_side_at_most() -> None:
    dots = torch.zeros(300, 2, SIDE, SIDE)
    dots[:, :, 8, 8] = 1.0
    moved = seeded(dots, "translation")
    rows, columns = moved[:, 0].nonzero(as_tuple=True)[1:]
    assert len(rows) == 300
    assert set(rows.tolist()) == set(columns.tolist()) == {6, 7, 8, 9, 10}
    assert torch.equal(moved[:, 0], moved[:, 1])


def test_translation_lets_nothing_but_zero_in() -> None:
    given = pictures(50)
    moved = seeded(given, "translation")
    kept = moved != 0
    assert torch.equal(kept[:, 0], kept[:, 2])
    assert moved[kept].min() >= given.min()
    share = kept.float().mean((1, 2, 3))
    assert share.min() == pytest.approx((14 / 16) ** 2)
    assert share.max() == 1


def test_cutout_blanks_half_the_side_and_leaves_the_rest() -> None:
    given = pictures(200)
    cut = seeded(given, "cutout")
    hole = cut == 0
    assert torch.equal(hole[:, 0], hole[:, 1])
    assert torch.equal(cut[~hole], given[~hole])
    rows, columns = hole[:, 0].any(2).sum(1), hole[:, 0].any(1).sum(1)
    assert torch.equal(hole[:, 0].sum((1, 2)), rows * columns)
    assert rows.max() == columns.max() == SIDE // 2
    assert rows.min() >= SIDE // 4


def test_gradients_pass_through_what_is_kept() -> None:
    given = pictures().requires_grad_()
    moved = seeded(given, "translation", "cutout")
    torch.autograd.backward(moved.sum())
    assert given.grad is not None
    assert given.grad.sum() == (moved != 0).sum()
    assert set(given.grad.flatten().tolist()) == {0.0, 1.0}


def test_gradients_pass_through_colour() -> None:
    given = pictures(2).double().requires_grad_()

    def changed(x: Tensor) -> Tensor:
        return seeded(x, "colour")

    assert torch.autograd.gradcheck(changed, (given[:, :, :3, :3].detach().requires_grad_(),))
