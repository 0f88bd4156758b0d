"""Every choice by name lowers the loss of a small network on a handful of digits."""

from typing import Any, get_args

import pytest

from training.config import (
    ActivationName,
    InitName,
    LossName,
    OptimizerName,
    ScheduleName,
)
from training.data.mnist import Mnist
from training.mnist.config import ArchName, MnistConfig
from training.mnist.task import MnistTask
from training.runtime import Runtime

STEPS = 25
LEARNING_RATES: dict[OptimizerName, float] = {
    "sgd": 0.1,
    "momentum": 0.02,
    "nesterov": 0.02,
    "adagrad": 0.02,
    "adadelta": 1.0,
    "rmsprop": 1e-3,
    "adam": 3e-3,
    "adamw": 3e-3,
}
ARCHITECTURES: dict[ArchName, dict[str, Any]] = {
    "mlp": {"hidden": (24,)},
    "lenet": {"channels": (4, 6), "hidden": (24,)},
    "resnet": {"channels": (4, 6, 8), "blocks": 1, "batch_norm": True},
}


def loss_ratio(data: Mnist, arch: ArchName = "mlp", **sections: dict[str, Any]) -> float:
    """Validation loss after training over the loss before."""
    values: dict[str, Any] = {
        "model": {"arch": arch, **ARCHITECTURES[arch]},
        "data": {"batch_size": 64, "augmentation": {"rotation_deg": 0, "shift": 0, "scale": 0}},
        "optimizer": {"name": "adamw", "lr": 3e-3},
        "schedule": {"name": "constant"},
        "regularisation": {"dropout": 0.0},
        "run": {"epochs": 13},
    }
    for section, chosen in sections.items():
        values[section] = {**values.get(section, {}), **chosen}
    task = MnistTask(MnistConfig.model_validate(values), data, Runtime())
    before = task.validate()["loss"]
    for step in range(STEPS):
        task.train_step(step)
    return task.validate()["loss"] / before


@pytest.mark.parametrize("arch", get_args(ArchName))
def test_every_architecture_learns(digits: Mnist, arch: ArchName) -> None:
    assert loss_ratio(digits, arch, optimizer={"lr": 1e-2}) < 0.9


@pytest.mark.parametrize("name", get_args(OptimizerName))
def test_every_optimizer_learns(digits: Mnist, name: OptimizerName) -> None:
    optimizer = {"name": name, "lr": LEARNING_RATES[name]}
    assert loss_ratio(digits, optimizer=optimizer) < 0.8


@pytest.mark.parametrize("name", get_args(ActivationName))
def test_every_activation_learns(digits: Mnist, name: ActivationName) -> None:
    assert loss_ratio(digits, model={"activation": name}) < 0.8


@pytest.mark.parametrize("name", get_args(LossName))
def test_every_loss_learns(digits: Mnist, name: LossName) -> None:
    assert loss_ratio(digits, loss={"name": name}) < 0.8


@pytest.mark.parametrize("name", get_args(InitName))
def test_every_initialisation_learns(digits: Mnist, name: InitName) -> None:
    assert loss_ratio(digits, init={"name": name}) < 0.8


@pytest.mark.parametrize("name", get_args(ScheduleName))
def test_every_schedule_learns(digits: Mnist, name: ScheduleName) -> None:
    assert loss_ratio(digits, schedule={"name": name}) < 0.8
