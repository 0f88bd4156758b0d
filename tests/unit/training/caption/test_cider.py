"""CIDEr-D against the COCO caption evaluation, and its properties."""

import numpy as np
import pytest

from tests.caption_scores import REFERENCES, SCORED, TOLERANCE, Scored
from training.caption.cider import SCALE, CiderD


@pytest.fixture(scope="module")
def metric() -> CiderD:
    return CiderD(REFERENCES)


@pytest.mark.parametrize("case", SCORED.values(), ids=list(SCORED))
def test_scores_equal_the_coco_evaluation(metric: CiderD, case: Scored) -> None:
    scores = metric.scores(case.candidates)
    assert scores.dtype == np.float64
    assert scores.tolist() == pytest.approx(case.cider, abs=TOLERANCE)
    assert metric.score(case.candidates) == pytest.approx(np.mean(case.cider), abs=TOLERANCE)


def test_scores_reach_the_scale_for_the_only_reference() -> None:
    captions = [captions[0] for captions in REFERENCES]
    metric = CiderD([[caption] for caption in captions])
    assert metric.scores(captions).tolist() == pytest.approx([SCALE] * 4)


def test_scores_do_not_depend_on_each_other(metric: CiderD) -> None:
    near, wrong = SCORED["near"].candidates, SCORED["wrong"].candidates
    alone = metric.scores((near[0], *wrong[1:]))
    assert alone[0] == metric.scores(near)[0]
    assert not alone[1:].any()


def test_scores_are_zero_for_a_single_picture() -> None:
    """Every n-gram is in every picture then, so that none tells anything."""
    assert CiderD(REFERENCES[:1]).score([REFERENCES[0][0]]) == 0.0


def test_scores_refuse_another_number_of_captions(metric: CiderD) -> None:
    with pytest.raises(ValueError, match="candidates: expected 4, one for each picture, got 1"):
        metric.scores([["a"]])


def test_cider_refuses_a_picture_without_references() -> None:
    with pytest.raises(ValueError, match=r"references\[1\]: expected one caption or more"):
        CiderD([[["a"]], []])
