"""All metrics at once, of captions, of people and of floors."""

from pathlib import Path

import pytest

from training.caption.bleu import bleu
from training.caption.cider import CiderD
from training.caption.rouge import rouge_l
from training.caption.scores import (
    CONSTANTS,
    HeldOutScores,
    floor_scores,
    score_captions,
    turns,
)
from training.data.caption_text import tokenize
from training.data.flickr8k import ARCHIVE, flickr8k_files

REFERENCES = [
    [tokenize(text) for text in texts]
    for texts in (
        ("a red bird on a branch", "the bird sits in a tree", "a bird"),
        ("two men row a boat", "men in a boat on the lake", "rowing on a lake"),
        ("a child eats cake", "the child has cake on its face", "cake for the child"),
    )
]
CAPTIONS = [tokenize(text) for text in ("a bird in a tree", "a boat on a lake", "a red car")]


def test_scores_are_those_of_the_metrics() -> None:
    scores = score_captions(CAPTIONS, REFERENCES)
    assert scores["bleu"] == list(bleu(CAPTIONS, REFERENCES))
    assert scores["cider_d"] == CiderD(REFERENCES).score(CAPTIONS)
    assert scores["rouge_l"] == rouge_l(CAPTIONS, REFERENCES)


def test_each_reference_is_held_out_once() -> None:
    found = list(turns(REFERENCES))
    assert len(found) == 3
    for row in range(3):
        assert [turn.held_out[row] for turn in found] == REFERENCES[row]
        for turn in found:
            both = {tuple(turn.held_out[row]), *map(tuple, turn.others[row])}
            assert both == set(REFERENCES[row])
            assert len(turn.others[row]) == 2


def test_a_picture_with_one_reference_takes_no_part() -> None:
    found = list(turns([REFERENCES[0], REFERENCES[1][:1], REFERENCES[2][:2]]))
    assert {turn.rows for turn in found} == {(0, 2)}
    assert [turn.held_out[1] for turn in found] == [REFERENCES[2][place] for place in (0, 1, 0)]


def test_people_are_scored_against_the_others() -> None:
    scores = HeldOutScores(REFERENCES).of_people()
    each = [
        score_captions(
            [texts[turn] for texts in REFERENCES],
            [texts[:turn] + texts[turn + 1 :] for texts in REFERENCES],
        )
        for turn in range(3)
    ]
    assert scores["rouge_l"] == pytest.approx(sum(s["rouge_l"] for s in each) / 3)
    assert scores["cider_d"] == pytest.approx(sum(s["cider_d"] for s in each) / 3)
    assert scores["bleu"][1] == pytest.approx(sum(s["bleu"][1] for s in each) / 3)


def test_fewer_references_match_less() -> None:
    held_out = HeldOutScores(REFERENCES)
    fewer = held_out.of_captions(CAPTIONS)
    assert held_out.references == 2
    assert fewer["bleu"][0] < score_captions(CAPTIONS, REFERENCES)["bleu"][0]


def test_nobody_can_be_held_out_of_one() -> None:
    with pytest.raises(ValueError, match="two or more"):
        HeldOutScores([texts[:1] for texts in REFERENCES])


def test_random_captions_are_training_captions_and_never_change() -> None:
    train = [[tokenize("a bird in a tree")]]
    floors = floor_scores(REFERENCES, train)
    alike = score_captions([train[0][0]] * 3, REFERENCES)
    assert floors["random"] == alike
    assert floor_scores(REFERENCES, REFERENCES) == floor_scores(REFERENCES, REFERENCES)


@pytest.mark.data
def test_floors_and_ceiling_on_the_test_split(data_dir: Path) -> None:
    """Figures of pycocoevalcap 1.2, written with three decimals; that person is the first."""
    if not (data_dir / ARCHIVE).is_file():
        pytest.skip(f"no {ARCHIVE} in {data_dir}")
    files = flickr8k_files(data_dir, verify=True).splits["test"].values()
    references = [[tokenize(text) for text in file.captions] for file in files]
    expected = ((0.480, 0.276, 0.136, 0.075, 0.094), (0.406, 0.183, 0.099, 0.062, 0.138))
    cider = CiderD(references)
    for caption, figures in zip(CONSTANTS, expected, strict=True):
        scores = score_captions([tokenize(caption)] * len(references), references, cider)
        assert (*scores["bleu"], scores["cider_d"]) == pytest.approx(figures, abs=6e-4)
    first = next(turns(references))
    scores = score_captions(first.held_out, first.others)
    expected_person = (0.636, 0.446, 0.305, 0.209, 0.789)
    assert (*scores["bleu"], scores["cider_d"]) == pytest.approx(expected_person, abs=6e-4)
