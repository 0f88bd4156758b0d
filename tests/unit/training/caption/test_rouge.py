"""ROUGE-L against the COCO caption evaluation, and by hand."""

import pytest

from tests.caption_scores import REFERENCES, SCORED, TOLERANCE, Scored
from training.caption.rouge import rouge_l
from training.data.caption_text import tokenize


@pytest.mark.parametrize("case", SCORED.values(), ids=list(SCORED))
def test_rouge_l_equals_the_coco_evaluation(case: Scored) -> None:
    assert rouge_l(case.candidates, REFERENCES) == pytest.approx(case.rouge, abs=TOLERANCE)


def test_rouge_l_counts_words_in_order_with_gaps() -> None:
    """The example of Lin 2004, section 3.1: 3 of 4 words follow in order, and 2 of 4."""
    references = [[tokenize("police killed the gunman")]]
    assert rouge_l([tokenize("police kill the gunman")], references) == pytest.approx(3 / 4)
    assert rouge_l([tokenize("the gunman kill police")], references) == pytest.approx(2 / 4)


def test_rouge_l_takes_precision_and_recall_from_different_references() -> None:
    candidate, references = ["a", "b"], [["a", "b", "c", "d"], ["a"]]
    assert rouge_l([candidate], [references]) == pytest.approx(1.0)


def test_rouge_l_scores_an_empty_reference_as_none() -> None:
    assert rouge_l([["a"]], [[[], ["a"]]]) == pytest.approx(1.0)


def test_rouge_l_refuses_another_number_of_captions() -> None:
    with pytest.raises(ValueError, match="candidates: expected 4, one for each picture, got 1"):
        rouge_l([["a"]], REFERENCES)
