"""A task that trains one network with one optimiser, which is what most families do."""

from collections.abc import Mapping
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from training.averaging import make_average
from training.config import TrainingConfig
from training.data.batches import epoch_order, rank_slice, steps_per_epoch
from training.nn.schedules import StepPlan
from training.runtime import Runtime
from training.task import Task
from training.updater import Updater

ConfigT = TypeVar("ConfigT", bound=TrainingConfig)
ModelT = TypeVar("ModelT", bound=nn.Module)


class SingleModelTask(Task, Generic[ConfigT, ModelT]):
    """Holds the network, its running mean, its updater and the order of the rows.

    Args:
        config: of the run.
        model: the network, drawn or loaded, on the CPU.
        rows: of the training split.
        runtime: where it is trained.
    """

    def __init__(self, config: ConfigT, model: ModelT, rows: int, runtime: Runtime) -> None:
        self._config = config
        self._runtime = runtime
        self._rows = rows
        batch_size, group = config.data.batch_size, runtime.group
        self.plan = StepPlan(steps_per_epoch(rows, batch_size), config.run.epochs)
        self._slice = rank_slice(batch_size, group.rank, group.size)
        self._model: ModelT = runtime.place(model)  # type: ignore[assignment]  # the same module, moved
        self._average = make_average(self._model, config.regularisation.ema_decay)
        self._updater = Updater([self._model], config, self.plan, runtime)
        self._order: tuple[int, Tensor] | None = None

    def modules(self) -> Mapping[str, nn.Module]:
        """The model, and its running mean where there is one."""
        average = {"average": self._average} if self._average is not None else {}
        return {"model": self._model, **average}

    def updaters(self) -> Mapping[str, Updater]:
        """The model's one updater."""
        return {"model": self._updater}

    def best_model(self) -> nn.Module:
        """The running mean of the model where there is one, else the model."""
        return self._model if self._average is None else self._average.module

    def rows_per_step(self) -> int:
        """Rows of the joint batch."""
        return self._config.data.batch_size

    def update(self, loss: Tensor) -> Tensor:
        """One update by ``loss``, and of the running mean. Gives the gradient's norm."""
        norm = self._updater.step(loss)
        if self._average is not None:
            self._average.update_parameters(self._model)
        return norm

    def batch_rows(self, step: int) -> Tensor:
        """Training rows of this process at ``step``, int64 on the CPU, in the epoch's order."""
        epoch, index = divmod(step, self.plan.steps_per_epoch)
        if self._order is None or self._order[0] != epoch:
            self._order = (epoch, epoch_order(self._config.run.seed, epoch, self._rows))
        size = self._config.data.batch_size
        return self._order[1][index * size : (index + 1) * size][self._slice]

    def in_format(self, images: Tensor) -> Tensor:
        """Pictures [B, C, H, W] in the memory format of the run."""
        if self._config.precision.channels_last:
            return images.contiguous(memory_format=torch.channels_last)
        return images
