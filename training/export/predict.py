"""Running a graph, whatever runs it."""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

Arrays = Mapping[str, npt.NDArray[np.generic]]
"""Tensor name -> array [batch, ...]."""
Predict = Callable[[Arrays], Arrays]
"""Runs one batch through some engine: inputs by name -> outputs by name."""
