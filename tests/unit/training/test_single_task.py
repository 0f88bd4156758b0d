"""What tasks of one network share: rows of a step, the running mean, the memory format."""

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from quartet.config import ConfigError
from training.config import (
    DataConfig,
    PrecisionConfig,
    RegularisationConfig,
    RunConfig,
    TrainingConfig,
)
from training.distributed import ProcessGroup
from training.runtime import Runtime
from training.single_task import SingleModelTask
from training.task import Monitor

ROWS = 22


class Line(SingleModelTask[TrainingConfig, nn.Linear]):
    """Pulls one weight towards 1."""

    monitor = Monitor("loss", "min")

    def train_step(self, step: int) -> Mapping[str, Tensor]:
        loss = (self._model.weight - 1).square().sum()
        return {"loss": loss.detach(), "gradient_norm": self.update(loss)}

    def validate(self) -> Mapping[str, float]:
        return {"loss": 0.0}


def make(group: ProcessGroup | None = None, *, size: int = 6, ema: float = 0.0) -> Line:
    config = TrainingConfig(
        data=DataConfig(batch_size=size),
        regularisation=RegularisationConfig(weight_decay=0.0, ema_decay=ema),
        run=RunConfig(epochs=2, seed=3),
    )
    layer = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(layer.weight)
    return Line(config, layer, ROWS, Runtime(group=group or ProcessGroup()))


def test_an_epoch_visits_no_row_twice_and_each_epoch_has_its_order() -> None:
    task = make()
    epochs = [torch.cat([task.batch_rows(e * 3 + step) for step in range(3)]) for e in range(2)]
    for rows in epochs:
        assert len(set(rows.tolist())) == 18
        assert rows.max() < ROWS
    assert not torch.equal(*epochs)
    assert (task.plan.steps_per_epoch, task.plan.epochs) == (3, 2)


def test_rows_depend_on_the_step_alone() -> None:
    forwards, backwards = make(), make()
    there = [forwards.batch_rows(step) for step in range(6)]
    back = [backwards.batch_rows(step) for step in reversed(range(6))]
    assert torch.equal(torch.stack(there), torch.stack(back[::-1]))


@pytest.mark.parametrize("step", [0, 4])
def test_processes_share_the_rows_of_a_step(step: int) -> None:
    parts = [make(ProcessGroup(rank, 3)).batch_rows(step) for rank in range(3)]
    assert [len(part) for part in parts] == [2, 2, 2]
    assert torch.equal(torch.cat(parts), make().batch_rows(step))


def test_more_rows_in_a_batch_than_there_are_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"data\.batch_size 23 is more than the 22 training rows"):
        make(size=23)


def test_the_running_mean_lags_behind_the_model_and_is_kept() -> None:
    task = make(ema=0.9)
    for step in range(4):
        task.train_step(step)
    model, kept = task.modules()["model"], task.best_model()
    assert set(task.modules()) == {"model", "average"}
    assert 0 < kept.state_dict()["weight"].item() < model.state_dict()["weight"].item()


def test_without_a_running_mean_the_model_is_kept() -> None:
    task = make()
    assert task.best_model() is task.modules()["model"]
    assert set(task.modules()) == {"model"}
    assert list(task.updaters()) == ["model"]
    assert task.rows_per_step() == 6


def test_update_gives_the_norm_of_the_gradient() -> None:
    assert make().train_step(0)["gradient_norm"].item() == pytest.approx(2)


@pytest.mark.parametrize("channels_last", [False, True])
def test_pictures_are_brought_to_the_memory_format_of_the_run(channels_last: bool) -> None:
    config = TrainingConfig(precision=PrecisionConfig(channels_last=channels_last))
    task = Line(config, nn.Linear(1, 1), 200, Runtime())
    pictures = task.in_format(torch.zeros(2, 3, 4, 4))
    assert pictures.is_contiguous(memory_format=torch.channels_last) == channels_last
