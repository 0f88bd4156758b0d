"""Training of words on made-up pictures."""

from pathlib import Path

import pytest
import torch

from tests.photo_data import make_photos
from training.checkpoint import save_checkpoint
from training.rundir import RunDirectory
from training.runtime import Runtime
from training.words import evaluation
from training.words.config import WordsConfig
from training.words.task import WordsTask

CONFIG = WordsConfig.model_validate(
    {
        "model": {"channels": (8, 8, 8, 16), "blocks": 1},
        "data": {
            "batch_size": 12,
            "side": 32,
            "sides": (32,),
            "validation_side": 32,
            "words": 5,
            "crop": {"smallest": 0.9, "flip": False, "jitter": 0.0},
        },
        "optimizer": {"name": "adamw", "lr": 5e-3},
        "schedule": {"name": "constant"},
        "regularisation": {"dropout": 0.0},
        "run": {"epochs": 15},
    }
)


def test_the_words_of_a_colour_are_learnt() -> None:
    task = WordsTask(CONFIG, make_photos(), Runtime())
    before = task.validate()["mean_average_precision"]
    for step in range(task.plan.total_steps):
        torch.manual_seed(step)
        task.train_step(step)
    after = task.validate()["mean_average_precision"]
    assert before < 0.75 < 0.9 < after


def test_the_evaluation_names_the_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = make_photos()
    task = WordsTask(CONFIG, photos, Runtime())
    run = RunDirectory(tmp_path / "run")
    run.create("words", CONFIG)
    save_checkpoint(run.best, {"model": task.best_model().state_dict()})
    monkeypatch.setattr(evaluation, "load_captioned_images", lambda *args, **options: photos)
    figures = evaluation.open_run(run.path, tmp_path).evaluate("validation").figures
    validated = task.validate()["mean_average_precision"]
    assert figures["mean_average_precision"] == pytest.approx(validated)
    assert "square" in evaluation.describe(figures)


def test_a_step_depends_on_its_number_alone() -> None:
    losses = []
    for _ in range(2):
        task = WordsTask(CONFIG, make_photos(), Runtime())
        torch.manual_seed(3)
        losses.append(task.train_step(3)["loss"].item())
    assert losses[0] == losses[1]
