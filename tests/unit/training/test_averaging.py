"""Exponential mean of weights."""

import pytest
import torch
from torch import nn

from training.averaging import make_average


def test_make_average_with_decay_zero_is_none() -> None:
    assert make_average(nn.Linear(1, 1), 0.0) is None


def test_average_follows_its_recurrence() -> None:
    layer = nn.Linear(1, 1, bias=False)
    average = make_average(layer, 0.9)
    assert average is not None
    expected = None
    for value in (1.0, 2.0, 4.0):
        nn.init.constant_(layer.weight, value)
        average.update_parameters(layer)
        expected = value if expected is None else 0.9 * expected + 0.1 * value
    assert average.module.state_dict()["weight"].item() == pytest.approx(expected)


def test_average_copies_the_statistics_of_batch_norm() -> None:
    norm = nn.BatchNorm1d(1)
    average = make_average(norm, 0.9)
    assert average is not None
    for shift in (0.0, 5.0):
        norm(torch.randn(8, 1) + shift)
        average.update_parameters(norm)
    got, expected = average.module.state_dict(), norm.state_dict()
    assert torch.equal(got["running_mean"], expected["running_mean"])
