"""Cost against missed latency targets, and replicas over time, as one picture."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.autoscaling.experiments import Result
from benchmarks.autoscaling.simulation import TARGET_S
from benchmarks.autoscaling.strategies import Strategy

COLOURS = {
    "cpu": "#d55e00",
    "requests": "#cc79a7",
    "queue": "#0072b2",
    "age": "#56b4e9",
    "utilization": "#e69f00",
    "queue and requests": "#f0e442",
    "queue and load": "#882255",
    "queue and busy": "#009e73",
    "shipped": "#000000",
    "fixed": "#999999",
}
"""Okabe and Ito's palette, told apart by the colour-blind too."""
LEAST_PERCENT = 0.01
OVER_TIME = ("cpu", "requests", "queue", "utilization", "queue and load", "shipped")


def draw(results: Sequence[Result], file: Path) -> None:
    """Write a PNG: one column for each result, cost above, replicas over time below."""
    figure = Figure(figsize=(6.5 * len(results) + 2.5, 9))
    axes = figure.subplots(2, len(results), squeeze=False)
    for column, result in enumerate(results):
        _draw_cost(axes[0][column], result)
        _draw_time(axes[1][column], result)
    axes[0][0].legend(fontsize=8, ncols=2)
    axes[1][-1].legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5))
    figure.tight_layout()
    figure.savefig(file, dpi=110)


def _draw_cost(axes: Axes, result: Result) -> None:
    for family, colour in COLOURS.items():
        chosen = [one for one in result.outcomes if one.strategy.family == family]
        cost = [result.cost(one) for one in chosen]
        missed = [max(LEAST_PERCENT, 100 * one.missed(TARGET_S)) for one in chosen]
        marker = "*" if family == "shipped" else "o"
        size = 15 if family == "shipped" else 5
        line = (
            "none"
            if family in ("queue and busy", "queue and requests", "shipped", "fixed")
            else "-"
        )
        axes.plot(cost, missed, line, marker=marker, ms=size, color=colour, label=family, lw=1)
        for one, x, y in zip(chosen, cost, missed, strict=True):
            axes.annotate(_targets(one.strategy), (x, y), fontsize=6, alpha=0.7)
    axes.set_yscale("log")
    axes.set_ylim(LEAST_PERCENT / 1.5, 150)
    axes.set_xlim(left=0.9)
    axes.set_xlabel("replica-seconds, times the ideal")
    axes.set_ylabel(f"requests later than {TARGET_S} s or refused, %")
    axes.set_title(result.experiment.name)
    axes.grid(alpha=0.3)


def _targets(strategy: Strategy) -> str:
    """The first two targets of a strategy, short."""
    return "/".join(f"{target:g}" for _, target in strategy.targets[:2])


def _draw_time(axes: Axes, result: Result) -> None:
    minutes = np.arange(len(result.ideal)) / 60
    axes.plot(minutes, result.ideal, color="#999999", lw=3, label="ideal")
    for family in OVER_TIME:
        chosen = [one for one in result.outcomes if one.strategy.family == family]
        outcome = chosen[len(chosen) // 2]
        # Requests a second differ between the columns, which share a legend.
        label = family if family == "requests" else f"{family} {outcome.strategy.label}"
        axes.plot(minutes, outcome.replicas, color=COLOURS[family], lw=1.2, label=label)
    axes.set_xlabel("minutes")
    axes.set_ylabel("replicas")
    axes.grid(alpha=0.3)
