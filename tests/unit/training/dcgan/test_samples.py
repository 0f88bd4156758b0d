"""Noise of samples and the way between two."""

import math

import numpy as np
import pytest
import torch

from quartet.latents import latents
from training.dcgan.samples import great_circle, noise


def test_noise_is_that_of_index_zero_of_each_seed() -> None:
    seeds = [7, 2**40]
    expected = latents(np.array(seeds, np.uint64), np.zeros(2, np.int64), 5)
    assert torch.equal(noise(seeds, 5), torch.from_numpy(expected))


def test_a_great_circle_turns_at_an_even_pace_and_changes_length_evenly() -> None:
    path = great_circle(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 4.0]]), 5)[0]
    angles = torch.atan2(path[:, 1], path[:, 0])
    # float32 results
    assert angles.tolist() == pytest.approx([0, *(math.pi / 8 * n for n in (1, 2, 3, 4))], abs=1e-6)
    assert path.norm(dim=1).tolist() == pytest.approx([2, 2.5, 3, 3.5, 4], rel=1e-6)


def test_a_great_circle_between_parallel_points_is_straight() -> None:
    path = great_circle(torch.tensor([[1.0, 0.0]]), torch.tensor([[3.0, 0.0]]), 3)[0]
    assert path.tolist() == pytest.approx(np.array([[1, 0], [2, 0], [3, 0]]))
