"""Words as labels of pictures."""

import pytest
import torch

from training.words.targets import choose_words, mean_average_precision, word_targets

CAPTIONS = (
    ("A dog runs .", "the dog is running", "a brown dog"),
    ("a man and a dog", "A man walks", "someone walks"),
    ("grass", "green grass", "a lawn"),
)


def test_words_are_chosen_by_the_pictures_they_are_said_of() -> None:
    assert choose_words(CAPTIONS, 1) == ("dog",)
    assert "the" not in choose_words(CAPTIONS, 100)


def test_a_word_that_fewer_use_counts_less() -> None:
    targets = word_targets(CAPTIONS, ("dog", "walks", "lawn"), agreement=2)
    assert targets.tolist() == [[1.0, 0.0, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 0.5]]


def test_average_precision_of_a_known_ranking() -> None:
    scores = torch.tensor([[0.9], [0.8], [0.7], [0.6]])
    shown = torch.tensor([[True], [False], [True], [False]])
    assert mean_average_precision(scores, shown) == pytest.approx((1 + 2 / 3) / 2)


def test_words_that_nobody_shows_do_not_count() -> None:
    scores = torch.tensor([[0.9, 0.1], [0.8, 0.2]])
    shown = torch.tensor([[True, False], [False, False]])
    assert mean_average_precision(scores, shown) == 1.0
