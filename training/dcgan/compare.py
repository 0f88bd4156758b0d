"""Measures what each means of keeping the game stable is worth, on short runs of digits.

``python -m training.dcgan.compare --data-dir DIR --epochs 2`` trains ``recipes/digits.toml`` as it
is and once with each option switched, all with the same seed, evaluates them on the validation
split, and prints one table. Runs and ``results.json`` are kept in ``runs/dcgan-compare``; called
again, it goes on where it was interrupted and trains what is new.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from quartet.config import ConfigError, explain
from training.checkpoint import CheckpointError
from training.data.idx import DataError
from training.dcgan.config import DcganConfig
from training.dcgan.evaluation import open_run
from training.dcgan.task import FAMILY
from training.evaluation.runner import evaluate
from training.evaluation.spec import Figures
from training.run import RunRequest, train_run
from training.rundir import RunDirectory, write_json
from training.trained import add_data_dir
from training.trainer import DivergedError

RESULTS_FILE = "results.json"
INTERRUPTED = 130
"""Exit status after a signal, as ``quartet train`` has it."""
Overrides = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Option:
    """One switch of the recipe."""

    text: str
    """What it is, for the table."""
    overrides: Overrides
    """Section -> key -> value."""


OPTIONS: Mapping[str, Option] = {
    "recipe": Option("as it is", {}),
    "spectral-norm": Option("spectral normalisation", {"model": {"spectral_norm": True}}),
    "two-time-scales": Option(
        "discriminator learns twice as fast", {"adversarial": {"discriminator_lr_factor": 2.0}}
    ),
    "augment": Option(
        "differentiable augmentation: translation", {"adversarial": {"augment": ["translation"]}}
    ),
    "augment-more": Option(
        "differentiable augmentation: translation, cutout",
        {"adversarial": {"augment": ["translation", "cutout"]}},
    ),
    "no-average": Option("no running mean of weights", {"regularisation": {"ema_decay": 0.0}}),
    "no-smoothing": Option("real label 1", {"adversarial": {"real_label": 1.0}}),
    "hinge": Option("hinge", {"adversarial": {"objective": "hinge", "real_label": 1.0}}),
    "hinge-spectral-norm": Option(
        "hinge, spectral normalisation",
        {
            "adversarial": {"objective": "hinge", "real_label": 1.0},
            "model": {"spectral_norm": True},
        },
    ),
}
"""By name; the recipe has batch normalisation in both networks, a running mean of weights and a
real label of 0.9."""


class Interrupted(Exception):
    """A signal asked to stop; what is done is kept."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What all runs have in common."""

    folder: Path
    """Of the runs and of results.json."""
    data_dir: Path
    """Of data sets."""
    epochs: int
    """Of each run."""
    seed: int
    """Of each run."""

    def config(self, option: Option) -> DcganConfig:
        """The recipe with ``option``. Raises ConfigError where the two contradict each other."""
        base = {"dataset": "mnist", "data_dir": self.data_dir}
        values = merged(FAMILY.recipe(DcganConfig(dataset="mnist")), option.overrides)
        run = {"epochs": self.epochs, "seed": self.seed, "progress": False}
        try:
            return DcganConfig.model_validate(merged({**base, **values}, {"run": run}))
        except ValidationError as error:
            raise ConfigError(explain(error)) from error

    def figures(self, name: str) -> Figures:
        """Train option ``name``, or go on with it, and measure it.

        Raises:
            Interrupted: a signal came.
            ConfigError, DataError, CheckpointError: it cannot be trained.
            DivergedError: its loss ran away.
        """
        run = RunDirectory(self.folder / name)
        if not run.summary.is_file() or _outcome(run) != "finished":
            resume = run.last.is_file()
            if not resume and run.config.is_file():
                shutil.rmtree(run.path)  # ended before its first epoch did
            request = RunRequest(
                family=FAMILY, config=self.config(OPTIONS[name]), run=run, resume=resume
            )
            if train_run(request).outcome == "interrupted":
                raise Interrupted(name)
        figures, _ = evaluate(run.path, "validation", lambda: open_run(run.path, self.data_dir))
        return figures

    def stored(self) -> dict[str, Any]:
        """results.json, or its beginning. Raises ConfigError if it is of other settings."""
        settings = {"epochs": self.epochs, "seed": self.seed}
        file = self.folder / RESULTS_FILE
        if not file.is_file():
            return {**settings, "options": {}}
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if {key: found[key] for key in settings} != settings:
            raise ConfigError(
                f"{file} is of {found['epochs']} epochs and seed {found['seed']}; "
                "choose those, or another --folder"
            )
        return found


def merged(values: Mapping[str, Any], overrides: Overrides) -> dict[str, Any]:
    """``values`` with the sections of ``overrides`` laid over its own."""
    laid = {section: {**values.get(section, {}), **keys} for section, keys in overrides.items()}
    return {**values, **laid}


def compare(comparison: Comparison, names: Sequence[str]) -> dict[str, Any]:
    """Train and measure options ``names``, each written to results.json as soon as it is known.

    A run whose loss runs away is a result too. Raises as ``Comparison.figures`` does.
    """
    results = comparison.stored()
    comparison.folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        if name not in results["options"]:
            try:
                found: dict[str, Any] = {"figures": comparison.figures(name)}
            except DivergedError as error:
                found = {"diverged": str(error)}
            results["options"][name] = {"text": OPTIONS[name].text, **found}
            write_json(comparison.folder / RESULTS_FILE, results)
    return results


def table(results: Mapping[str, Any]) -> str:
    """All results as Markdown; the floor is what real pictures reach against others."""
    lines = [
        "| recipe with | inception-style score | Frechet distance | KID | precision | recall |",
        "|---|---|---|---|---|---|",
    ]
    figures: Figures = {}
    for row in results["options"].values():
        if "diverged" in row:
            lines.append(f"| {row['text']} | the loss ran away | | | | |")
            continue
        figures = row["figures"]
        lines.append(_row(row["text"], figures["inception_score"]["samples"], figures, "samples"))
    if figures:
        real = figures["inception_score"]["real"]
        lines.append(_row("real against real", real, figures, "floor"))
        lines += [
            "",
            f"{results['epochs']} epochs, seed {results['seed']}, {figures['count']} samples "
            "against the validation split, in the features of "
            f"`{figures['scorer']['model']}` (SHA-256 {figures['scorer']['sha256']}). One seed: "
            "small differences are luck.",
        ]
    return "\n".join(lines)


def _row(text: str, score: float, figures: Figures, side: str) -> str:
    return (
        f"| {text} | {score:.2f} | {figures['frechet_distance'][side]:.3g} | "
        f"{figures['kernel_distance'][side]:.3g} | {figures['precision'][side]:.3f} | "
        f"{figures['recall'][side]:.3f} |"
    )


def _outcome(run: RunDirectory) -> str:
    return str(json.loads(run.summary.read_text(encoding="utf-8"))["outcome"])


def main(argv: Sequence[str]) -> int:
    """Returns the exit status: 0, 2 for data or settings that cannot be used, 130 for a signal."""
    arguments = _parser().parse_args(argv)
    comparison = Comparison(arguments.folder, arguments.data_dir, arguments.epochs, arguments.seed)
    try:
        results = compare(comparison, arguments.options)
    except (ConfigError, CheckpointError, DataError) as error:
        sys.stderr.write(f"compare: {error}\n")
        return 2
    except Interrupted as error:
        sys.stderr.write(f"compare: interrupted in {error}; the same command goes on from there\n")
        return INTERRUPTED
    sys.stdout.write(table(results) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.dcgan.compare",
        description="Trains short runs of digits, each with one stabiliser switched, and prints "
        "their figures on the validation split as one table.",
    )
    add_data_dir(parser)
    parser.add_argument("--epochs", type=int, default=2, help="of each run; default: 2")
    parser.add_argument("--seed", type=int, default=1, help="of all runs; default: 1")
    parser.add_argument(
        "--options",
        nargs="+",
        choices=tuple(OPTIONS),
        default=list(OPTIONS),
        metavar="OPTION",
        help=f"default: all of {', '.join(OPTIONS)}",
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path("runs/dcgan-compare"),
        help="of runs and results.json; default: runs/dcgan-compare",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
