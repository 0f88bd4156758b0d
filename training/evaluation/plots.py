"""Pictures of a report. matplotlib's object interface: no global figure, no display."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.evaluation.report import ClassificationReport, Mistake

_DPI = 120
MISTAKES_SHOWN = 120
"""Largest number of pictures on the sheet of mistakes; the surest are kept."""


def plot_confusion(report: ClassificationReport, path: Path) -> None:
    """Confusion matrix. Colour shows the mistakes alone, which the diagonal would drown."""
    size = len(report.labels)
    figure = Figure(figsize=(0.52 * size + 2.0, 0.52 * size + 1.5), layout="constrained")
    axes = figure.subplots()
    mistakes = report.confusion * (1 - np.eye(size, dtype=int))
    axes.imshow(mistakes, cmap="Reds", vmin=0, vmax=max(1, int(mistakes.max())))
    for row, column in np.ndindex(size, size):
        count = int(report.confusion[row, column])
        if count:
            dark = row != column and count > 0.6 * mistakes.max()
            colour = "white" if dark else "0.45" if row == column else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=9)
    axes.set_xticks(range(size), report.labels)
    axes.set_yticks(range(size), report.labels)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(f"{report.count - report.correct} mistakes in {report.count}", fontsize=11)
    figure.savefig(path, dpi=_DPI)


def plot_reliability(report: ClassificationReport, path: Path) -> None:
    """Reliability diagram (accuracy against confidence) over a histogram of confidence."""
    figure = Figure(figsize=(5.2, 5.8), layout="constrained")
    upper, lower = figure.subplots(2, 1, height_ratios=(3, 1), sharex=True)
    bins = [entry for entry in report.reliability if entry.count]
    width = report.reliability[0].upper - report.reliability[0].lower
    middles = [(entry.lower + entry.upper) / 2 for entry in bins]
    upper.bar(
        middles,
        [e.accuracy for e in bins],
        width,
        color="#4c78a8",
        edgecolor="white",
        label="model",
    )
    upper.plot([0, 1], [0, 1], "--", color="0.3", linewidth=1, label="perfectly calibrated")
    for middle, entry in zip(middles, bins, strict=True):
        upper.annotate(
            str(entry.count), (middle, 0.02), ha="center", fontsize=7, color="white", rotation=90
        )
    upper.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02))
    upper.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
    figure.suptitle(f"expected calibration error {report.ece:.4f}", fontsize=11)
    lower.bar(middles, [e.count for e in bins], width, color="0.6", edgecolor="white")
    lower.set(xlabel="confidence", ylabel="pictures", yscale="log")
    figure.savefig(path, dpi=_DPI)


def plot_mistakes(
    report: ClassificationReport, images: npt.NDArray[np.uint8], path: Path, columns: int = 12
) -> None:
    """Sheet of the wrongly classified pictures [N, H, W], surest mistake first."""
    shown = report.mistakes[:MISTAKES_SHOWN]
    rows = max(1, -(-len(shown) // columns))
    figure = Figure(figsize=(columns * 0.85, rows * 1.12 + 0.5), layout="constrained")
    grid: Sequence[Axes] = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for axes in grid:
        axes.set_axis_off()
    for axes, mistake in zip(grid, shown, strict=False):
        axes.imshow(images[mistake.index], cmap="gray_r", vmin=0, vmax=255)
        axes.set_title(_caption(mistake, report.labels), fontsize=7, pad=2)
    total = len(report.mistakes)
    cut = "" if total <= len(shown) else f", the {len(shown)} surest shown"
    figure.suptitle(
        f"{total} mistakes in {report.count}{cut}: true > predicted, confidence", fontsize=9
    )
    figure.savefig(path, dpi=_DPI)


def _caption(mistake: Mistake, labels: tuple[str, ...]) -> str:
    return f"{labels[mistake.target]} > {labels[mistake.predicted]}  {mistake.confidence:.0%}"
