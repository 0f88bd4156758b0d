"""Golden captions, and the pictures they are of."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from quartet.beam_search import Hypothesis
from quartet.generation import TOP_LOG_PROBABILITIES, TOP_TOKENS
from tests.caption_models import VOCABULARY
from training.caption.decoding import BeamSettings, beam_rules
from training.caption.goldens import PICTURES, make_caption_golden
from training.caption.graph_search import CaptionGraphs
from training.export.errors import ExportError
from training.export.predict import Arrays
from training.vision.drawings import Pixels, draw_pictures

SETTINGS = BeamSettings(width=2, max_tokens=5)
SYMBOLS = len(VOCABULARY)
IMAGES = draw_pictures(6, 16)


def graphs(gap: float) -> CaptionGraphs:
    """Each picture's brightness picks its words; the second best are ``gap`` nats behind."""

    def encoder(inputs: Arrays) -> Arrays:
        bright = np.asarray(inputs["image"], np.float32).mean(axis=(1, 2, 3))
        return {"hidden": bright[:, None]}

    def decode(inputs: Arrays) -> Arrays:
        first = (np.asarray(inputs["hidden"], np.float32)[:, 0]).astype(np.int64)
        counts = np.asarray(inputs["counts"], np.float32)
        count = counts.sum(axis=1)
        word = 3 + (first + count.astype(np.int64)) % (SYMBOLS - 3)
        word = np.where(count == 3, 1, word)
        other = np.where(word == 3, 4, 3)
        scores = np.array([-0.5, -0.5 - gap], np.float32)
        marks = np.zeros_like(counts)
        marks[np.arange(len(word)), word] = 1
        return {
            TOP_TOKENS: np.stack([word, other], axis=1)[:, None],
            TOP_LOG_PROBABILITIES: np.tile(scores, (len(word), 1))[:, None],
            "next_hidden": np.asarray(inputs["hidden"]),
            "next_counts": counts + marks,
        }

    return CaptionGraphs(encoder, decode, begin=0)


def reference(
    change: Callable[[Hypothesis], Hypothesis] = lambda one: one,
) -> Callable[[Pixels], Sequence[Hypothesis]]:
    rules = beam_rules(SETTINGS, VOCABULARY)
    return lambda images: [change(one) for one in graphs(2.0).search(images, rules)]


def test_captions_are_those_of_the_reference() -> None:
    golden = make_caption_golden(
        graphs(2.0), reference(), IMAGES, (SETTINGS, VOCABULARY), "PyTorch"
    )
    wanted = reference()(golden.images)
    assert len(golden.images) == PICTURES
    for one, tokens in zip(wanted, golden.tokens, strict=True):
        np.testing.assert_array_equal(tokens, one.tokens)
        assert tokens[-1] == 1
    assert (golden.beam_width, golden.max_tokens, golden.source) == (2, 5, "PyTorch")


def test_pictures_whose_caption_hangs_on_a_near_tie_are_not_stored() -> None:
    with pytest.raises(ExportError, match="none of 6 pictures keeps its caption"):
        make_caption_golden(graphs(0.0), reference(), IMAGES, (SETTINGS, VOCABULARY), "PyTorch")


def test_another_caption_is_refused() -> None:
    changed = reference(lambda one: replace(one, tokens=one.tokens[::-1]))
    with pytest.raises(ExportError, match=r"caption 0 of PyTorch: symbols \["):
        make_caption_golden(graphs(2.0), changed, IMAGES, (SETTINGS, VOCABULARY), "PyTorch")


@pytest.mark.parametrize("shift", [0.011, np.nan])
def test_other_log_probabilities_are_refused(shift: float) -> None:
    changed = reference(
        lambda one: replace(one, log_probabilities=one.log_probabilities + np.float32(shift))
    )
    with pytest.raises(ExportError, match="log-probabilities differ by up to"):
        make_caption_golden(graphs(2.0), changed, IMAGES, (SETTINGS, VOCABULARY), "PyTorch")


def test_drawn_pictures_are_many_coloured_and_drawn_again_alike() -> None:
    pictures = draw_pictures(5, 40, seed=2)
    assert pictures.shape == (5, 40, 40, 3)
    assert len({picture.tobytes() for picture in pictures}) == 5
    assert pictures.std(axis=(1, 2)).mean() > 20
    np.testing.assert_array_equal(draw_pictures(5, 40, seed=2), pictures)
    assert not np.array_equal(draw_pictures(5, 40, seed=3), pictures)
