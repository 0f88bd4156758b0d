"""One update: clipping, accumulated gradients, learning rate."""

import pytest
import torch
from torch import nn

from training.config import (
    OptimizerConfig,
    RegularisationConfig,
    ScheduleConfig,
    TrainingConfig,
)
from training.nn.schedules import StepPlan
from training.runtime import Runtime
from training.updater import Updater


def make(clip_norm: float = 0.0) -> tuple[nn.Linear, Updater]:
    """A weight (3, 4) under plain gradient descent with rate 1, halved each step."""
    layer = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[3.0, 4.0]]))
    config = TrainingConfig(
        optimizer=OptimizerConfig(name="sgd", lr=1.0),
        schedule=ScheduleConfig(name="exponential", gamma=0.5),
        regularisation=RegularisationConfig(weight_decay=0.0, clip_norm=clip_norm),
    )
    return layer, Updater([layer], config, StepPlan(steps_per_epoch=1, epochs=9), Runtime())


def half_square(layer: nn.Linear) -> torch.Tensor:
    """A loss whose gradient is the weight."""
    return layer.weight.square().sum() / 2


def test_step_descends_the_gradient_and_tells_its_norm() -> None:
    layer, updater = make()
    norm = updater.step(half_square(layer))
    assert norm.item() == pytest.approx(5.0)
    assert layer.weight.tolist() == [[0.0, 0.0]]


def test_step_scales_a_long_gradient_down_to_the_clip_norm() -> None:
    layer, updater = make(clip_norm=1.0)
    norm = updater.step(half_square(layer))
    assert norm.item() == pytest.approx(5.0)
    assert layer.weight.detach().flatten().tolist() == pytest.approx([3 - 0.6, 4 - 0.8])


def test_step_leaves_a_short_gradient_alone() -> None:
    layer, updater = make(clip_norm=6.0)
    updater.step(half_square(layer))
    assert layer.weight.detach().flatten().tolist() == pytest.approx([0.0, 0.0], abs=1e-5)


def test_step_forgets_gradients_that_others_left() -> None:
    layer, updater = make()
    torch.autograd.backward(half_square(layer))
    updater.step(half_square(layer))
    assert layer.weight.tolist() == [[0.0, 0.0]]


def test_step_moves_the_schedule_on() -> None:
    layer, updater = make()
    rates = []
    for _ in range(3):
        rates.append(updater.lr)
        updater.step(half_square(layer))
    assert rates == [1.0, 0.5, 0.25]


def test_load_state_dict_goes_on_with_the_schedule() -> None:
    layer, updater = make()
    updater.step(half_square(layer))
    _, other = make()
    other.load_state_dict(updater.state_dict())
    assert other.lr == 0.5
