"""Counter-based random numbers: a draw depends on the seed and its place in the run alone.

Nothing carries a generator's state from step to step, so a resumed run repeats the uninterrupted
one bit for bit, and processes of a data-parallel run agree without talking.
"""

from enum import IntEnum

import numpy as np
import torch


class Stream(IntEnum):
    """Independent sequences of one run."""

    INIT = 0
    """First values of the weights."""
    ORDER = 1
    """Order of the training rows, one draw an epoch."""
    AUGMENT = 2
    """Augmentation, one draw a step."""
    STEP = 3
    """Everything the modules draw in one step, dropout above all; differs by process."""


def derive_seed(root: int, stream: Stream, *counters: int) -> int:
    """A 32-bit seed for one place of one stream.

    NumPy's SeedSequence hashes the words, so that neighbouring places give unrelated generators
    (O'Neill 2015). 32 bits, because PyTorch's CPU generator keeps no more.
    """
    words = np.random.SeedSequence([root, int(stream), *counters]).generate_state(1, np.uint32)
    return int(words[0])


def make_generator(root: int, stream: Stream, *counters: int) -> torch.Generator:
    """A CPU generator for one place; CPU always, so that every device sees equal numbers."""
    return torch.Generator().manual_seed(derive_seed(root, stream, *counters))


def seed_modules(root: int, stream: Stream, *counters: int) -> None:
    """Seed PyTorch's global generators, from which modules draw (dropout, initialisation)."""
    torch.manual_seed(derive_seed(root, stream, *counters))
