"""Training of face attributes on made-up faces."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from quartet.config import ConfigError
from tests.picture_data import make_faces, write_faces
from training.checkpoint import CheckpointError, save_checkpoint
from training.faces.config import FacesConfig
from training.faces.model import AGES, FaceAttributes, expected_age
from training.faces.task import FAMILY, FacesTask, attributes_of, load_trained
from training.loggers import Loggers
from training.rundir import RunDirectory
from training.runtime import Runtime
from training.trainer import Trainer

SMALL: dict[str, Any] = {
    "model": {"channels": (4, 4, 8, 8), "blocks": 1},
    "data": {
        "batch_size": 12,
        "sides": (16,),
        "validation_side": 16,
        "validation_batch_size": 10,
        "crop": {"jitter": 0.0},
    },
    "optimizer": {"name": "adamw", "lr": 1e-2},
    "schedule": {"name": "constant"},
    "regularisation": {"dropout": 0.0},
    "run": {"epochs": 20},
}


def config(**changes: dict[str, Any]) -> FacesConfig:
    values = {part: {**SMALL.get(part, {}), **more} for part, more in changes.items()}
    return FacesConfig.model_validate({**SMALL, **values})


def train(settings: FacesConfig, folder: Path, *, resume: bool = False) -> FacesTask:
    folder.mkdir(exist_ok=True)
    task = FacesTask(settings, make_faces(), Runtime())
    trainer = Trainer(task, settings, RunDirectory(folder), Runtime())
    if resume:
        trainer.resume()
    trainer.fit(Loggers())
    return task


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": {"label_smoothing": 0.1}}, "loss: faces has cross_entropy without smoothing"),
        ({"loss": {"name": "least_squares"}}, "loss: faces has cross_entropy without smoothing"),
        ({"data": {"augmentation": {"shift": 0.1}}}, r"data\.augmentation: photographs have"),
    ],
)
def test_config_refuses(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        config(**changes)


def test_recipe_is_valid_and_names_its_run() -> None:
    settings = FacesConfig.model_validate(FAMILY.recipe(FacesConfig()))
    assert FAMILY.run_name(settings) == "resnet-w32-seed1"
    assert settings.loss.label_smoothing == 0


def test_model_gives_a_logit_of_gender_and_one_of_each_age() -> None:
    model = FaceAttributes(config().model, 0.0).eval()
    pictures = torch.randn(3, 3, 16, 16)
    gender, ages = model(pictures)
    assert (gender.shape, ages.shape) == ((3,), (3, 101))
    features = model.features(pictures)
    assert features.shape == (3, 8)
    assert features.min() >= 0


@pytest.mark.parametrize(
    ("certain", "age"), [((0,), 0.0), ((100,), 100.0), ((20, 30), 25.0), (range(AGES), 50.0)]
)
def test_expected_age_is_the_mean_over_the_bins(certain: tuple[int, ...], age: float) -> None:
    logits = torch.full((1, AGES), -1e4)
    logits[0, list(certain)] = 3.0
    assert expected_age(logits).item() == pytest.approx(age, rel=1e-5)


def test_gender_and_age_are_learnt() -> None:
    task = FacesTask(config(), make_faces(), Runtime())
    before = task.validate()
    for step in range(task.plan.total_steps):
        torch.manual_seed(step)
        metrics = task.train_step(step)
    after = task.validate()
    assert metrics.keys() == {"loss", "gender_accuracy", "age_error_years", "gradient_norm"}
    assert after["gender_accuracy"] == 1.0
    assert after["age_error_years"] < 15 < before["age_error_years"]


def test_older_than_the_last_bin_is_the_last_bin() -> None:
    data = make_faces()
    data.train.ages[:] = 116
    metrics = FacesTask(config(), data, Runtime()).train_step(0)
    assert torch.isfinite(metrics["loss"])


def test_validation_weighs_every_face_equally_in_uneven_batches() -> None:
    one = FacesTask(config(), make_faces(), Runtime()).validate()
    uneven = config(data={"validation_batch_size": 7})
    assert FacesTask(uneven, make_faces(), Runtime()).validate() == pytest.approx(one)


def test_weights_of_the_losses_are_heeded() -> None:
    losses = [
        FacesTask(config().model_copy(update=weights), make_faces(), Runtime())
        .train_step(0)["loss"]
        .item()
        for weights in (
            {"age_weight": 0.0, "age_error_weight": 0.0},
            {"age_weight": 0.5, "age_error_weight": 0.0},
            {"age_weight": 0.0, "age_error_weight": 0.02},
        )
    ]
    # Cross entropy of 101 bins that nothing is known of, half of it; some 25 to 50 years.
    assert losses[1] - losses[0] == pytest.approx(0.5 * 4.6, rel=0.2)
    assert 0.02 * 15 < losses[2] - losses[0] < 0.02 * 60


def test_resume_gives_bit_equal_weights_with_dropout_and_crops(tmp_path: Path) -> None:
    random: dict[str, dict[str, Any]] = {
        "regularisation": {"dropout": 0.4, "ema_decay": 0.9},
        "data": {"crop": {"smallest": 0.7, "jitter": 0.3}},
    }
    whole = train(config(**random, run={"epochs": 2}), tmp_path / "whole")
    train(config(**random, run={"epochs": 2, "max_steps": 3}), tmp_path / "parts")
    torch.randn(5)
    resumed = train(config(**random, run={"epochs": 2}), tmp_path / "parts", resume=True)
    left, right = whole.best_model().state_dict(), resumed.best_model().state_dict()
    assert all(torch.equal(left[key], right[key]) for key in left)


def test_facts_name_the_data_and_what_was_left_out() -> None:
    facts = FacesTask(config(), make_faces(), Runtime()).facts()
    assert facts["data"] == {"utkface": "0" * 64}
    assert (facts["left_out"], facts["train_rows"], facts["validation_rows"]) == (1, 24, 24)


def test_load_trained_gives_the_best_weights_in_eval_mode(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    run.create("faces", config())
    task = FacesTask(config(), make_faces(), Runtime())
    task.train_step(0)
    save_checkpoint(run.best, {"model": task.best_model().state_dict()})
    settings, model = load_trained(run.path)
    assert settings == config()
    assert not model.training
    female, ages = attributes_of(make_faces().validation, model, 16)
    truth = make_faces().validation
    validated = task.validate()
    assert ((female > 0.5) == truth.female).float().mean() == pytest.approx(
        validated["gender_accuracy"]
    )
    assert (ages - truth.ages).abs().mean() == pytest.approx(validated["age_error_years"], rel=1e-5)


def test_load_trained_refuses_weights_of_another_model(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    run.create("faces", config())
    other = FaceAttributes(config(model={"channels": (4, 4, 8, 12)}).model, 0.0)
    save_checkpoint(run.best, {"model": other.state_dict()})
    with pytest.raises(CheckpointError, match=r"best\.pt does not fit its config\.json"):
        load_trained(run.path)


def test_load_trained_refuses_a_run_of_another_family(tmp_path: Path) -> None:
    RunDirectory(tmp_path / "run").create("dcgan", config())
    with pytest.raises(ConfigError, match="expected a run of family 'faces', got 'dcgan'"):
        load_trained(tmp_path / "run")


def test_family_reads_the_archive(tmp_path: Path) -> None:
    write_faces(tmp_path / "utkface64.zip", per_split=12)
    settings = config().model_copy(update={"data_dir": tmp_path})
    task = FAMILY.make_task(settings, Runtime())
    assert task.facts()["train_rows"] == 12
    assert torch.isfinite(task.train_step(0)["loss"])
