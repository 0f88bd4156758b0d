"""The figures of a generator in words. ``floor`` is what real pictures reach against others."""

from collections.abc import Mapping
from typing import Any

from training.evaluation.spec import Figures

_AGAINST_FLOOR = {
    "frechet_distance": "Frechet distance",
    "kernel_distance": "kernel distance (KID)",
    "precision": "precision",
    "recall": "recall",
}


def describe(figures: Figures) -> str:
    """All figures, as text for a terminal."""
    critic = figures["critic"]
    lines = [
        f"discriminator: probability of real {critic['probability_real']:.3f} for "
        f"{figures['count']} held-out pictures, {critic['probability_fake']:.3f} for as many "
        f"samples; area under the curve {critic['auc']:.3f} (0.5: it cannot tell them apart)"
    ]
    if "scorer" in figures:
        lines += _scored(figures)
    if "agreement" in figures:
        lines += agreement_lines(figures["agreement"])
    return "\n".join(lines)


def _scored(figures: Figures) -> list[str]:
    scorer, paths = figures["scorer"], figures["path_smoothness"]
    lines = [f"by {scorer['model']}, SHA-256 {scorer['sha256']}:"]
    for name, title in _AGAINST_FLOOR.items():
        row = figures[name]
        lines.append(f"  {title}: {row['samples']:.4g} (real against real {row['floor']:.4g})")
    if "inception_score" in figures:
        score, shares = figures["inception_score"], figures["class_shares"]["samples"]
        lines += [
            f"  inception-style score: {score['samples']:.3f}, deviation over tenths "
            f"{score['deviation_of_tenths']:.3f} (real {score['real']:.3f})",
            f"  shares of the classes: {' '.join(f'{share:.1%}' for share in shares)}",
        ]
    lines.append(
        f"  largest over mean step of a path: {paths['median']:.2f}, "
        f"worst tenth {paths['worst_tenth']:.2f}"
    )
    return lines


def agreement_lines(agreement: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A line for each attribute that is asked for."""
    lines = ["shows what was asked for:"]
    for name, row in agreement["samples"].items():
        low, high = row["interval_95"]
        line = f"  {name}: {row['share']:.2%} of {row['count']} ({low:.2%} to {high:.2%})"
        if name in agreement["real"]:
            line += f"; the scorer on real pictures {agreement['real'][name]['share']:.2%}"
        lines.append(line)
    return lines
