"""BLEU against the COCO caption evaluation, and by hand."""

import math
from collections.abc import Sequence

import pytest

from tests.caption_scores import REFERENCES, SCORED, TOLERANCE, Scored
from training.caption.bleu import bleu, bleu_counts, bleu_of_counts
from training.data.caption_text import tokenize


@pytest.mark.parametrize("case", SCORED.values(), ids=list(SCORED))
def test_bleu_equals_the_coco_evaluation(case: Scored) -> None:
    assert bleu(case.candidates, REFERENCES) == pytest.approx(case.bleu, abs=TOLERANCE)


def test_bleu_clips_a_repeated_word_to_the_reference_that_holds_it_most() -> None:
    """The example of Papineni et al., section 2.1: 2 of 7."""
    texts = ("the cat is on the mat", "there is a cat on the mat")
    references = [[tokenize(text) for text in texts]]
    assert bleu([["the"] * 7], references)[0] == pytest.approx(2 / 7)


@pytest.mark.parametrize(
    ("length", "penalty"),
    [(2, math.exp(1 - 3 / 2)), (3, 1.0), (4, 1.0), (5, 1.0)],
    ids=["shorter", "equal to one", "between two, the shorter counts", "equal to the other"],
)
def test_bleu_compares_with_the_closest_reference_length(length: int, penalty: float) -> None:
    references = [[["a"] * 5, ["a"] * 3]]
    assert bleu([["a"] * length], references)[0] == pytest.approx(penalty)


def test_bleu_sums_over_the_corpus_before_it_divides() -> None:
    candidates, references = [["a"], ["b", "x", "x"]], [[["a"]], [["b", "c", "d"]]]
    assert bleu(candidates, references)[0] == pytest.approx(2 / 4)


@pytest.mark.parametrize(
    ("candidates", "references", "message"),
    [
        ([["a"]], [[["a"]], [["b"]]], "candidates: expected 2, one for each picture, got 1"),
        ([["a"]], [[]], r"references\[0\]: expected one caption or more"),
        ([], [], "references: expected those of one picture or more"),
    ],
)
def test_bleu_refuses_what_does_not_pair(
    candidates: Sequence[Sequence[str]],
    references: Sequence[Sequence[Sequence[str]]],
    message: str,
) -> None:
    with pytest.raises(ValueError, match=message):
        bleu(candidates, references)


def test_counts_of_pictures_add_up_to_those_of_the_corpus() -> None:
    candidates = [tokenize("a dog on a beach"), tokenize("the cat")]
    references = [[tokenize("a dog on the beach")], [tokenize("a cat sits")]]
    counts = bleu_counts(candidates, references)
    assert counts.shape == (2, 10)
    assert bleu_of_counts(counts.sum(axis=0)) == bleu(candidates, references)
    assert bleu_of_counts(counts[0]) == bleu(candidates[:1], references[:1])
