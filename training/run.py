"""One training run from configuration to summary."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from quartet import __version__
from training.config import TrainingConfig
from training.interrupt import stop_on_signal
from training.loggers import (
    JsonlLogger,
    Loggers,
    ProgressLogger,
    TensorBoardLogger,
    read_records,
)
from training.plots import plot_curves
from training.provenance import git_commit, package_versions
from training.rundir import RunDirectory, write_json
from training.runtime import Runtime, start_runtime
from training.task import Family, Task
from training.trainer import Outcome, Progress, Trainer


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What to train and where."""

    family: Family[Any]
    """The family."""
    config: TrainingConfig
    """Of the family's own class."""
    run: RunDirectory
    """Where it goes."""
    resume: bool = False
    """Go on from the run's last.pt instead of making the folder."""
    command: str = ""
    """How the run was asked for, for the summary."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended."""

    outcome: Outcome
    """Why it stopped."""
    progress: Progress
    """Where it stood then."""


def train_run(request: RunRequest) -> RunResult:
    """Train as ``request`` says, writing all files of the run directory.

    Raises:
        ConfigError: a setting cannot be used, or the run exists already.
        DataError: the data cannot be read.
        CheckpointError: there is nothing to resume.
        DivergedError: a loss is no number any more.
    """
    config, commit = request.config, git_commit()  # the sources may change while it trains
    with start_runtime(config.run, config.precision) as runtime, stop_on_signal() as stop:
        task = request.family.make_task(config, runtime)
        if not request.resume and runtime.group.leads:
            request.run.create(request.family.name, config, request.command)
        runtime.group.barrier()
        trainer = Trainer(task, config, request.run, runtime, stop=stop)
        if request.resume:
            trainer.resume()
        with _open_loggers(request, task, runtime, trainer.progress.step) as loggers:
            outcome = trainer.fit(loggers)
        if runtime.group.leads:
            plot_curves(read_records(request.run.metrics), request.run.curves)
            result = RunResult(outcome, trainer.progress)
            write_json(request.run.summary, summarise(request, task, runtime, result, commit))
    return RunResult(outcome, trainer.progress)


def summarise(
    request: RunRequest, task: Task, runtime: Runtime, result: RunResult, commit: str | None
) -> Mapping[str, Any]:
    """What summary.json holds. ``commit`` is that of the sources when the run began."""
    progress = result.progress
    return {
        "family": request.family.name,
        "run": request.run.path.name,
        "seed": request.config.run.seed,
        "outcome": result.outcome,
        "best": {"step": progress.best_step, "validation": progress.best_metrics},
        "steps": progress.step,
        "epochs": progress.step / task.plan.steps_per_epoch,
        "elapsed_s": round(progress.elapsed_s, 1),
        "device": runtime.device.type,
        "threads": torch.get_num_threads(),
        "processes": runtime.group.size,
        **task.facts(),
        "command": request.run.first_command() or request.command,
        "versions": {**package_versions("torch", "numpy"), "quartet": __version__},
        "git_commit": commit,
    }


def _open_loggers(request: RunRequest, task: Task, runtime: Runtime, step: int) -> Loggers:
    """The loggers of a run that goes on at ``step``; none on processes that do not lead."""
    if not runtime.group.leads:
        return Loggers()
    loggers = Loggers(
        JsonlLogger(request.run.metrics, step), TensorBoardLogger(request.run.tensorboard, step)
    )
    if not request.config.run.progress:
        return loggers
    return Loggers(loggers, ProgressLogger(task.plan.total_steps, step, task.rows_per_step()))
