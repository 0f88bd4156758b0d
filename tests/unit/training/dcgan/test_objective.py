"""Losses of both networks, against values worked out by hand."""

import math

import pytest
import torch
from torch import Tensor

from training.dcgan.config import AdversarialConfig
from training.dcgan.objective import discriminator_loss, generator_loss

HINGE = AdversarialConfig(objective="hinge", real_label=1.0)


def cross_entropy(real_label: float = 1.0, mismatch_weight: float = 0.5) -> AdversarialConfig:
    return AdversarialConfig(real_label=real_label, mismatch_weight=mismatch_weight)


def logits(*probabilities: float) -> Tensor:
    return torch.logit(torch.tensor(probabilities, dtype=torch.float64))


def test_a_discriminator_that_cannot_tell_has_twice_the_logarithm_of_two() -> None:
    loss = discriminator_loss(cross_entropy(), torch.zeros(3), torch.zeros(3), None)
    assert loss.item() == pytest.approx(2 * math.log(2))


def test_cross_entropy_is_the_mean_surprise_of_real_and_of_fake() -> None:
    loss = discriminator_loss(cross_entropy(), logits(0.8, 0.5), logits(0.1, 0.3), None)
    by_hand = -(math.log(0.8) + math.log(0.5)) / 2 - (math.log(0.9) + math.log(0.7)) / 2
    assert loss.item() == pytest.approx(by_hand)


def test_smoothing_changes_the_target_of_real_pictures_alone() -> None:
    loss = discriminator_loss(cross_entropy(0.9), logits(0.8), logits(0.1), None)
    by_hand = -(0.9 * math.log(0.8) + 0.1 * math.log(0.2)) - math.log(0.9)
    assert loss.item() == pytest.approx(by_hand)


def test_smoothed_real_pictures_are_best_at_their_target() -> None:
    real = logits(0.9).requires_grad_()
    torch.autograd.backward(discriminator_loss(cross_entropy(0.9), real, logits(0.1), None))
    assert real.grad is not None
    assert real.grad.item() == pytest.approx(0, abs=1e-12)


def test_mismatched_pictures_share_the_loss_of_fakes() -> None:
    config = cross_entropy(mismatch_weight=0.25)
    loss = discriminator_loss(config, logits(0.8), logits(0.1), logits(0.4, 0.2, 0.5))
    wrong = -(math.log(0.6) + math.log(0.8) + math.log(0.5)) / 3
    assert loss.item() == pytest.approx(-math.log(0.8) - 0.75 * math.log(0.9) + 0.25 * wrong)


@pytest.mark.parametrize("config", [cross_entropy(), HINGE], ids=["cross_entropy", "hinge"])
def test_a_step_without_mismatched_pictures_weighs_fakes_fully(config: AdversarialConfig) -> None:
    without = discriminator_loss(config, logits(0.8), logits(0.1), None)
    assert discriminator_loss(config, logits(0.8), logits(0.1), logits()) == without


def test_hinge_counts_only_what_is_within_its_margin() -> None:
    real, fake = torch.tensor([2.0, 0.0]), torch.tensor([-2.0, 1.0])
    assert discriminator_loss(HINGE, real, fake, None).item() == (0 + 1) / 2 + (0 + 2) / 2


def test_hinge_takes_mismatched_pictures_for_fakes() -> None:
    real, fake, wrong = torch.tensor([2.0]), torch.tensor([-2.0]), torch.tensor([3.0])
    assert discriminator_loss(HINGE, real, fake, wrong).item() == 0.5 * 0 + 0.5 * 4


def test_generator_loss_is_the_surprise_that_samples_are_real() -> None:
    loss = generator_loss(cross_entropy(), logits(0.1, 0.5))
    assert loss.item() == pytest.approx(-(math.log(0.1) + math.log(0.5)) / 2)


def test_generator_loss_of_hinge_is_the_mean_logit_turned() -> None:
    assert generator_loss(HINGE, torch.tensor([1.0, -4.0])).item() == 1.5


def test_generator_learns_most_where_it_is_told_from_real_pictures() -> None:
    """The gradient of log(1 - s) vanishes there; this one does not (Goodfellow et al. 2014)."""
    fake = torch.tensor([-20.0, 20.0], requires_grad=True)
    torch.autograd.backward(generator_loss(cross_entropy(), fake))
    assert fake.grad is not None
    assert fake.grad.tolist() == pytest.approx([-0.5, 0.0], abs=1e-6)


def test_losses_of_huge_logits_are_finite() -> None:
    huge = torch.tensor([-1e4, 1e4])
    assert discriminator_loss(cross_entropy(0.9), huge, huge, huge).isfinite()
    assert generator_loss(cross_entropy(), huge).isfinite()
