"""Weights that families have in common, as plain arrays in PyTorch's layouts and gate orders."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Cell = Literal["rnn", "gru", "lstm"]
GATES: dict[Cell, int] = {"rnn": 1, "gru": 3, "lstm": 4}
"""Blocks of rows in a layer's matrices: gru r, z, n; lstm i, f, g, o."""


@dataclass(frozen=True, kw_only=True)
class RecurrentLayer:
    """One layer of ``torch.nn.RNN`` (tanh), ``GRU`` or ``LSTM``."""

    input: Floats
    """[gates * width, inputs], ``weight_ih``."""
    recurrent: Floats
    """[gates * width, width], ``weight_hh``."""
    input_bias: Floats
    """[gates * width], ``bias_ih``."""
    recurrent_bias: Floats
    """[gates * width], ``bias_hh``."""

    @property
    def width(self) -> int:
        """Units."""
        return int(self.recurrent.shape[1])
