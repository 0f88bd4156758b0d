"""The evaluation of a run directory: what it writes and when it computes."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from quartet.config import ConfigError
from training.evaluation.classification import evaluate_classifier
from training.evaluation.report import Predictions
from training.evaluation.runner import EVALUATION_FILE, evaluate, stored_evaluation
from training.evaluation.spec import Evaluation, Split


class FakeRun:
    """A classifier of three classes that is wrong on rows 0 and 1."""

    def __init__(self) -> None:
        self.calls: list[Split] = []

    def data_checksums(self) -> dict[str, str]:
        return {"file": "00"}

    def evaluate(self, split: Split) -> Evaluation:
        self.calls.append(split)
        targets = np.arange(30) % 3
        probabilities = np.full((30, 3), 0.05)
        probabilities[np.arange(30), targets] = 0.9
        probabilities[0] = [0.1, 0.2, 0.7]
        probabilities[1] = [0.8, 0.1, 0.1]
        images = np.zeros((30, 28, 28), np.uint8)
        predictions = Predictions(
            images=images, targets=targets, log_probabilities=np.log(probabilities)
        )
        return evaluate_classifier(predictions, ("a", "b", "c"))


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    (tmp_path / "best.pt").write_bytes(b"weights")
    return tmp_path


def test_evaluate_writes_figures_and_pictures(run_dir: Path) -> None:
    values, fresh = evaluate(run_dir, "test", FakeRun)
    stored = json.loads((run_dir / EVALUATION_FILE).read_text())
    assert fresh
    assert stored["splits"]["test"] == values
    assert values["correct"] == 28
    assert [(m["index"], m["predicted"]) for m in values["mistakes"]] == [(1, 0), (0, 2)]
    for kind in ("confusion", "reliability", "mistakes"):
        with Image.open(run_dir / f"{kind}-test.png") as picture:
            assert min(picture.size) > 100


def test_evaluate_writes_records_beside_the_figures(run_dir: Path) -> None:
    class Recorder(FakeRun):
        def evaluate(self, split: Split) -> Evaluation:
            return Evaluation(figures={"count": 2}, records={"rows": {"right": [1, 0]}})

    evaluate(run_dir, "test", Recorder)
    assert json.loads((run_dir / "rows-test.json").read_text()) == {"right": [1, 0]}
    assert "rows" not in (run_dir / EVALUATION_FILE).read_text()


def test_evaluate_reads_a_split_once_while_weights_stay(run_dir: Path) -> None:
    run = FakeRun()
    first, _ = evaluate(run_dir, "test", lambda: run)
    second, fresh = evaluate(run_dir, "test", lambda: run)
    assert not fresh
    assert second == first
    assert run.calls == ["test"]


def test_evaluate_computes_anew_when_forced(run_dir: Path) -> None:
    run = FakeRun()
    evaluate(run_dir, "test", lambda: run)
    _, fresh = evaluate(run_dir, "test", lambda: run, force=True)
    assert fresh
    assert run.calls == ["test", "test"]


def test_evaluate_keeps_the_other_split(run_dir: Path) -> None:
    evaluate(run_dir, "validation", FakeRun)
    evaluate(run_dir, "test", FakeRun)
    assert set(stored_evaluation(run_dir)["splits"]) == {"validation", "test"}


def test_evaluate_forgets_figures_when_weights_change(run_dir: Path) -> None:
    evaluate(run_dir, "test", FakeRun)
    (run_dir / "best.pt").write_bytes(b"other weights")
    assert stored_evaluation(run_dir)["splits"] == {}


def test_stored_evaluation_refuses_a_folder_without_weights(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no finished run: it has no best\.pt"):
        stored_evaluation(tmp_path)


def test_stored_evaluation_names_a_damaged_file(run_dir: Path) -> None:
    (run_dir / EVALUATION_FILE).write_text("{")
    with pytest.raises(ConfigError, match=r"evaluation\.json is damaged"):
        stored_evaluation(run_dir)
