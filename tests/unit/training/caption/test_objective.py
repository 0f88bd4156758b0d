"""The captioner's objective against its equations."""

import math

import pytest
import torch

from training.caption.model import NEVER
from training.caption.objective import IGNORED, coverage_loss, word_loss

OFFSET = torch.tensor([NEVER, 0.0, 0.0, 0.0])


def test_the_loss_is_the_mean_over_the_words_that_count() -> None:
    scores = torch.zeros(1, 2, 4) + OFFSET
    scores[0, 0, 1] = math.log(2.0)
    targets = torch.tensor([[1, IGNORED]])
    assert word_loss(scores, targets, OFFSET, 0.0).item() == pytest.approx(-math.log(2 / 4))


def test_smoothing_spreads_over_the_symbols_that_may_stand() -> None:
    scores = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(1)) + OFFSET
    targets = torch.tensor([[1, 2, 3], [3, 1, IGNORED]])
    got = word_loss(scores, targets, OFFSET, 0.1).item()
    expected, count = 0.0, 0
    for row, places in enumerate(targets.tolist()):
        for place, target in enumerate(places):
            if target != IGNORED:
                logs = torch.log_softmax(scores[row, place].double(), 0)
                expected -= 0.9 * logs[target].item() + 0.1 * logs[1:].mean().item()
                count += 1
    assert got == pytest.approx(expected / count, rel=1e-5)


def test_even_coverage_costs_less_than_one_place() -> None:
    targets = torch.tensor([[1, 1, 1, 1]])
    even = torch.eye(4).unsqueeze(0)
    same = torch.zeros(1, 4, 4)
    same[..., 0] = 1
    assert coverage_loss(even, targets).item() == pytest.approx(0.0)
    assert coverage_loss(same, targets).item() == pytest.approx((9 + 3) / 4)


def test_coverage_counts_an_unknown_word_but_nothing_behind_the_end() -> None:
    shares = torch.eye(4).unsqueeze(0)
    targets = torch.tensor([[1, IGNORED, 1, IGNORED]])
    assert coverage_loss(shares, targets).item() == pytest.approx(1 / 4)
