"""Captions borrowed from pictures that look alike."""

import torch

from training.caption.nearest import nearest_captions
from training.data.caption_text import tokenize

TRAIN = [
    [tokenize(text) for text in texts]
    for texts in (
        ("a dog on a beach", "a dog on the beach", "the sea"),
        ("a dog on a beach runs", "a wet dog on a beach", "sand"),
        ("two men in a boat", "a boat", "men row a boat"),
        ("men in a boat on a lake", "two men row", "a lake"),
    )
]
FEATURES = torch.tensor([[5.0, 0.1], [5.0, -0.1], [-5.0, 0.1], [-5.0, -0.1]])


def test_captions_come_from_the_pictures_that_look_alike() -> None:
    found = nearest_captions(torch.tensor([[9.0, 0.0], [-9.0, 0.0]]), FEATURES, TRAIN, 2)
    assert "dog" in found[0]
    assert "boat" in found[1]


def test_of_their_captions_the_one_most_like_the_others_is_taken() -> None:
    found = nearest_captions(torch.tensor([[9.0, 0.0]]), FEATURES, TRAIN, 2)
    assert found[0] in (TRAIN[0][0], TRAIN[1][0])


def test_there_may_be_fewer_pictures_than_neighbours() -> None:
    assert len(nearest_captions(FEATURES, FEATURES, TRAIN, 30)) == len(FEATURES)
