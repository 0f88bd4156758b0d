"""The evaluation of generators with random weights on made-up digits."""

import json
from pathlib import Path
from typing import Literal

import pytest
from PIL import Image

from quartet.config import ConfigError
from tests.dcgan_runs import write_digit_scorer, write_run
from training.dcgan import evaluation
from training.dcgan.evaluation import DcganEvaluation, describe
from training.evaluation.runner import evaluate
from training.loggers import JsonlLogger, Record
from training.rundir import RunDirectory

ROWS = 16
"""Test pictures of the made-up data."""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_digit_scorer(tmp_path / "models")
    # What is averaged over is of no matter here, and a test is short.
    monkeypatch.setattr(evaluation, "_PATHS", 4)
    monkeypatch.setattr(evaluation, "_ASKED", 20)
    return tmp_path / "models"


def test_an_evaluation_has_each_figure_beside_its_floor_and_survives_json(
    tmp_path: Path, repository: Path, mnist_dir: Path
) -> None:
    run = write_run(tmp_path / "run")
    figures, _ = evaluate(run, "test", lambda: DcganEvaluation(run, mnist_dir, repository))
    stored = json.loads((run / "evaluation.json").read_text())["splits"]["test"]
    assert stored == figures
    assert figures["count"] == ROWS
    for name in ("frechet_distance", "kernel_distance", "precision", "recall"):
        assert set(figures[name]) == {"samples", "floor"}
    # Noise of an untrained network is nothing like digits; real ones are like each other.
    assert figures["frechet_distance"]["samples"] > figures["frechet_distance"]["floor"]
    assert sum(figures["class_shares"]["samples"]) == pytest.approx(1)
    assert 1 <= figures["inception_score"]["samples"] <= 10
    assert len(figures["scorer"]["sha256"]) == 64
    assert figures["scorer"]["sha256"] in describe(figures)
    assert "agreement" not in figures


def test_an_evaluation_is_the_same_twice(tmp_path: Path, repository: Path, mnist_dir: Path) -> None:
    run = write_run(tmp_path / "run", "prompt")
    first, second = (
        DcganEvaluation(run, mnist_dir, repository).evaluate("test").figures for _ in range(2)
    )
    assert first == second


@pytest.mark.parametrize(
    ("condition", "names"),
    [("class", {"digit", "joint"}), ("prompt", {"digit", "weight", "slant", "joint"})],
)
def test_a_conditional_generator_is_asked_whether_it_listens(
    tmp_path: Path,
    repository: Path,
    mnist_dir: Path,
    condition: Literal["class", "prompt"],
    names: set[str],
) -> None:
    run = write_run(tmp_path / "run", condition)
    figures = DcganEvaluation(run, mnist_dir, repository).evaluate("test").figures
    assert set(figures["agreement"]["samples"]) == names
    assert figures["agreement"]["samples"]["joint"]["share"] < 0.9  # it has learned nothing
    assert "shows what was asked for" in describe(figures)


def test_pictures_are_drawn_of_samples_and_learning(
    tmp_path: Path, repository: Path, mnist_dir: Path
) -> None:
    run = write_run(tmp_path / "run")
    logger = JsonlLogger(RunDirectory(run).metrics, 0)
    losses = {"discriminator_loss": 1.0, "generator_loss": 0.7, "probability_real": 0.6}
    logger.write(Record(step=1, epoch=0.5, split="train", elapsed_s=1.0, metrics=losses))
    logger.close()
    evaluate(run, "test", lambda: DcganEvaluation(run, mnist_dir, repository))
    with Image.open(run / "samples-test.png") as sheet:
        assert (sheet.size, sheet.mode) == ((8 * 28, 8 * 28), "L")
    with Image.open(run / "learning-test.png") as drawn:
        assert drawn.size[0] > drawn.size[1]


def test_an_evaluation_without_the_scorer_says_which(tmp_path: Path, mnist_dir: Path) -> None:
    run = write_run(tmp_path / "run")
    with pytest.raises(ConfigError, match="no such scorer"):
        DcganEvaluation(run, mnist_dir, tmp_path / "empty").evaluate("test")
