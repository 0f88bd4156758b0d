"""What a family hands to the evaluation, which knows no family."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

Split = Literal["validation", "test"]
"""Held-out data: validation chose the model, test has had no say."""

Figures = dict[str, Any]
"""What was measured on one split, as it stands in evaluation.json."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What a model made of one split."""

    figures: Figures
    """Fit for JSON."""
    plots: Mapping[str, Callable[[Path], None]] = field(default_factory=dict)
    """Kind -> writes one PNG to a path; the runner names it ``<kind>-<split>.png``."""
    records: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Kind -> what was measured row by row, fit for JSON but too long for the figures, which are
    published with the model; the runner names it ``<kind>-<split>.json``."""


class Evaluable(Protocol):
    """What the evaluation asks of a trained run of any family."""

    def data_checksums(self) -> dict[str, str]:
        """SHA-256 of the data files that were read, by file name."""
        ...

    def evaluate(self, split: Split) -> Evaluation:
        """Run the model in PyTorch over a whole split."""
        ...


class EvaluationModule(Protocol):
    """What a family's module ``evaluation`` holds."""

    def open_run(self, run_dir: Path, data_dir: Path) -> Evaluable:
        """Load the weights of ``run_dir``; ``data_dir`` is read when a split is asked for.

        Raises ConfigError for no run of the family, CheckpointError for missing or damaged
        weights.
        """
        ...

    def describe(self, figures: Figures) -> str:
        """The figures as text for a terminal, from what is stored: neither weights nor data."""
        ...
