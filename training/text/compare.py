"""Compares trained runs of family ``text``: a table, and gradient norms over the time lag.

``python -m training.text.compare runs/text/cells-rnn runs/text/cells-gru ... --figure lags.png``
writes the table as Markdown to the terminal, or to a file with ``--table``.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from quartet.config import ConfigError
from training.checkpoint import CheckpointError
from training.data.idx import DataError
from training.evaluation.runner import evaluate
from training.evaluation.spec import Figures
from training.rundir import RunDirectory
from training.text.config import TextConfig
from training.text.evaluation import TextEvaluation
from training.text.lags import LagCurves, LagPlan, initial_model, measure_lags
from training.trained import add_data_dir

_DPI = 120
_FALLEN = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedRun:
    """What the comparison says of one run."""

    name: str
    config: TextConfig
    summary: dict[str, Any]
    """summary.json."""
    figures: Figures
    """Evaluation on the test split."""
    initial: LagCurves
    """Before training."""
    trained: LagCurves
    """Of the best weights."""


def main(argv: Sequence[str]) -> int:
    """Returns the exit status: 0, or 2 for a run or data that cannot be used."""
    arguments = _parser().parse_args(argv)
    torch.set_num_threads(1)  # the same figures on any number of cores
    try:
        runs = [compare_run(path, arguments.data_dir) for path in arguments.runs]
    except (ConfigError, CheckpointError, DataError) as error:
        sys.stderr.write(f"compare: {error}\n")
        return 2
    table = table_text(runs)
    if arguments.table:
        arguments.table.write_text(table + "\n", encoding="utf-8")
    else:
        sys.stdout.write(table + "\n")
    if arguments.figure:
        plot_lags(runs, arguments.figure)
    return 0


def compare_run(run_dir: Path, data_dir: Path, plan: LagPlan | None = None) -> ComparedRun:
    """Evaluate ``run_dir`` (once, as ``quartet evaluate`` does) and measure its gradients.

    They are taken on the validation split.

    Raises:
        ConfigError: no finished run of family text.
        CheckpointError: its weights are missing or damaged.
        DataError: the text is missing or another one.
    """
    run = RunDirectory(run_dir)
    evaluation = TextEvaluation(run_dir, data_dir)
    if not run.summary.is_file():
        raise ConfigError(f"{run_dir} is no finished run: it has no {run.summary.name}")
    figures, _ = evaluate(run_dir, "test", lambda: evaluation)
    text, plan = evaluation.corpus.validation, plan or LagPlan()
    return ComparedRun(
        name=run_dir.name,
        config=evaluation.config,
        summary=json.loads(run.summary.read_text(encoding="utf-8")),
        figures=figures,
        initial=measure_lags(initial_model(evaluation.config, evaluation.model), text, plan),
        trained=measure_lags(evaluation.model, text, plan),
    )


def table_text(runs: Sequence[ComparedRun]) -> str:
    """Markdown, one line a run."""
    lines = [
        "| run | cell | layers x width | parameters | epochs | validation, nats | test, nats | "
        "last tenth, nats (bits) | state gradient falls to 1 % after | training |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for run in runs:
        model, held_out = run.config.model, run.figures["held_out"]
        lines.append(
            f"| `{run.name}` | {model.cell} | {model.layers} x {model.width} | "
            f"{run.summary['parameters']:,} | {run.summary['epochs']:.3g} | "
            f"{run.summary['best']['validation']['loss']:.4f} | {run.figures['loss']:.4f} | "
            f"{held_out['loss']:.4f} ({held_out['bits_per_character']:.4f}) | "
            f"{_reach(run.initial.state)}, trained {_reach(run.trained.state)} | "
            f"{run.summary['elapsed_s']:,.0f} s |"
        )
    return "\n".join(lines)


def plot_lags(runs: Sequence[ComparedRun], path: Path) -> None:
    """Two frames: gradients of the state and of the input; dashed before training."""
    figure = Figure(figsize=(10.5, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for number, run in enumerate(runs):
        colour = f"C{number}"
        _draw(left, run.trained.state, 1, colour, run.name)
        _draw(left, run.initial.state, 1, colour)
        _draw(right, run.trained.input, 0, colour, run.name)
        _draw(right, run.initial.input, 0, colour)
    left.set_title("state handed on k characters before", fontsize=10)
    right.set_title("input k characters before", fontsize=10)
    for axes in (left, right):
        axes.set_yscale("log")
        axes.set(xlabel="lag k, characters", ylabel="mean norm of the loss's gradient")
        axes.grid(alpha=0.3)
    right.legend(frameon=False, title="dashed: before training", title_fontsize=9)
    figure.savefig(path, dpi=_DPI)


def _draw(
    axes: Axes, norms: Sequence[float], first: int, colour: str, label: str | None = None
) -> None:
    """One curve, without the zeros that a logarithmic axis cannot show; dashed if unlabelled."""
    points = [(lag, norm) for lag, norm in enumerate(norms, first) if norm > 0]
    if points:
        lags, values = zip(*points, strict=True)
        axes.plot(lags, values, "-" if label else "--", color=colour, linewidth=1.4, label=label)


def _reach(norms: Sequence[float]) -> str:
    """First lag at which the gradient is 1 % of that at lag 1 or less."""
    if not norms:
        return "-"
    for lag, norm in enumerate(norms, 1):
        if norm <= _FALLEN * norms[0]:
            return str(lag)
    return f"> {len(norms)}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.text.compare",
        description="Compares trained runs of family text: losses and how far back gradients "
        "reach, before and after training. Evaluates each run that has not been evaluated.",
    )
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="run directory")
    add_data_dir(parser)
    parser.add_argument("--table", type=Path, help="file for the table; default: the terminal")
    parser.add_argument("--figure", type=Path, help="PNG of gradient norms over the time lag")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
