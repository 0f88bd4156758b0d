"""``quartet train FAMILY``."""

import argparse
import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from quartet.config import ConfigError, load_config
from training.checkpoint import CheckpointError
from training.config import TrainingConfig
from training.data.idx import DataError
from training.registry import FAMILIES, load_family
from training.run import RunRequest, RunResult, train_run
from training.rundir import MACHINE_KEYS, RunDirectory
from training.task import Family
from training.trainer import DivergedError

ENV_PREFIX = "QUARTET_"
"""Of environment variables, for instance QUARTET_DATA_DIR or QUARTET_RUN__DEVICE."""
USAGE_ERROR = 2
"""Exit status of a command that could not be understood, as argparse has it."""
DIVERGED = 1
"""Exit status of a run whose loss ran away."""
INTERRUPTED = 130
"""Exit status of a run that was stopped by a signal, as shells have it for SIGINT."""
FREE_ON_RESUME = {**MACHINE_KEYS, "run": True}
"""Sections that a resumed run may change. Of ``run``, all but what ``_FIXED_RUN_KEYS`` lists."""
_FIXED_RUN_KEYS = ("seed", "epochs")


def train(argv: Sequence[str]) -> int:
    """Run the command on the words after ``quartet train``; returns the exit status."""
    if not argv or argv[0] in ("-h", "--help"):
        sys.stdout.write(_usage())
        return 0 if argv else USAGE_ERROR
    try:
        return _train_family(argv[0], list(argv[1:]))
    except (ConfigError, DataError, CheckpointError) as error:
        sys.stderr.write(f"quartet train: {error}\n")
        return USAGE_ERROR
    except DivergedError as error:
        sys.stderr.write(f"quartet train: {error}\n")
        return DIVERGED


def _train_family(name: str, argv: list[str]) -> int:
    family = load_family(name)
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--resume", type=Path, metavar="RUN_DIR")
    parser.add_argument("--print-config", action="store_true")
    own, flags = parser.parse_known_args(argv)
    config = _load(family, flags, own.resume)
    if _leads():
        sys.stdout.write("".join(f"{line}\n" for line in describe(config)))
        sys.stdout.flush()
    if own.print_config:
        return 0
    run = RunDirectory(
        own.resume or config.run.dir / name / (config.run.name or family.run_name(config))
    )
    request = RunRequest(
        family=family,
        config=config,
        run=run,
        resume=own.resume is not None,
        command=_command(name, argv),
    )
    return _report(train_run(request), run)


def _load(family: Family[Any], flags: list[str], resume: Path | None) -> TrainingConfig:
    """The effective configuration: flags over the family's recipe, or over the run to resume."""
    stored = _stored_values(family, resume) if resume else None
    config = _read(family, flags, stored)
    if stored is None:
        return _read(family, flags, family.recipe(config))
    original = family.schema.model_validate(stored)
    changed = sorted(set(_fixed(config)) - set(_fixed(original)))
    if changed:
        raise ConfigError(f"--resume: a run cannot change its course midway: {'; '.join(changed)}")
    return config


def _read(
    family: Family[Any], flags: list[str], defaults: Mapping[str, Any] | None
) -> TrainingConfig:
    config: TrainingConfig = load_config(
        family.schema,
        flags,
        prog=f"quartet train {family.name}",
        description=f"{family.schema.__doc__}\n\n{_COMMON_HELP}",
        env_prefix=ENV_PREFIX,
        defaults=defaults,
    )
    return config


def _stored_values(family: Family[Any], resume: Path) -> dict[str, Any]:
    name, values = RunDirectory(resume).read_config()
    if name != family.name:
        raise ConfigError(f"--resume: {resume} is a run of {name!r}, not of {family.name!r}")
    values["run"] = {**values["run"], "max_steps": 0}
    return values


def _fixed(config: TrainingConfig) -> list[str]:
    """The settings that must stay as they are for a resumed run to be the same run."""
    run = (f"run.{key} = {getattr(config.run, key)}" for key in _FIXED_RUN_KEYS)
    return [*run, *_lines(config.model_dump(mode="json", exclude=FREE_ON_RESUME), "")]


def describe(config: BaseModel) -> list[str]:
    """The effective values, one ``section.key = value`` a line."""
    return list(_lines(config.model_dump(mode="json"), ""))


def _lines(values: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _lines(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key} = {value}"


def _command(name: str, argv: Sequence[str]) -> str:
    """The command without this machine's folders, for it is published."""
    words, flag = ["quartet", "train", name], ""
    for word in argv:
        if word.startswith("--") and "=" in word:
            flag, _, value = word.partition("=")
            words.append(f"{flag}={_without_folder(flag, value)}")
        else:
            words.append(_without_folder(flag, word))
        flag = word
    return shlex.join(words)


def _without_folder(flag: str, value: str) -> str:
    """``value`` of ``flag``; DIR for a folder of data or runs, the name of any absolute path."""
    if flag in ("--data-dir", "--run.dir"):
        return "DIR"
    return Path(value).name if Path(value).is_absolute() else value


def _report(result: RunResult, run: RunDirectory) -> int:
    if _leads():
        progress = result.progress
        best = ", ".join(f"{k} {v:.4f}" for k, v in progress.best_metrics.items()) or "none yet"
        sys.stdout.write(
            f"{result.outcome.replace('_', ' ')} after {progress.step} steps, "
            f"{progress.elapsed_s:.0f} s; best validation: {best} (step {progress.best_step})\n"
            f"{run.path}\n"
        )
    return INTERRUPTED if result.outcome == "interrupted" else 0


def _leads() -> bool:
    """Whether this is the process that talks, before the group of processes is joined."""
    return os.environ.get("RANK", "0") == "0"


_COMMON_HELP = """\
The recipe of the chosen variant replaces the defaults shown here; --print-config shows the
effective values and trains nothing. --resume RUN_DIR goes on from RUN_DIR/last.pt."""


def _usage() -> str:
    width = max(map(len, FAMILIES))
    rows = "\n".join(f"  {name:<{width}}  {entry.summary}" for name, entry in FAMILIES.items())
    return f"""\
usage: quartet train FAMILY [--config FILE | --resume RUN_DIR] [--print-config] [flags]

Trains a model and leaves it in runs/FAMILY/NAME. Families:

{rows}

quartet train FAMILY --help shows every flag. On several GPUs or processes:
torchrun --nproc-per-node N -m training FAMILY [flags]
"""
