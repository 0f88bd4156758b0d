"""Training of captioners on made-up pictures."""

from pathlib import Path

import pytest
import torch

from quartet.config import ConfigError
from tests.photo_data import make_photos
from training.caption.config import CaptionConfig
from training.caption.decoding import BeamSettings, caption_pictures, words_of
from training.caption.task import CaptionTask, load_trained
from training.checkpoint import save_checkpoint
from training.rundir import RunDirectory
from training.runtime import Runtime


def make_config(**changes: object) -> CaptionConfig:
    values: dict[str, object] = {
        "model": {
            "decoder": "attention",
            "embedding": 8,
            "width": 24,
            "values": 8,
            "keys": 8,
            "output": 16,
            "residual": {"channels": (8, 8, 8, 16), "blocks": 1},
        },
        "data": {
            "batch_size": 20,
            "side": 32,
            "views": 1,
            "min_count": 1,
            "max_words": 10,
            "crop": {"smallest": 0.95, "flip": False, "jitter": 0.0},
        },
        "optimizer": {"name": "adamw", "lr": 5e-3},
        "schedule": {"name": "constant"},
        "regularisation": {"dropout": 0.0, "clip_norm": 5.0},
        "run": {"epochs": 8},
    }
    return CaptionConfig.model_validate({**values, **changes})


def train(task: CaptionTask, steps: int) -> list[float]:
    losses = []
    for step in range(steps):
        torch.manual_seed(step)
        losses.append(task.train_step(step)["loss"].item())
    return losses


def test_the_encoder_learns_only_if_it_is_asked_to() -> None:
    for fine_tune in (False, True):
        task = CaptionTask(make_config(fine_tune=fine_tune), make_photos(12), Runtime())
        before = [p.clone() for p in task.best_model().encoder.parameters()]
        train(task, 2)
        after = list(task.best_model().encoder.parameters())
        changed = any(not torch.equal(b, a) for b, a in zip(before, after, strict=True))
        assert changed == fine_tune


def test_a_step_depends_on_its_number_alone() -> None:
    losses = [
        train(CaptionTask(make_config(fine_tune=fine_tune), make_photos(12), Runtime()), 3)
        for fine_tune in (False, False, True, True)
    ]
    assert losses[0] == losses[1]
    assert losses[2] == losses[3]


def test_captions_are_learnt_and_a_stored_run_writes_the_same(tmp_path: Path) -> None:
    photos = make_photos(12)
    config = make_config(optimizer={"name": "adamw", "lr": 1e-2})
    task = CaptionTask(config, photos, Runtime())
    losses = train(task, 40)
    assert losses[-1] < 0.6 * losses[0]
    run = RunDirectory(tmp_path / "caption" / "small")
    run.create("caption", config)
    save_checkpoint(run.best, {"model": task.best_model().state_dict()})
    _, captioner = load_trained(run.path)
    settings = BeamSettings(width=3)
    found = caption_pictures(captioner, photos.test.images, settings)
    again = caption_pictures(task.best_model().eval(), photos.test.images, settings)
    assert [one[0].tokens.tolist() for one in found] == [one[0].tokens.tolist() for one in again]
    assert all("square" in words_of(one[0], captioner.model.symbols) for one in found)


def test_a_run_goes_on_from_another(tmp_path: Path) -> None:
    photos = make_photos(12)
    task = CaptionTask(make_config(), photos, Runtime())
    run = RunDirectory(tmp_path / "first")
    run.create("caption", make_config())
    save_checkpoint(run.best, {"model": task.best_model().state_dict()})
    again = CaptionTask(make_config(start=str(run.path), fine_tune=True), photos, Runtime())
    for one, other in zip(
        task.best_model().state_dict().values(),
        again.best_model().state_dict().values(),
        strict=True,
    ):
        assert torch.equal(one, other)
    assert again.facts()["start"]["sha256"]


def test_another_model_cannot_go_on(tmp_path: Path) -> None:
    photos = make_photos(12)
    task = CaptionTask(make_config(), photos, Runtime())
    run = RunDirectory(tmp_path / "first")
    run.create("caption", make_config())
    save_checkpoint(run.best, {"model": task.best_model().state_dict()})
    start = make_config(start=str(run.path))
    other = start.model_copy(update={"model": start.model.model_copy(update={"width": 32})})
    with pytest.raises(ConfigError, match="is of model"):
        CaptionTask(other, photos, Runtime())
