"""Curves of a run as PNG."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.loggers import Record

Curve = dict[str, list[tuple[int, float]]]
"""Split -> points (step, value)."""


def plot_curves(records: Iterable[Record], path: Path) -> None:
    """Draw each metric over the steps, training and validation in one frame.

    A metric that both splits have (the loss) shows both. Writes nothing for no records.
    """
    curves: dict[str, Curve] = defaultdict(lambda: defaultdict(list))
    for record in records:
        for name, value in record.metrics.items():
            curves[name][record.split].append((record.step, value))
    if not curves:
        return
    figure = Figure(figsize=(5 * len(curves), 3.6), layout="constrained")
    frames = figure.subplots(1, len(curves), squeeze=False)[0]
    for frame, (name, curve) in zip(frames, sorted(curves.items()), strict=True):
        _draw(frame, name, curve)
    partial = path.with_name(path.name + ".partial")
    figure.savefig(partial, format="png", dpi=100)
    partial.replace(path)


def _draw(frame: Axes, name: str, curve: Curve) -> None:
    for split, points in sorted(curve.items()):
        steps, values = zip(*points, strict=True)
        marker = "." if split == "validation" else None
        frame.plot(steps, values, label=split, marker=marker, linewidth=1)
    # A logarithm wants something above 0, which the loss of a text of one character has not.
    if name == "loss" and any(value > 0 for points in curve.values() for _, value in points):
        frame.set_yscale("log")
    frame.set_xlabel("step")
    frame.set_title(name)
    frame.grid(alpha=0.3)
    frame.legend()
