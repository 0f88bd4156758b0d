"""One optimiser with all that belongs to it: schedule, loss scaling, clipping, averaging.

A family with one model has one updater; a GAN has two, and calls each in its turn.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from training.config import TrainingConfig
from training.nn.optimizers import make_optimizer, parameter_groups
from training.nn.schedules import StepPlan, make_schedule
from training.runtime import Runtime


class Updater:
    """Changes the weights of some modules by the gradient of a loss."""

    def __init__(
        self,
        modules: Iterable[nn.Module],
        config: TrainingConfig,
        plan: StepPlan,
        runtime: Runtime,
    ) -> None:
        groups = parameter_groups(modules, config.regularisation)
        self._parameters = [p for group in groups for p in group["params"]]
        self._optimizer = make_optimizer(groups, config.optimizer)
        self._schedule = make_schedule(self._optimizer, config.schedule, plan)
        self._scaler = runtime.scaler()
        self._group = runtime.group
        self._clip_norm = config.regularisation.clip_norm or math.inf

    @property
    def lr(self) -> float:
        """Learning rate of the next step."""
        return float(self._optimizer.param_groups[0]["lr"])

    @property
    def steps(self) -> int:
        """Updates done."""
        return int(self._schedule.last_epoch)

    def step(self, loss: Tensor) -> Tensor:
        """One update by the gradient of the scalar ``loss`` of this process's rows.

        Gradients are averaged over processes, then clipped to ``clip_norm`` as one vector:
        g <- g min(1, clip_norm / ||g||) (Pascanu et al. 2013, algorithm 1).

        Returns:
            The norm ||g|| before clipping, a scalar on the loss's device.
        """
        return self.step_with((), loss)

    def step_with(self, others: Sequence["Updater"], loss: Tensor) -> Tensor:
        """One update of this and of ``others``, which change other weights by the same ``loss``.

        Returns:
            The norm of this updater's gradient before clipping.
        """
        for updater in (self, *others):
            updater._optimizer.zero_grad(set_to_none=True)
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]  # untyped in PyTorch
        norm = self._apply(self._scaler)
        for updater in others:
            updater._apply(self._scaler)
        self._scaler.update()
        return norm

    def _apply(self, scaler: torch.amp.GradScaler) -> Tensor:
        """Use the gradients that are there."""
        self._group.average_gradients(self._parameters)
        scaler.unscale_(self._optimizer)
        norm = torch.nn.utils.clip_grad_norm_(self._parameters, self._clip_norm)
        scaler.step(self._optimizer)
        self._schedule.step()
        return norm.detach()

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs."""
        return {
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "scaler": self._scaler.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what ``state_dict`` returned."""
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        self._scaler.load_state_dict(state["scaler"])
