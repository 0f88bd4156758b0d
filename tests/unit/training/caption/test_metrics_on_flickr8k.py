"""All caption metrics on the test split of Flickr8k: figures of pycocoevalcap 1.2."""

from pathlib import Path

import pytest

from training.caption.bleu import bleu
from training.caption.cider import CiderD
from training.caption.rouge import rouge_l
from training.data.caption_text import tokenize
from training.data.flickr8k import ARCHIVE, flickr8k_files

pytestmark = pytest.mark.data
TOLERANCE = 5e-5
"""The figures are written with four decimals."""
Captions = list[list[tuple[str, ...]]]


@pytest.fixture(scope="module")
def captions(data_dir: Path) -> Captions:
    """Five captions of each of the 1,000 test pictures."""
    if not (data_dir / ARCHIVE).is_file():
        pytest.skip(f"no {ARCHIVE} in {data_dir}")
    files = flickr8k_files(data_dir, verify=True)
    return [[tokenize(c) for c in file.captions] for file in files.splits["test"].values()]


def test_metrics_of_one_person_against_four_others(captions: Captions) -> None:
    candidates, references = [c[0] for c in captions], [c[1:] for c in captions]
    expected = (0.6364, 0.4458, 0.3055, 0.2095)
    assert bleu(candidates, references) == pytest.approx(expected, abs=TOLERANCE)
    assert CiderD(references).score(candidates) == pytest.approx(0.7887, abs=TOLERANCE)
    assert rouge_l(candidates, references) == pytest.approx(0.4876, abs=TOLERANCE)


def test_metrics_of_one_caption_for_all_pictures(captions: Captions) -> None:
    """What a captioner that looks at nothing reaches."""
    candidates = [tokenize("a man in a red shirt is standing in the grass")] * len(captions)
    expected = (0.4795, 0.2762, 0.1365, 0.0749)
    assert bleu(candidates, captions) == pytest.approx(expected, abs=TOLERANCE)
    assert CiderD(captions).score(candidates) == pytest.approx(0.0944, abs=TOLERANCE)
    assert rouge_l(candidates, captions) == pytest.approx(0.3352, abs=TOLERANCE)
