"""Running a graph on a batch, whatever runs it."""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

Arrays = Mapping[str, npt.NDArray[np.generic]]
"""Tensor name -> array [batch, ...]."""
Predict = Callable[[Arrays], Arrays]
"""Runs one batch through some engine: inputs by name -> outputs by name."""


def take_rows(arrays: Arrays, rows: np.ndarray) -> dict[str, np.ndarray]:
    """The same rows of every array, in the order of ``rows`` (integers, repeats allowed)."""
    return {name: np.ascontiguousarray(array[rows]) for name, array in arrays.items()}


def row_count(arrays: Arrays) -> int:
    """Length of the batch axis. Raises ValueError where the arrays disagree."""
    counts = {len(array) for array in arrays.values()}
    if len(counts) != 1:
        raise ValueError(f"arrays of one batch have different lengths: {sorted(counts)}")
    return counts.pop()
