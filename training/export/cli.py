"""The command ``quartet export``."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from quartet.config import ConfigError
from training.checkpoint import CheckpointError
from training.data.idx import DataError
from training.export.errors import ExportError
from training.export.pipeline import export_run
from training.export.record import ExportRequest
from training.rundir import RunDirectory
from training.trained import add_data_dir, open_run


def main(argv: Sequence[str]) -> int:
    """Export one run. Returns the exit status: 0; 1 if a check refused it; 2 for unusable input."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("training").setLevel(logging.INFO)
    try:
        request = ExportRequest(
            run_dir=arguments.run,
            repository=arguments.model_repo,
            name=arguments.name or RunDirectory(arguments.run).read_config()[0],
            int8=arguments.int8,
        )
        run = open_run(arguments.run, arguments.data_dir)
        versions = export_run(run, request)
    except (ConfigError, CheckpointError, DataError) as error:
        sys.stderr.write(f"quartet export: {error}\n")
        return 2
    except ExportError as error:
        sys.stderr.write(f"quartet export: refused, nothing was published: {error}\n")
        return 1
    for entry in versions:
        mark = ", the default" if entry.default else ""
        sys.stdout.write(
            f"{arguments.model_repo / request.name / str(entry.number)}: {entry.precision}{mark}; "
            f"{run.metric.name} {run.metric.text(entry.validation)} validation, "
            f"{run.metric.text(entry.test)} test\n"
        )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="quartet export",
        description="Writes a trained run as ONNX into a model repository: proves the graph equal "
        "to PyTorch, tries an int8 form, and publishes what passed as new versions, the default "
        "(the highest number) last. A refused export leaves nothing behind.",
    )
    parser.add_argument(
        "run", type=Path, metavar="RUN", help="run directory, such as runs/mnist/lenet"
    )
    parser.add_argument(
        "--model-repo", type=Path, default=Path("model_repo"), help="default: model_repo"
    )
    parser.add_argument(
        "--name", default="", help="model's folder in the repository; default: the family's name"
    )
    parser.add_argument(
        "--int8",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="also publish an int8 form if it is as good as float32 within the family's tolerance "
        "(0.05 points of accuracy, 0.001 nats of loss, 0.005 of CIDEr-D) on the validation split; "
        "default: yes",
    )
    add_data_dir(parser)
    return parser
