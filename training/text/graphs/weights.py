"""Weights of a character model as plain arrays, in PyTorch's layouts and gate orders."""

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


@dataclass(frozen=True, kw_only=True)
class CausalConvolution:
    """y_t = sum_j W_j x_(t - (taps - 1 - j) dilation) + b."""

    weight: Floats
    """[outputs, inputs, taps]."""
    bias: Floats
    """[outputs]."""
    dilation: int = 1

    @property
    def kept(self) -> int:
        """Inputs before the present one that it sees."""
        return int((self.weight.shape[2] - 1) * self.dilation)


@dataclass(frozen=True, kw_only=True)
class ResidualBlock:
    """relu(shortcut(x) + relu(second(relu(first(x)))))."""

    first: CausalConvolution
    second: CausalConvolution
    shortcut: CausalConvolution | None = None
    """Of one tap; None is the identity."""


@dataclass(frozen=True, kw_only=True)
class _Ends:
    """What every model has below and above its layers."""

    embedding: Floats
    """[symbols, inputs]."""
    head: Floats
    """[symbols, width]."""
    head_bias: Floats
    """[symbols]."""

    @property
    def symbols(self) -> int:
        """Length of the vocabulary."""
        return int(self.head.shape[0])


@dataclass(frozen=True, kw_only=True)
class RecurrentWeights(_Ends):
    """Embedding, recurrent layers of one cell, linear head."""

    cell: Cell
    layers: tuple[RecurrentLayer, ...]
    """The lowest first; all of one width."""


@dataclass(frozen=True, kw_only=True)
class ConvolutionalWeights(_Ends):
    """Embedding, residual blocks of dilated causal convolutions, linear head."""

    blocks: tuple[ResidualBlock, ...]
    """The lowest first."""


Weights = RecurrentWeights | ConvolutionalWeights
