"""What the two networks minimise, from the discriminator's logits [B] to scalars."""

import torch
from torch import Tensor
from torch.nn import functional

from training.dcgan.config import AdversarialConfig


def discriminator_loss(
    config: AdversarialConfig, real: Tensor, fake: Tensor, mismatched: Tensor | None
) -> Tensor:
    """Loss of telling real from generated pictures.

    cross_entropy  -(t log s(real) + (1-t) log(1-s(real))) - log(1-s(fake)), s the logistic function
    hinge          max(0, 1 - real) + max(0, 1 + fake)

    Args:
        config: objective, target t of real pictures, and the share w of mismatched ones.
        real: logits of real pictures with what is true of them.
        fake: logits of generated ones with what was asked for.
        mismatched: logits of real pictures with what is not true of them [any number of rows, maybe
            none]: the loss of fakes is then (1-w) fake + w mismatched (Reed et al. 2016, section
            4.2). None without a condition.
    """
    wrong = _as_fake(config, fake)
    if mismatched is not None and len(mismatched):
        share = config.mismatch_weight
        wrong = (1 - share) * wrong + share * _as_fake(config, mismatched)
    if config.objective == "hinge":
        return functional.relu(1 - real).mean() + wrong
    target = torch.full_like(real, config.real_label)
    return functional.binary_cross_entropy_with_logits(real, target) + wrong


def generator_loss(config: AdversarialConfig, fake: Tensor) -> Tensor:
    """Loss of being told from real pictures: -log s(fake), or -fake for hinge."""
    return -fake.mean() if config.objective == "hinge" else functional.softplus(-fake).mean()


def _as_fake(config: AdversarialConfig, logits: Tensor) -> Tensor:
    if config.objective == "hinge":
        return functional.relu(1 + logits).mean()
    return functional.softplus(logits).mean()
