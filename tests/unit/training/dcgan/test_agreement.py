"""Whether pictures show what was said of them."""

import pytest
import torch

from quartet.config import ConfigError
from training.dcgan.agreement import (
    allowed_values,
    digit_classes,
    face_classes,
    measure_agreement,
)
from training.dcgan.pictures import FACE_CLASSES, LabelledPictures, PictureSet
from training.dcgan.prompts import digit_grammar

NAMES = ("digit", "weight", "slant")
GRAMMAR = digit_grammar()
TEXTS = [sentence.text for sentence in GRAMMAR.sentences]


def said(*texts: str) -> torch.Tensor:
    return torch.tensor([TEXTS.index(text) for text in texts])


def test_an_attribute_counts_where_it_is_claimed_alone() -> None:
    prompts = said("a thin slanted three", "a three", "a thick digit", "a digit")
    shown = torch.tensor([[3, 0, 1], [8, 0, 0], [1, 2, 2], [7, 1, 1]])
    found = measure_agreement(GRAMMAR.allowed, prompts, shown, NAMES)
    assert {name: (row["share"], row["count"]) for name, row in found.items()} == {
        "digit": (0.5, 2),
        "weight": (1.0, 2),
        "slant": (0.0, 1),
        "joint": (pytest.approx(1 / 3), 3),
    }


def test_an_attribute_that_no_condition_claims_is_left_out() -> None:
    shown = torch.tensor([[4, 0, 0], [5, 2, 2]])
    found = measure_agreement(digit_classes(), torch.tensor([4, 4]), shown, NAMES)
    assert set(found) == {"digit", "joint"}
    assert found["digit"]["share"] == found["joint"]["share"] == 0.5


def test_face_classes_claim_what_their_names_say() -> None:
    allowed = face_classes()
    old_woman = FACE_CLASSES.index("old woman")
    found = measure_agreement(
        allowed, torch.tensor([old_woman] * 3), torch.tensor([[1, 5], [0, 5], [1, 4]]), ("g", "a")
    )
    assert found["joint"]["share"] == pytest.approx(1 / 3)
    assert len(allowed) == len(FACE_CLASSES)


def test_classes_of_unknown_pictures_are_refused() -> None:
    nothing = LabelledPictures(torch.empty(0), torch.empty(0), torch.empty(0))
    data = PictureSet(nothing, nothing, nothing, classes=("cat", "dog"))
    with pytest.raises(ConfigError, match="what a class of pets claims"):
        allowed_values("pets", "class", data)
