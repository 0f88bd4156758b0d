"""Opens a trained run of any family, for evaluation and export.

By convention a family's package has a module ``evaluation``, see
``training.evaluation.spec.EvaluationModule``, and a module ``export`` with
``open_run(run_dir, data_dir)`` if its networks are served.
"""

import argparse
import importlib
import importlib.util
import os
from pathlib import Path
from types import ModuleType

from quartet.config import ConfigError
from training.evaluation.spec import EvaluationModule
from training.export.spec import Exportable
from training.registry import FAMILIES
from training.rundir import RunDirectory


def open_run(run_dir: Path, data_dir: Path) -> Exportable:
    """The trained run in ``run_dir``, for export.

    Raises:
        ConfigError: no run directory, or of a family that does not exist here.
        CheckpointError: its weights are missing or damaged.
    """
    run: Exportable = _family_module(run_dir, "export").open_run(run_dir, data_dir)
    return run


def evaluation_module(run_dir: Path) -> EvaluationModule:
    """What evaluates the family of ``run_dir``.

    Raises ConfigError for no run directory, or one of a family that does not exist here.
    """
    module: EvaluationModule = _family_module(run_dir, "evaluation")
    return module


def _family_module(run_dir: Path, name: str) -> ModuleType:
    family, _ = RunDirectory(run_dir).read_config()
    if family not in FAMILIES:
        raise ConfigError(
            f"{run_dir} is a run of family {family!r}; this version knows {', '.join(FAMILIES)}"
        )
    module = f"{FAMILIES[family].module.rpartition('.')[0]}.{name}"
    if importlib.util.find_spec(module) is None:
        raise ConfigError(
            f"{run_dir} is a run of family {family!r}, which has no {name}: "
            "its networks are parts of others"
        )
    return importlib.import_module(module)


def add_data_dir(parser: argparse.ArgumentParser) -> None:
    """Give ``parser`` the option of the folder of data sets, as ``quartet train`` has it."""
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=Path(os.environ.get("QUARTET_DATA_DIR", "data")),
        help="folder of data sets; default: the environment's QUARTET_DATA_DIR, else data",
    )
