"""The samples that figures are taken of: those that a server gives for the same seeds. Z numbers.

Noise comes from ``quartet.latents``, index 0 of each seed, and pictures are rounded to bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from quartet.latents import latents
from training.checkpoint import CheckpointError
from training.dcgan.conditions import Conditions, make_conditions
from training.dcgan.pictures import PictureSet
from training.dcgan.trained_networks import TrainedDcgan

_PARALLEL = 1e-6
"""Sine of an angle too small to divide by: the way is straight there."""


def noise(seeds: Sequence[int], size: int) -> Tensor:
    """Noise float32 [N, size] of index 0 of each of N seeds."""
    keys = np.asarray(seeds, np.uint64)
    return torch.from_numpy(latents(keys, np.zeros(len(keys), np.int64), size))


def great_circle(start: Tensor, end: Tensor, frames: int) -> Tensor:
    """Points [P, frames, Z] from ``start`` to ``end`` [P, Z], both included.

    Spherical linear interpolation of the directions (Shoemake 1985, section 3.3), linear of the
    lengths, so that points on the way are as likely as its ends (White 2016, section 2.1).
    """
    first, last = start.double(), end.double()
    from_length, to_length = (z.norm(dim=1)[:, None, None] for z in (first, last))
    first, last = (z[:, None] / z.norm(dim=1)[:, None, None] for z in (first, last))
    angle = (first * last).sum(2, keepdim=True).clamp(-1, 1).acos()
    share = torch.linspace(0, 1, frames, dtype=torch.float64)[:, None]
    along = torch.sin((1 - share) * angle) * first + torch.sin(share * angle) * last
    straight = (1 - share) * first + share * last
    along = torch.where(torch.sin(angle) < _PARALLEL, straight, along)
    along = along / along.norm(dim=2, keepdim=True)
    path: Tensor = along * (from_length * (1 - share) + to_length * share)
    return path.float()


@dataclass(frozen=True, slots=True)
class Sampler:
    """Makes samples of a run, with what is said of each where the model wants that."""

    trained: TrainedDcgan
    """The networks."""
    conditions: Conditions | None
    """None where the generator is told nothing."""

    def sample(self, seeds: Sequence[int], said: Tensor | None = None) -> Tensor:
        """Pictures uint8 [N, C, S, S] of N seeds; ``said`` int64 [N], numbers of conditions."""
        return self.draw(noise(seeds, self.trained.config.model.latent), said)

    def draw(self, z: Tensor, said: Tensor | None = None) -> Tensor:
        """Pictures uint8 [N, C, S, S] of noise [N, Z] and numbers of conditions int64 [N]."""
        return self.trained.pictures(z, self.tensor(said))

    def tensor(self, said: Tensor | None) -> Tensor | None:
        """What the networks take for numbers of conditions [N]."""
        if self.conditions is None or said is None:
            return None
        return self.conditions.tensor(said)


def make_sampler(trained: TrainedDcgan, data: PictureSet) -> Sampler:
    """The sampler of a run on its data.

    Raises:
        ConfigError: the data have no such labels.
        CheckpointError: they have not as many classes or words as those of the run.
    """
    conditions = make_conditions(trained.config, data)
    if conditions is not None and conditions.symbols != trained.symbols:
        raise CheckpointError(
            f"the run was trained on {trained.symbols} classes or words, "
            f"the data have {conditions.symbols}"
        )
    return Sampler(trained, conditions)
