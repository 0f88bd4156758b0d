"""Two captioners on the same pictures."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.unit.training.caption.conftest import make_run
from training.caption.bleu import bleu
from training.caption.bootstrap import Measure, compare_measures, make_measures
from training.caption.cider import CiderD
from training.caption.compare import compare_captions, main
from training.caption.naming import measure_naming
from training.caption.rouge import rouge_l
from training.data.caption_text import tokenize

THINGS = ("dog", "boy", "girl", "ball", "beach", "street", "bike", "water")
PICTURES = 80
REFERENCES = [
    [tokenize(f"a {THINGS[row % 8]} in the {THINGS[row % 5]}"), tokenize(f"the {THINGS[row % 8]}")]
    for row in range(PICTURES)
]
GOOD = [texts[0] for texts in REFERENCES]
POOR = [words if row % 3 else tokenize("a man in the snow") for row, words in enumerate(GOOD)]


def test_measures_of_all_pictures_are_the_metrics() -> None:
    measures = make_measures(POOR, REFERENCES, support=1)
    found = {name: measure.value(measure.rows.sum(axis=0)) for name, measure in measures.items()}
    naming = measure_naming(POOR, REFERENCES, support=1).as_dict()["all"]
    assert found == pytest.approx(
        {
            "CIDEr-D": CiderD(REFERENCES).score(POOR),
            **{f"BLEU-{n}": value for n, value in enumerate(bleu(POOR, REFERENCES), start=1)},
            "ROUGE-L": rouge_l(POOR, REFERENCES),
            "precision of nouns": naming["precision"],
            "recall of nouns": naming["recall"],
        }
    )


def test_better_captions_are_told_apart() -> None:
    differences = compare_captions(POOR, GOOD, REFERENCES)
    for name in ("CIDEr-D", "BLEU-1", "BLEU-4", "ROUGE-L"):
        row = differences[name]
        assert 0 < row.low < row.second - row.first < row.high
        assert row.decided
    swapped = compare_captions(GOOD, POOR, REFERENCES)["CIDEr-D"]
    assert swapped.high == pytest.approx(-differences["CIDEr-D"].low)


def test_equal_captions_are_not_told_apart() -> None:
    row = compare_captions(POOR, POOR, REFERENCES)["CIDEr-D"]
    assert (row.low, row.high) == (0.0, 0.0)
    assert not row.decided


def test_interval_of_a_mean_is_that_of_the_normal_distribution() -> None:
    pictures, random = 400, np.random.default_rng(0)
    values = random.normal(size=pictures)
    ones = np.ones(pictures)

    def mean(sums: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]") -> float:
        return float(sums[0] / sums[1])

    first = Measure(np.stack((np.zeros(pictures), ones), axis=1), mean)
    second = Measure(np.stack((values, ones), axis=1), mean)
    row = compare_measures(first, second)
    half = 1.96 * values.std() / pictures**0.5
    # 2,000 draws give the ends of the interval to some 5 % of its length.
    assert row.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert row.high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_other_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match="expected 3 pictures of both, got 2"):
        compare_measures(Measure(np.ones((3, 1)), np.sum), Measure(np.ones((2, 1)), np.sum))


def test_compare_writes_a_table_of_both_runs(tmp_path: Path) -> None:
    plain, attention = make_run(tmp_path, "plain"), make_run(tmp_path, "attention")
    facts = {"parameters": 1234, "epochs": 2.0, "elapsed_s": 61.5}
    (plain.path / "summary.json").write_text(json.dumps(facts))
    options = ["--data-dir", str(plain.data_dir), "--table", str(tmp_path / "table.md")]
    assert main([str(plain.path), str(attention.path), *options]) == 0
    text = (tmp_path / "table.md").read_text()
    assert "| `caption/plain` | plain | 1,234 | 2 | 62 s |" in text
    assert "| `caption/attention` | attention | - | - | - |" in text
    assert "paired bootstrap over 12 pictures" in text
    for name in ("CIDEr-D", "BLEU-4", "ROUGE-L", "recall of nouns"):
        assert f"| {name} | " in text


def test_compare_refuses_what_is_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), str(tmp_path), "--data-dir", str(tmp_path)]) == 2
    assert "is no run directory" in capsys.readouterr().err
