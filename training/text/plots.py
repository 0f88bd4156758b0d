"""Pictures of a language model's evaluation."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from training.evaluation.spec import Figures

_DPI = 120


def plot_context(figures: Figures, path: Path) -> None:
    """Bits per character by the length of the context, beside the n-gram model's."""
    figure = Figure(figsize=(5.6, 3.8), layout="constrained")
    axes = figure.subplots()
    groups = figures["context"]
    middles = [float(np.sqrt(group["from"] * group["to"])) for group in groups]
    bits = [group["bits_per_character"] for group in groups]
    axes.plot(middles, bits, marker="o", label="model, from a zero state")
    carried, baseline = figures["bits_per_character"], figures["ngram"]
    axes.axhline(carried, color="tab:blue", linestyle=":", label="model, state carried")
    axes.axhline(
        baseline["bits_per_character"],
        color="0.4",
        linestyle="--",
        label=f"{baseline['order']}-gram",
    )
    axes.set_xscale("log", base=2)
    axes.set(xlabel="characters read before", ylabel="bits per character")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=_DPI)


def plot_copying(figures: Figures, path: Path) -> None:
    """Longest copied piece of each text, longest first: written texts beside held-out ones."""
    figure = Figure(figsize=(5.6, 3.8), layout="constrained")
    axes = figure.subplots()
    copying = figures["copying"]
    for name, row in copying["sources"].items():
        lengths = row["longest_each"]
        style = "k.--" if name == "held-out text" else ".-"
        axes.plot(range(1, len(lengths) + 1), lengths, style, label=name)
    axes.axhline(copying["threshold"], color="0.6", linewidth=1, linestyle=":")
    axes.set_yscale("log", base=2)
    axes.set(
        xlabel=f"text of {copying['characters']} characters, longest copy first",
        ylabel="longest piece in the training text",
    )
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=_DPI)
