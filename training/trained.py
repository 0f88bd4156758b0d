"""Opens a trained run of any family, for evaluation and export.

By convention a family's package has a module ``export`` with ``open_run(run_dir, data_dir)``.
"""

import argparse
import importlib
import os
from pathlib import Path
from typing import Protocol

from quartet.config import ConfigError
from training.evaluation.spec import Evaluable
from training.export.spec import Exportable
from training.registry import FAMILIES
from training.rundir import RunDirectory


class TrainedRun(Exportable, Evaluable, Protocol):
    """A run that can be evaluated and exported."""


def open_run(run_dir: Path, data_dir: Path) -> TrainedRun:
    """The trained run in ``run_dir``.

    Raises:
        ConfigError: no run directory, or of a family that does not exist here.
        CheckpointError: its weights are missing or damaged.
    """
    family, _ = RunDirectory(run_dir).read_config()
    if family not in FAMILIES:
        raise ConfigError(
            f"{run_dir} is a run of family {family!r}; this version knows {', '.join(FAMILIES)}"
        )
    package = FAMILIES[family].module.rpartition(".")[0]
    run: TrainedRun = importlib.import_module(f"{package}.export").open_run(run_dir, data_dir)
    return run


def add_data_dir(parser: argparse.ArgumentParser) -> None:
    """Give ``parser`` the option of the folder of data sets, as ``quartet train`` has it."""
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=Path(os.environ.get("QUARTET_DATA_DIR", "data")),
        help="folder of data sets; default: the environment's QUARTET_DATA_DIR, else data",
    )
