"""Opens what a run of family ``dcgan`` learned, for measuring and for export."""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from training.checkpoint import CheckpointError, load_checkpoint
from training.dcgan.config import DcganConfig
from training.dcgan.model import Discriminator, Generator
from training.dcgan.task import DcganNetworks, to_pixels
from training.rundir import RunDirectory, read_run

_BATCH = 250
"""Rows of one pass; a row's picture does not depend on it, for the networks run in eval mode."""


@dataclass(frozen=True, slots=True)
class TrainedDcgan:
    """The networks of a run, on the CPU, in eval mode, in float32."""

    config: DcganConfig
    """As the run was trained."""
    generator: Generator
    """The running mean of the weights, where the run kept one."""
    discriminator: Discriminator
    """As it stood beside it."""
    symbols: int
    """Classes or words that both were told apart by; 0 without a condition."""

    @torch.inference_mode()
    def pictures(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Pictures uint8 [N, C, S, S], rounded as the served graph rounds them.

        Args:
            z: noise float32 [N, Z].
            condition: class numbers int64 [N] or word numbers int64 [N, T], as the model wants.
        """
        parts = []
        for start in range(0, len(z), _BATCH):
            rows = slice(start, start + _BATCH)
            said = None if condition is None else condition[rows]
            parts.append(to_pixels(self.generator(z[rows], said)))
        return torch.cat(parts)


def load_trained(run_dir: Path) -> TrainedDcgan:
    """The configuration and the kept networks of a run.

    Raises:
        ConfigError: ``run_dir`` is no run of family ``dcgan``.
        CheckpointError: best.pt is missing, damaged or of other networks.
    """
    run = RunDirectory(run_dir)
    config = read_run(run, "dcgan", DcganConfig)
    try:
        weights = cast(dict[str, Tensor], load_checkpoint(run.best)["model"])
        symbols = _symbols(config, weights)
        networks = DcganNetworks(
            Generator(config.model, symbols), Discriminator(config.model, symbols)
        )
        networks.load_state_dict(weights)
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(f"{run.best} does not fit its config.json: {error}") from error
    networks.eval().requires_grad_(False)
    return TrainedDcgan(
        config,
        cast(Generator, networks.generator),
        cast(Discriminator, networks.discriminator),
        symbols,
    )


def _symbols(config: DcganConfig, weights: dict[str, Tensor]) -> int:
    """Rows of the table of classes or words, which no other file of a run tells."""
    tables = {"class": "vectors", "prompt": "words"}
    if config.model.condition == "none":
        return 0
    return len(weights[f"generator.condition.{tables[config.model.condition]}.weight"])
