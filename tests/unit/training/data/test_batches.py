"""Order and slices of batches."""

import pytest
import torch

from quartet.config import ConfigError
from training.data.batches import epoch_order, rank_slice, steps_per_epoch


def test_epoch_order_is_a_permutation() -> None:
    assert torch.equal(epoch_order(1, 0, 50).sort().values, torch.arange(50))


def test_epoch_order_depends_on_seed_and_epoch_alone() -> None:
    assert torch.equal(epoch_order(1, 3, 50), epoch_order(1, 3, 50))
    assert not torch.equal(epoch_order(1, 3, 50), epoch_order(1, 4, 50))
    assert not torch.equal(epoch_order(1, 3, 50), epoch_order(2, 3, 50))


def test_steps_per_epoch_counts_whole_batches() -> None:
    assert steps_per_epoch(55_000, 128) == 429


def test_steps_per_epoch_refuses_a_batch_larger_than_the_split() -> None:
    with pytest.raises(ConfigError, match="batch_size 128 is more than the 100 training rows"):
        steps_per_epoch(100, 128)


@pytest.mark.parametrize("size", [1, 2, 4])
def test_rank_slice_gives_each_row_to_one_process(size: int) -> None:
    rows = torch.arange(8)
    pieces = [rows[rank_slice(8, rank, size)] for rank in range(size)]
    assert torch.equal(torch.cat(pieces), rows)


def test_rank_slice_refuses_unequal_shares() -> None:
    with pytest.raises(ConfigError, match="must be a multiple of the 3 processes"):
        rank_slice(8, 0, 3)
