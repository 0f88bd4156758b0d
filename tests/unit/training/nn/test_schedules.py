"""Schedules at telling steps."""

import math

import pytest
import torch
from torch import nn
from torch.optim import SGD, AdamW

from quartet.config import ConfigError
from training.config import ScheduleConfig
from training.nn.schedules import StepPlan, make_schedule

PLAN = StepPlan(steps_per_epoch=10, epochs=4)
LR = 0.5


def rates(config: ScheduleConfig) -> list[float]:
    """The learning rate of each step of the plan."""
    optimizer = SGD([nn.Parameter(torch.zeros(1))], LR)
    schedule = make_schedule(optimizer, config, PLAN)
    seen = []
    for _ in range(PLAN.total_steps):
        seen.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        schedule.step()
    return seen


def test_constant_stays() -> None:
    assert set(rates(ScheduleConfig(name="constant"))) == {LR}


def test_step_drops_by_gamma_every_few_epochs() -> None:
    seen = rates(ScheduleConfig(name="step", step_epochs=2, gamma=0.1))
    assert (seen[0], seen[19], seen[20], seen[39]) == (LR, LR, LR * 0.1, LR * 0.1)


def test_exponential_falls_by_gamma_an_epoch() -> None:
    seen = rates(ScheduleConfig(name="exponential", gamma=0.7))
    assert seen[10] == pytest.approx(LR * 0.7)
    assert seen[15] == pytest.approx(LR * 0.7**1.5)


def test_cosine_passes_the_middle_halfway_and_nears_its_end() -> None:
    seen = rates(ScheduleConfig(name="cosine", final_fraction=0.2))
    assert seen[0] == pytest.approx(LR)
    assert seen[20] == pytest.approx(LR * (0.2 + 0.8 / 2))
    assert seen[39] == pytest.approx(LR * (0.2 + 0.8 * (1 + math.cos(math.pi * 39 / 40)) / 2))


def test_one_cycle_rises_to_lr_and_falls_to_almost_nothing() -> None:
    seen = rates(ScheduleConfig(name="one_cycle", peak_at=0.25, start_divisor=25, end_divisor=1e4))
    assert seen[0] == pytest.approx(LR / 25)
    assert max(seen) == pytest.approx(LR, rel=0.01)
    assert 8 <= seen.index(max(seen)) <= 11
    assert seen[-1] < LR * 0.01


def test_one_cycle_lowers_momentum_while_the_rate_is_high() -> None:
    optimizer = AdamW([nn.Parameter(torch.zeros(1))], LR)
    schedule = make_schedule(optimizer, ScheduleConfig(name="one_cycle", peak_at=0.5), PLAN)
    start = optimizer.param_groups[0]["betas"][0]
    for _ in range(20):
        optimizer.step()
        schedule.step()
    assert optimizer.param_groups[0]["betas"][0] < start


def test_warmup_rises_in_equal_parts_to_the_curve() -> None:
    seen = rates(ScheduleConfig(name="constant", warmup_steps=5))
    assert seen[:6] == pytest.approx([LR * n / 5 for n in (1, 2, 3, 4, 5, 5)])


def test_one_cycle_refuses_a_warmup() -> None:
    with pytest.raises(ConfigError, match="warmup_steps"):
        rates(ScheduleConfig(name="one_cycle", warmup_steps=3))
