"""The evaluation of family faces: known answers, and a run on made-up faces."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.picture_data import write_faces
from training.checkpoint import save_checkpoint
from training.data.utkface import Split
from training.evaluation.runner import evaluate
from training.faces.config import FacesConfig
from training.faces.evaluation import FaceAnswers, describe, make_figures, open_run
from training.faces.model import FaceAttributes
from training.rundir import RunDirectory

TRAIN = Split(
    torch.zeros(3, 3, 64, 64, dtype=torch.uint8),
    torch.tensor([10, 30, 80]),
    torch.tensor([True, True, False]),
)


def answers() -> FaceAnswers:
    return FaceAnswers(
        female=np.array([True, True, False, False]),
        ages=np.array([1.0, 2.0, 40.0, 60.0]),
        probabilities=np.array([0.9, 0.2, 0.4, 0.1]),
        guessed_ages=np.array([3.0, 2.0, 34.0, 61.0]),
    )


def test_figures_count_genders_and_years() -> None:
    figures = make_figures(answers(), TRAIN)
    assert figures["gender_accuracy"] == 0.75
    assert figures["age_mae_years"] == pytest.approx((2 + 0 + 6 + 1) / 4)
    assert figures["age_bias_years"] == pytest.approx((2 + 0 - 6 + 1) / 4)
    low, high = figures["gender_accuracy_interval_95"]
    assert 0 < low < 0.75 < high < 1


def test_a_blind_guess_knows_the_training_split_alone() -> None:
    blind = make_figures(answers(), TRAIN)["blind"]
    assert blind["gender_accuracy"] == 0.5  # women are commoner among TRAIN
    assert blind["age_mae_years"] == pytest.approx((29 + 28 + 10 + 30) / 4)


def test_age_groups_without_faces_are_left_out() -> None:
    groups = make_figures(answers(), TRAIN)["groups"]
    assert {name: row["count"] for name, row in groups.items()} == {
        "0 to 2": 2,
        "35 to 54": 1,
        "55 and older": 1,
    }
    assert groups["0 to 2"]["gender_accuracy"] == 0.5
    assert groups["35 to 54"]["age_bias_years"] == -6


def test_a_run_is_evaluated_and_described(tmp_path: Path) -> None:
    write_faces(tmp_path / "utkface64.zip", 4)
    torch.manual_seed(0)
    config = FacesConfig.model_validate({"model": {"channels": (4, 4, 8, 8), "blocks": 1}})
    run = RunDirectory(tmp_path / "run")
    run.create("faces", config)
    state = FaceAttributes(config.model, 0.0).state_dict()
    save_checkpoint(run.best, {"model": state, "step": 1, "metrics": {}})
    figures, _ = evaluate(run.path, "test", lambda: open_run(run.path, tmp_path))
    stored = json.loads((run.path / "evaluation.json").read_text())
    assert stored["splits"]["test"] == figures
    assert set(stored["data_sha256"]) == {"utkface"}
    assert figures["count"] == 4
    assert "of 4 faces" in describe(figures)
    with Image.open(run.path / "ages-test.png") as drawn:
        assert drawn.size[0] > 300
