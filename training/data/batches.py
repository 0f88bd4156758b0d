"""Which rows make up which batch: a function of seed, epoch and step alone."""

import torch
from torch import Tensor

from quartet.config import ConfigError
from training.seeding import Stream, make_generator


def epoch_order(seed: int, epoch: int, rows: int) -> Tensor:
    """A random order of ``rows`` rows, int64 [rows], drawn anew for each epoch."""
    return torch.randperm(rows, generator=make_generator(seed, Stream.ORDER, epoch))


def steps_per_epoch(rows: int, batch_size: int) -> int:
    """Whole batches in an epoch; the rest of the order is left out, another rest each epoch.

    Raises ConfigError where not one batch is whole.
    """
    if rows < batch_size:
        raise ConfigError(f"data.batch_size {batch_size} is more than the {rows} training rows")
    return rows // batch_size


def rank_slice(batch_size: int, rank: int, world_size: int) -> slice:
    """The rows of a joint batch that process ``rank`` of ``world_size`` computes.

    Raises ConfigError unless every process gets equally many, which the mean of their gradients
    presumes.
    """
    if batch_size % world_size:
        raise ConfigError(
            f"data.batch_size {batch_size} must be a multiple of the {world_size} processes"
        )
    rows = batch_size // world_size
    return slice(rank * rows, (rank + 1) * rows)
