"""Learning rates by name over the T steps of a run, stepped once after each update.

constant     lr
step         lr gamma^floor(epoch / step_epochs)
exponential  lr gamma^(t / steps of an epoch)
cosine       lr_end + (lr - lr_end) (1 + cos(pi t / T)) / 2       (Loshchilov, Hutter 2017, eq. 5)
one_cycle    cosine rise to lr, cosine fall to almost 0; momentum (beta1 of adam and adamw) the
             other way between 0.95 and 0.85, whatever is configured          (Smith 2018)

A warm-up of n steps multiplies the rate of step t = 0, 1, ... by min(1, (t+1) / n) (Goyal et al.
2017, section 2.2); the curve behind it starts with the run, not with the end of the warm-up.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from quartet.config import ConfigError
from training.config import ScheduleConfig


@dataclass(frozen=True, slots=True)
class StepPlan:
    """How long the run is meant to be."""

    steps_per_epoch: int
    """Optimiser steps in one pass over the training split."""
    epochs: int
    """Passes."""

    @property
    def total_steps(self) -> int:
        """Optimiser steps of the whole run."""
        return self.steps_per_epoch * self.epochs


def make_schedule(optimizer: Optimizer, config: ScheduleConfig, plan: StepPlan) -> LRScheduler:
    """The schedule called ``config.name`` for ``optimizer``. Raises ConfigError."""
    if config.name != "one_cycle":
        return LambdaLR(optimizer, lr_factor(config, plan))
    if config.warmup_steps:
        raise ConfigError("schedule.warmup_steps: one_cycle has its own rise, set peak_at instead")
    return OneCycleLR(
        optimizer,
        max_lr=optimizer.defaults["lr"],
        total_steps=plan.total_steps + 1,  # the rate after the last update is asked for too
        pct_start=config.peak_at,
        cycle_momentum=any(key in optimizer.defaults for key in ("betas", "momentum"))
        and optimizer.defaults.get("momentum") != 0,
        div_factor=config.start_divisor,
        final_div_factor=config.end_divisor,
    )


def lr_factor(config: ScheduleConfig, plan: StepPlan) -> Callable[[int], float]:
    """What multiplies ``lr`` at step t = 0, 1, ..., for every schedule but one_cycle."""
    curve = _curve(config, plan)
    if not config.warmup_steps:
        return curve
    return lambda step: min(1.0, (step + 1) / config.warmup_steps) * curve(step)


def _curve(config: ScheduleConfig, plan: StepPlan) -> Callable[[int], float]:
    match config.name:
        case "constant":
            return lambda _: 1.0
        case "step":
            drop_steps = config.step_epochs * plan.steps_per_epoch
            return lambda step: float(config.gamma ** (step // drop_steps))
        case "exponential":
            return lambda step: float(config.gamma ** (step / plan.steps_per_epoch))
        case "cosine":
            end = config.final_fraction
            return lambda step: (
                end + (1 - end) * (1 + math.cos(math.pi * min(1.0, step / plan.total_steps))) / 2
            )
        case "one_cycle":
            raise AssertionError("one_cycle is PyTorch's own")
