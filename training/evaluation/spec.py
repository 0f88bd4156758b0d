"""What a family of classifiers hands to the evaluation, which knows no family."""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

Split = Literal["validation", "test"]
"""Held-out data: validation chose the model, test has had no say."""


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """A split and what the model made of it, row by row."""

    images: npt.NDArray[np.uint8]
    """[N, height, width], as stored."""
    targets: npt.NDArray[np.int64]
    """True classes [N]."""
    log_probabilities: npt.NDArray[np.float64]
    """[N, classes], nats."""


class Evaluable(Protocol):
    """What the evaluation asks of a trained run of any family of picture classifiers."""

    def labels(self) -> tuple[str, ...]:
        """Class names by index."""
        ...

    def data_checksums(self) -> dict[str, str]:
        """SHA-256 of the data files that were read, by file name."""
        ...

    def predictions(self, split: Split) -> Predictions:
        """Run the model in PyTorch over a whole split."""
        ...
