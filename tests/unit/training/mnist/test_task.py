"""The MNIST task: bit-equal resume with everything random switched on, learning, averaging."""

from pathlib import Path

import pytest
import torch

from quartet.config import ConfigError
from training.checkpoint import CheckpointError, save_checkpoint
from training.config import (
    AugmentationConfig,
    DataConfig,
    OptimizerConfig,
    PrecisionConfig,
    RegularisationConfig,
    RunConfig,
    ScheduleConfig,
)
from training.data.mnist import Mnist
from training.loggers import Loggers
from training.mnist.config import MnistConfig, MnistModelConfig
from training.mnist.model import build_model
from training.mnist.task import MnistTask, load_trained
from training.rundir import RunDirectory
from training.runtime import Runtime
from training.trainer import Trainer

TINY = MnistModelConfig(channels=(3, 4), hidden=(8,), batch_norm=True)


def config(
    *, epochs: int = 2, max_steps: int = 0, ema: float = 0.0, model: MnistModelConfig = TINY
) -> MnistConfig:
    """Dropout, augmentation and batch normalisation on; 4 steps an epoch."""
    return MnistConfig(
        model=model,
        data=DataConfig(batch_size=32),
        regularisation=RegularisationConfig(dropout=0.4, ema_decay=ema),
        run=RunConfig(epochs=epochs, max_steps=max_steps),
    )


def train(settings: MnistConfig, data: Mnist, folder: Path, *, resume: bool = False) -> MnistTask:
    folder.mkdir(exist_ok=True)
    task = MnistTask(settings, data, Runtime())
    trainer = Trainer(task, settings, RunDirectory(folder), Runtime())
    if resume:
        trainer.resume()
    trainer.fit(Loggers())
    return task


def same_weights(one: MnistTask, two: MnistTask) -> bool:
    left, right = one.best_model().state_dict(), two.best_model().state_dict()
    return all(torch.equal(left[key], right[key]) for key in left)


@pytest.mark.parametrize("ema", [0.0, 0.9])
@pytest.mark.parametrize("steps", [3, 4, 6])
def test_resume_gives_bit_equal_weights_with_dropout_and_augmentation(
    digits: Mnist, tmp_path: Path, steps: int, ema: float
) -> None:
    whole = train(config(ema=ema), digits, tmp_path / "whole")
    train(config(max_steps=steps, ema=ema), digits, tmp_path / "parts")
    torch.randn(5)
    resumed = train(config(ema=ema), digits, tmp_path / "parts", resume=True)
    assert same_weights(whole, resumed)


def test_training_repeats_with_its_seed(digits: Mnist, tmp_path: Path) -> None:
    one = train(config(epochs=1), digits, tmp_path / "one")
    torch.randn(5)
    assert same_weights(one, train(config(epochs=1), digits, tmp_path / "two"))


def test_training_differs_with_another_seed(digits: Mnist, tmp_path: Path) -> None:
    other = config(epochs=1).model_copy(update={"run": RunConfig(epochs=1, seed=2)})
    one = train(config(epochs=1), digits, tmp_path / "one")
    assert not same_weights(one, train(other, digits, tmp_path / "two"))


def test_task_learns_a_handful_of_digits_by_heart(digits: Mnist) -> None:
    settings = MnistConfig(
        model=MnistModelConfig(arch="mlp", hidden=(32,)),
        data=DataConfig(
            batch_size=128, augmentation=AugmentationConfig(rotation_deg=0, shift=0, scale=0)
        ),
        optimizer=OptimizerConfig(lr=1e-2),
        schedule=ScheduleConfig(name="constant"),
        regularisation=RegularisationConfig(dropout=0.0),
    )
    task = MnistTask(settings, digits, Runtime())
    for step in range(30):
        metrics = task.train_step(step)
    assert metrics["accuracy"] == 1.0
    assert task.validate()["accuracy"] > 0.9


def test_validate_measures_the_running_mean_when_there_is_one(digits: Mnist) -> None:
    task = MnistTask(config(ema=0.99), digits, Runtime())
    for step in range(3):
        task.train_step(step)
    plain = task.modules()["model"].state_dict()["features.0.weight"]
    mean = task.best_model().state_dict()["features.0.weight"]
    assert not torch.equal(plain, mean)
    assert set(task.best_model().state_dict()) == set(task.modules()["model"].state_dict())


def test_validate_weighs_every_row_equally_in_uneven_batches(digits: Mnist) -> None:
    one = MnistTask(config(), digits, Runtime())
    uneven = config().model_copy(update={"data": DataConfig(validation_batch_size=60)})
    two = MnistTask(uneven.model_copy(), digits, Runtime())
    assert one.validate() == pytest.approx(two.validate())


def test_bfloat16_trains_float32_weights(digits: Mnist) -> None:
    precision = PrecisionConfig(compute="bfloat16", channels_last=True)
    settings = config().model_copy(update={"precision": precision})
    task = MnistTask(settings, digits, Runtime(precision=precision))
    loss = task.train_step(0)["loss"]
    assert loss.dtype == torch.float32
    assert {p.dtype for p in task.best_model().parameters()} == {torch.float32}
    assert loss.item() == pytest.approx(
        MnistTask(config(), digits, Runtime()).train_step(0)["loss"].item(), rel=0.02
    )


def test_load_trained_gives_the_best_weights_in_eval_mode(tmp_path: Path) -> None:
    settings = config()
    run = RunDirectory(tmp_path / "run")
    run.create("mnist", settings)
    model = build_model(settings)
    save_checkpoint(run.best, {"model": model.state_dict(), "step": 1, "metrics": {}})
    loaded_config, loaded = load_trained(run.path)
    images = torch.randn(2, 1, 28, 28)
    assert loaded_config == settings
    assert not loaded.training
    assert torch.equal(loaded(images), model.eval()(images))


def test_load_trained_refuses_weights_of_another_model(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    run.create("mnist", config())
    other = build_model(MnistConfig())
    save_checkpoint(run.best, {"model": other.state_dict(), "step": 1, "metrics": {}})
    with pytest.raises(CheckpointError, match=r"best\.pt does not fit its config\.json"):
        load_trained(run.path)


def test_load_trained_refuses_a_run_of_another_family(tmp_path: Path) -> None:
    RunDirectory(tmp_path / "run").create("dcgan", config())
    with pytest.raises(ConfigError, match="expected a run of family 'mnist', got 'dcgan'"):
        load_trained(tmp_path / "run")
