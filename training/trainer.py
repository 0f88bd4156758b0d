"""The training loop: steps, validation, checkpoints, early stopping. Knows no family."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from torch import Tensor

from training.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from training.config import TrainingConfig
from training.loggers import Loggers, Record
from training.rundir import RunDirectory
from training.runtime import Runtime
from training.seeding import Stream, seed_modules
from training.sheets import save_sheet
from training.task import Task

Outcome = Literal["finished", "stopped_early", "paused", "interrupted"]
"""finished: all epochs done; stopped_early: validation improves no more; paused: max_steps done;
interrupted: asked to stop. The last two can be resumed."""


class DivergedError(ArithmeticError):
    """A loss that is infinite or no number. last.pt still holds the last good state saved."""


@dataclass(slots=True)
class Progress:
    """Where a run stands; part of last.pt."""

    step: int = 0
    """Updates done."""
    best: float | None = None
    """Best value of the monitored metric."""
    best_step: int = 0
    """Updates done when it was measured."""
    best_metrics: dict[str, float] = field(default_factory=dict)
    """All validation metrics measured then."""
    stale_validations: int = 0
    """Validations since then."""
    elapsed_s: float = 0.0
    """Seconds of training, all sessions together."""


class Trainer:
    """Trains one task in one run directory.

    ``stop`` is asked after each step whether to checkpoint and leave; ``clock`` gives monotonic
    seconds.
    """

    def __init__(
        self,
        task: Task,
        config: TrainingConfig,
        run: RunDirectory,
        runtime: Runtime,
        *,
        stop: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.progress = Progress()
        self._task = task
        self._config = config
        self._run = run
        self._runtime = runtime
        self._stop = stop
        self._clock = clock
        self._window = _Window(runtime)
        runtime.group.broadcast(task.modules().values())

    def resume(self) -> None:
        """Go on from last.pt. Raises CheckpointError if it is absent or of another model."""
        state = load_checkpoint(self._run.last)
        try:
            for name, module in self._task.modules().items():
                module.load_state_dict(state["modules"][name])
            for name, updater in self._task.updaters().items():
                updater.load_state_dict(state["updaters"][name])
            self.progress = Progress(**state["progress"])
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise CheckpointError(f"{self._run.last} does not fit this run: {error}") from error

    def fit(self, loggers: Loggers) -> Outcome:
        """Train to the end, to early stopping, to ``run.max_steps`` or until ``stop`` says so.

        Raises DivergedError when a loss is no finite number.
        """
        plan = self._task.plan
        started = self._clock() - self.progress.elapsed_s
        while not self._is_over():
            self._train_step(loggers)
            self.progress.elapsed_s = self._clock() - started
            step = self.progress.step
            if step % plan.steps_per_epoch == 0:
                self._end_epoch(loggers)
            elif (
                self._config.run.checkpoint_every and step % self._config.run.checkpoint_every == 0
            ):
                self._save_last()
            if not self._is_over() and (why := self._pause()):
                self._save_last()
                return why
        return "stopped_early" if self._is_stale() else "finished"

    def _pause(self) -> Literal["paused", "interrupted"] | None:
        """Why to leave the run here though it is not over, if so."""
        if 0 < self._config.run.max_steps <= self.progress.step:
            return "paused"
        stop = self._runtime.group.any(self._stop(), self._runtime.device)
        return "interrupted" if stop else None

    def _train_step(self, loggers: Loggers) -> None:
        run, step = self._config.run, self.progress.step
        seed_modules(run.seed, Stream.STEP, step, self._runtime.group.rank)
        self._window.add(self._task.train_step(step))
        self.progress.step = step + 1
        loggers.advance(step + 1)
        if (step + 1) % run.log_every == 0:
            metrics = self._window.take()
            _check_finite(metrics, step + 1)
            rates = {f"lr_{name}": u.lr for name, u in self._task.updaters().items()}
            self._write(loggers, "train", {**metrics, **rates})

    def _end_epoch(self, loggers: Loggers) -> None:
        """Validate, keep the model if it is the best so far, and checkpoint."""
        self._check_training()
        # Batch statistics may differ by process; validate what process 0 is about to keep.
        self._runtime.group.broadcast(self._task.modules().values())
        metrics = dict(self._task.validate())
        _check_finite({f"validation {k}": v for k, v in metrics.items()}, self.progress.step)
        self._write(loggers, "validation", metrics)
        monitor, progress = self._task.monitor, self.progress
        value = metrics[monitor.metric]
        if monitor.improves(value, progress.best):
            progress.best, progress.best_step = value, progress.step
            progress.best_metrics, progress.stale_validations = metrics, 0
            self._save_best()
        else:
            progress.stale_validations += 1
        self._save_sheets()
        self._save_last()

    def _check_training(self) -> None:
        """Raise DivergedError if a loss since the last record is no finite number."""
        _check_finite(self._window.means(), self.progress.step)

    def _is_over(self) -> bool:
        return self.progress.step >= self._task.plan.total_steps or self._is_stale()

    def _is_stale(self) -> bool:
        patience = self._config.regularisation.early_stopping_epochs
        return 0 < patience <= self.progress.stale_validations

    def _write(
        self, loggers: Loggers, split: Literal["train", "validation"], metrics: dict[str, float]
    ) -> None:
        progress = self.progress
        epoch = progress.step / self._task.plan.steps_per_epoch
        loggers.write(
            Record(
                step=progress.step,
                epoch=epoch,
                split=split,
                elapsed_s=progress.elapsed_s,
                metrics=metrics,
            )
        )

    def _save_best(self) -> None:
        if self._runtime.group.leads:
            progress = self.progress
            state = {
                "model": self._task.best_model().state_dict(),
                "step": progress.step,
                "metrics": progress.best_metrics,
            }
            save_checkpoint(self._run.best, state)

    def _save_sheets(self) -> None:
        """Write the task's pictures of this epoch."""
        if self._runtime.group.leads:
            epoch = self.progress.step // self._task.plan.steps_per_epoch
            for name, sheet in self._task.sheets().items():
                save_sheet(self._run.sheet(name, epoch), sheet)

    def _save_last(self) -> None:
        self._check_training()
        if self._runtime.group.leads:
            state: dict[str, Any] = {
                "modules": {k: m.state_dict() for k, m in self._task.modules().items()},
                "updaters": {k: u.state_dict() for k, u in self._task.updaters().items()},
                "progress": asdict(self.progress),
            }
            save_checkpoint(self._run.last, state)
        self._runtime.group.barrier()


def _check_finite(metrics: Mapping[str, float], step: int) -> None:
    """Look at losses alone: float16 skips steps whose gradient overflows, and goes on well."""
    for name, value in metrics.items():
        if name.endswith("loss") and not math.isfinite(value):
            raise DivergedError(
                f"{name} is {value} in the steps up to {step}; "
                "a lower optimizer.lr, a warm-up or regularisation.clip_norm may help"
            )


class _Window:
    """Means of the training metrics since they were last taken, kept on the device until then."""

    def __init__(self, runtime: Runtime) -> None:
        self._group = runtime.group
        self._sums: dict[str, Tensor] = {}
        self._steps = 0

    def add(self, metrics: Mapping[str, Tensor]) -> None:
        for name, value in metrics.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value
        self._steps += 1

    def means(self) -> dict[str, float]:
        return {k: float(self._group.mean(v)) / self._steps for k, v in self._sums.items()}

    def take(self) -> dict[str, float]:
        means = self.means()
        self._sums, self._steps = {}, 0
        return means
