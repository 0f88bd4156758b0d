"""One search for every length penalty."""

import pytest
import torch

from tests.unit.training.caption.test_model import SYMBOLS, make_model
from training.caption.cider import CiderD
from training.caption.decoding import BeamSettings
from training.caption.tuning import (
    PENALTIES,
    best_of,
    complete_captions,
    search_all,
    tune_penalty,
)
from training.data.caption_text import END

PICTURES = 70
"""More than are searched at a time."""


@pytest.mark.parametrize("width", [1, 2, 4])
@torch.inference_mode()
def test_the_best_of_all_captions_is_what_a_search_with_the_penalty_finds(width: int) -> None:
    model = make_model("attention")
    for parameter in model.parameters():
        parameter.mul_(6)  # scores far apart, and below that captions of many lengths
    model.decoder.scores.bias[SYMBOLS.index(END)] += 6
    picture = model.reader(torch.rand(PICTURES, 10, 2, 2) * 3)
    found = complete_captions(model, picture, width, max_tokens=5)
    chosen = set()
    for penalty in PENALTIES:
        settings = BeamSettings(width=width, length_penalty=penalty, max_tokens=5)
        expected = [one[0].tokens.tolist() for one in search_all(model, picture, settings)]
        assert [best_of(one, penalty).tokens.tolist() for one in found] == expected
        chosen.add(str(expected))
    assert (len(chosen) > 1) == (width > 1)


@torch.inference_mode()
def test_of_equally_good_penalties_the_nearest_to_one_is_taken() -> None:
    model = make_model("plain")
    picture = model.reader(torch.rand(4, 10, 2, 2))
    cider = CiderD([[SYMBOLS[3:5]], [SYMBOLS[4:6]], [SYMBOLS[3:6]], [SYMBOLS[5:]]])
    tuned = tune_penalty(model, picture, cider, width=1, max_tokens=4)
    assert tuned.settings.length_penalty == 1.0
    assert set(tuned.cider_d.values()) == {tuned.best}
