"""The n-gram baseline against a direct reading of its equations."""

import math
from collections import Counter

import numpy as np
import pytest
import torch

from training.text.ngram import TUNING_SHARE, Ids, NgramSettings, ngram_loss, tune

SYMBOLS = 5
DISCOUNTS = torch.tensor(
    [[0.1, 0.2, 0.3], [0.6, 1.1, 1.4], [0.8, 1.2, 1.9], [0.5, 1.0, 2.5]], dtype=torch.float64
)


def draw_text(seed: int, length: int) -> Ids:
    """A Markov chain of second order, so that histories help."""
    random = np.random.default_rng(seed)
    table = np.random.default_rng(0).dirichlet(np.full(SYMBOLS, 0.3), (SYMBOLS, SYMBOLS))
    text = [0, 1]
    for _ in range(length - 2):
        text.append(int(random.choice(SYMBOLS, p=table[text[-2], text[-1]])))
    return np.array(text)


def distribution(train: list[int], history: list[int], settings: NgramSettings) -> list[float]:
    """p(. | history) as the module's equation has it, order by order."""
    p = [1 / SYMBOLS] * SYMBOLS
    orders = len(settings.discounts)
    for n in range(1, min(orders, len(history) + 1) + 1):
        after = tuple(history[len(history) - n + 1 :])
        counts: Counter[int] = Counter()
        if settings.continuation and n < orders:
            longer = {tuple(train[i : i + n + 1]) for i in range(len(train) - n)}
            counts.update(gram[-1] for gram in longer if gram[1:-1] == after)
        else:
            grams = (tuple(train[i : i + n]) for i in range(len(train) - n + 1))
            counts.update(gram[-1] for gram in grams if gram[:-1] == after)
        total = sum(counts.values())
        if total:
            discounts = settings.discounts[n - 1].tolist()
            taken = {s: discounts[min(c, 3) - 1] for s, c in counts.items()}
            mass = sum(taken.values())
            p = [(counts[s] - taken.get(s, 0) + mass * p[s]) / total for s in range(SYMBOLS)]
    return p


@pytest.mark.parametrize("continuation", [False, True])
def test_loss_is_that_of_the_equations(continuation: bool) -> None:
    settings = NgramSettings(continuation, DISCOUNTS)
    train, text = draw_text(1, 120), draw_text(2, 40)
    expected = 0.0
    for place in range(1, len(text)):
        p = distribution(train.tolist(), text[:place].tolist(), settings)
        assert sum(p) == pytest.approx(1.0, abs=1e-12)
        expected -= math.log(p[text[place]])
    # Both sum some hundred numbers in float64.
    got = ngram_loss(train, text, SYMBOLS, settings)
    assert got == pytest.approx(expected / (len(text) - 1), abs=1e-12)


def test_symbol_that_training_lacks_has_a_share_of_the_uniform_distribution() -> None:
    train, text = np.array([0, 1, 0, 1, 0, 1]), np.array([0, 3])
    settings = NgramSettings(False, torch.tensor([[1.0, 2.0, 1.5]], dtype=torch.float64))
    # Counts 3 and 3, so 2 x 1.5 of 6 goes to the uniform distribution over 5 symbols.
    assert ngram_loss(train, text, 5, settings) == pytest.approx(-math.log(3 / 6 / 5))


def test_tuned_settings_have_the_least_loss_on_the_end_of_the_training_text() -> None:
    train = draw_text(1, 6000)
    settings = tune(train, SYMBOLS, order=4)
    end = int(len(train) * TUNING_SHARE)
    counted, predicted = train[:-end], train[-end:]
    tuned = ngram_loss(counted, predicted, SYMBOLS, settings)
    for continuation in (False, True):
        for discounts in (DISCOUNTS, 0.2 * DISCOUNTS, 0.95 * settings.discounts + 0.02):
            other = NgramSettings(continuation, discounts)
            assert tuned < ngram_loss(counted, predicted, SYMBOLS, other)


def test_tuned_discounts_lie_below_the_counts_they_are_taken_from() -> None:
    discounts = tune(draw_text(1, 1000), SYMBOLS, order=3).discounts
    assert discounts.shape == (3, 3)
    assert (discounts >= 0).all()
    assert (discounts <= torch.tensor([1.0, 2.0, 3.0])).all()


def test_longer_histories_help_up_to_the_order_of_the_source() -> None:
    train, text = draw_text(1, 4000), draw_text(2, 2000)
    losses = [ngram_loss(train, text, SYMBOLS, tune(train, SYMBOLS, order)) for order in (1, 2, 3)]
    assert losses[0] > losses[1] + 0.05
    assert losses[1] > losses[2] + 0.05
