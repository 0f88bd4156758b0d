"""Losses against their equations on small numbers."""

import math

import pytest
import torch

from quartet.config import ConfigError
from training.config import LossConfig
from training.nn.losses import make_loss

SCORES = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 1.0]], dtype=torch.float64)
LABELS = torch.tensor([0, 2])


def log_softmax(row: list[float]) -> list[float]:
    total = sum(math.exp(value) for value in row)
    return [math.log(math.exp(value) / total) for value in row]


def test_least_squares_is_the_mean_squared_distance_to_the_one_hot_target() -> None:
    first = (2 - 1) ** 2 + 0**2 + (-1) ** 2
    second = 0.5**2 + 0.5**2 + (1 - 1) ** 2
    loss = make_loss(LossConfig(name="least_squares"))(SCORES, LABELS)
    assert loss.item() == pytest.approx((first + second) / 2)


def test_cross_entropy_is_the_mean_negative_log_probability_of_the_label() -> None:
    rows = [log_softmax(row) for row in SCORES.tolist()]
    loss = make_loss(LossConfig())(SCORES, LABELS)
    assert loss.item() == pytest.approx(-(rows[0][0] + rows[1][2]) / 2)


def test_cross_entropy_spreads_the_smoothed_mass_over_all_classes() -> None:
    e = 0.3
    rows = [log_softmax(row) for row in SCORES.tolist()]
    expected = 0.0
    for row, label in zip(rows, LABELS.tolist(), strict=True):
        weights = [(1 - e) * (c == label) + e / 3 for c in range(3)]
        expected -= sum(w * v for w, v in zip(weights, row, strict=True)) / 2
    loss = make_loss(LossConfig(label_smoothing=e))(SCORES, LABELS)
    assert loss.item() == pytest.approx(expected)


def test_least_squares_refuses_label_smoothing() -> None:
    with pytest.raises(ConfigError, match="label_smoothing"):
        make_loss(LossConfig(name="least_squares", label_smoothing=0.1))
