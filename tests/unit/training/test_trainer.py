"""The loop over a made-up task with two optimisers, as a GAN has: it knows no family."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from training.checkpoint import CheckpointError, load_checkpoint
from training.config import (
    OptimizerConfig,
    RegularisationConfig,
    RunConfig,
    ScheduleConfig,
    TrainingConfig,
)
from training.loggers import JsonlLogger, Loggers, Record, read_records
from training.nn.schedules import StepPlan
from training.rundir import RunDirectory
from training.runtime import Runtime
from training.task import Monitor, Task
from training.trainer import DivergedError, Outcome, Trainer
from training.updater import Updater

PLAN = StepPlan(steps_per_epoch=4, epochs=3)
CONFIG = TrainingConfig(
    optimizer=OptimizerConfig(name="adam", lr=0.05),
    schedule=ScheduleConfig(name="cosine"),
    regularisation=RegularisationConfig(dropout=0.5),
    run=RunConfig(log_every=2),
)


class TwoPlayerTask(Task):
    """A generator that follows a critic and a critic that follows noise."""

    plan = PLAN
    monitor = Monitor("score", "max")

    def __init__(self, scores: tuple[float, ...] = (0.1, 0.2, 0.3)) -> None:
        torch.manual_seed(0)
        runtime = Runtime()
        self.generator = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 2))
        self.critic = nn.Linear(2, 1)
        self._updaters = {
            "generator": Updater([self.generator], CONFIG, PLAN, runtime),
            "critic": Updater([self.critic], CONFIG, PLAN, runtime),
        }
        self.scores = scores
        self.validations = 0

    def modules(self) -> Mapping[str, nn.Module]:
        return {"generator": self.generator, "critic": self.critic}

    def updaters(self) -> Mapping[str, Updater]:
        return self._updaters

    def best_model(self) -> nn.Module:
        return self.generator

    def train_step(self, step: int) -> Mapping[str, Tensor]:
        made = self.generator(torch.randn(5, 3))
        critic_loss = (self.critic(made.detach()) - torch.randn(5, 1)).square().mean()
        self._updaters["critic"].step(critic_loss)
        generator_loss = self.critic(made).square().mean()
        self._updaters["generator"].step(generator_loss)
        return {"critic_loss": critic_loss.detach(), "generator_loss": generator_loss.detach()}

    def validate(self) -> Mapping[str, float]:
        self.validations += 1
        return {"score": self.scores[self.validations - 1]}


def weights(task: Task) -> dict[str, Tensor]:
    return {
        f"{name}.{key}": value.clone()
        for name, module in task.modules().items()
        for key, value in module.state_dict().items()
    }


def fit(
    task: Task,
    folder: Path,
    config: TrainingConfig = CONFIG,
    *,
    resume: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> tuple[Trainer, Outcome]:
    run = RunDirectory(folder)
    folder.mkdir(exist_ok=True)
    trainer = Trainer(task, config, run, Runtime(), stop=stop, clock=lambda: 0.0)
    if resume:
        trainer.resume()
    with Loggers(JsonlLogger(run.metrics, trainer.progress.step)) as loggers:
        return trainer, trainer.fit(loggers)


def stopping_after(steps: int) -> TrainingConfig:
    return CONFIG.model_copy(update={"run": RunConfig(log_every=2, max_steps=steps)})


def patient(epochs: int) -> TrainingConfig:
    regularisation = RegularisationConfig(early_stopping_epochs=epochs)
    return CONFIG.model_copy(update={"regularisation": regularisation})


@pytest.mark.parametrize("steps", [1, 4, 6, 11])
def test_resume_gives_the_weights_of_the_uninterrupted_run(tmp_path: Path, steps: int) -> None:
    whole = TwoPlayerTask()
    fit(whole, tmp_path / "whole")
    first = TwoPlayerTask()
    _, outcome = fit(first, tmp_path / "parts", stopping_after(steps))
    assert outcome == "paused"
    second = TwoPlayerTask()
    second.validations = first.validations
    torch.randn(17)  # another process's generators stand elsewhere
    fit(second, tmp_path / "parts", resume=True)
    expected, got = weights(whole), weights(second)
    assert all(torch.equal(expected[key], got[key]) for key in expected)


def test_fit_moves_the_weights_of_both_players(tmp_path: Path) -> None:
    task = TwoPlayerTask()
    before = weights(task)
    fit(task, tmp_path)
    assert all(not torch.equal(before[key], value) for key, value in weights(task).items())


def test_fit_validates_each_epoch_and_finishes(tmp_path: Path) -> None:
    task = TwoPlayerTask()
    trainer, outcome = fit(task, tmp_path)
    assert (outcome, task.validations, trainer.progress.step) == ("finished", 3, 12)


def test_fit_keeps_the_best_model_not_the_last(tmp_path: Path) -> None:
    trainer, _ = fit(TwoPlayerTask((0.1, 0.9, 0.5)), tmp_path)
    best = load_checkpoint(tmp_path / "best.pt")
    assert (best["step"], best["metrics"]) == (8, {"score": 0.9})
    assert (trainer.progress.best, trainer.progress.best_step) == (0.9, 8)
    last = load_checkpoint(tmp_path / "last.pt")["modules"]["generator"]
    assert not torch.equal(best["model"]["0.weight"], last["0.weight"])


def test_fit_stops_early_when_validation_stops_improving(tmp_path: Path) -> None:
    trainer, outcome = fit(TwoPlayerTask((0.5, 0.4, 0.6)), tmp_path, patient(1))
    assert (outcome, trainer.progress.step) == ("stopped_early", 8)


def test_fit_goes_on_while_validation_recovers_within_patience(tmp_path: Path) -> None:
    _, outcome = fit(TwoPlayerTask((0.5, 0.4, 0.6)), tmp_path, patient(2))
    assert outcome == "finished"


def test_fit_checkpoints_and_leaves_when_asked_to_stop(tmp_path: Path) -> None:
    answers = iter([False, True])
    trainer, outcome = fit(TwoPlayerTask(), tmp_path, stop=lambda: next(answers))
    assert (outcome, trainer.progress.step) == ("interrupted", 2)
    assert load_checkpoint(tmp_path / "last.pt")["progress"]["step"] == 2


def test_fit_checkpoints_every_few_steps_when_asked(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"run": RunConfig(checkpoint_every=3)})
    seen: list[int] = []

    class Watching(TwoPlayerTask):
        def train_step(self, step: int) -> Mapping[str, Tensor]:
            if step == 3:
                seen.append(load_checkpoint(tmp_path / "last.pt")["progress"]["step"])
            return super().train_step(step)

    fit(Watching(), tmp_path, config)
    assert seen == [3]


def test_fit_logs_means_of_training_and_every_validation(tmp_path: Path) -> None:
    fit(TwoPlayerTask(), tmp_path)
    records = list(read_records(tmp_path / "metrics.jsonl"))
    training = [record for record in records if record.split == "train"]
    assert [record.step for record in training] == [2, 4, 6, 8, 10, 12]
    assert set(training[0].metrics) == {
        "critic_loss", "generator_loss", "lr_generator", "lr_critic",
    }  # fmt: skip
    scores = [r.metrics["score"] for r in records if r.split == "validation"]
    assert scores == [0.1, 0.2, 0.3]


def test_fit_stops_with_a_reason_when_a_loss_is_no_number(tmp_path: Path) -> None:
    class Diverging(TwoPlayerTask):
        def train_step(self, step: int) -> Mapping[str, Tensor]:
            return {"critic_loss": torch.tensor(float("nan") if step == 5 else 1.0)}

    with pytest.raises(DivergedError, match=r"critic_loss is nan in the steps up to 6; .*lr"):
        fit(Diverging(), tmp_path)


@pytest.mark.parametrize(("step", "saved"), [(7, 6), (4, 4)])
def test_fit_never_checkpoints_a_diverged_state(tmp_path: Path, step: int, saved: int) -> None:
    """Neither at the end of the epoch (8) nor between two (6), though log_every is far off."""

    class Diverging(TwoPlayerTask):
        def train_step(self, now: int) -> Mapping[str, Tensor]:
            return {"critic_loss": torch.tensor(float("nan") if now == step else 1.0)}

    config = CONFIG.model_copy(update={"run": RunConfig(log_every=100, checkpoint_every=2)})
    with pytest.raises(DivergedError, match="critic_loss is nan"):
        fit(Diverging(), tmp_path, config)
    kept = load_checkpoint(tmp_path / "last.pt")["progress"]["step"]
    assert kept == saved


def test_fit_stops_when_the_validation_loss_is_no_number(tmp_path: Path) -> None:
    class Diverging(TwoPlayerTask):
        def validate(self) -> Mapping[str, float]:
            return {**super().validate(), "loss": float("inf")}

    with pytest.raises(DivergedError, match="validation loss is inf"):
        fit(Diverging(), tmp_path)
    assert not (tmp_path / "best.pt").exists()


def test_resume_drops_records_past_the_checkpoint(tmp_path: Path) -> None:
    task = TwoPlayerTask()
    fit(task, tmp_path, stopping_after(5))
    path = tmp_path / "metrics.jsonl"
    stray = Record(step=6, epoch=1.5, split="train", elapsed_s=0.0, metrics={"critic_loss": 9e9})
    logger = JsonlLogger(path, 99)
    logger.write(stray)
    logger.write(replace(stray, step=8))
    logger.close()
    second = TwoPlayerTask()
    second.validations = 1
    fit(second, tmp_path, resume=True)
    records = list(read_records(path))
    assert [r.step for r in records if r.split == "train"] == [2, 4, 6, 8, 10, 12]
    assert all(r.metrics.get("critic_loss", 0) < 9e9 for r in records)


def test_resume_reads_the_checkpoint_on_the_host(tmp_path: Path) -> None:
    """Optimisers count their steps there; on a GPU each count read would wait for the device."""
    fit(TwoPlayerTask(), tmp_path, stopping_after(2))
    elsewhere = Runtime(device=torch.device("meta"))
    trainer = Trainer(TwoPlayerTask(), CONFIG, RunDirectory(tmp_path), elsewhere)
    trainer.resume()
    assert trainer.progress.step == 2


def test_resume_without_a_checkpoint_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"last\.pt: no such checkpoint"):
        fit(TwoPlayerTask(), tmp_path, resume=True)


def test_resume_from_another_model_names_the_file(tmp_path: Path) -> None:
    fit(TwoPlayerTask(), tmp_path, stopping_after(2))
    other = TwoPlayerTask()
    other.critic = nn.Linear(3, 1)
    with pytest.raises(
        CheckpointError, match=r"(?s)last\.pt does not fit this run: .*size mismatch"
    ):
        fit(other, tmp_path, resume=True)


@pytest.mark.parametrize(
    ("mode", "value", "best", "improves"),
    [
        ("max", 0.5, None, True),
        ("max", 0.6, 0.5, True),
        ("max", 0.5, 0.5, False),
        ("min", 0.4, 0.5, True),
        ("min", 0.6, 0.5, False),
        ("max", float("nan"), None, False),
    ],
)
def test_monitor_says_whether_a_value_improves(
    mode: str, value: float, best: float | None, improves: bool
) -> None:
    assert Monitor("score", "max" if mode == "max" else "min").improves(value, best) is improves
