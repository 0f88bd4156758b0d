"""Weights of a character model as plain arrays, in PyTorch's layouts and gate orders."""

from dataclasses import dataclass

from training.graphs.weights import Cell, Floats, RecurrentLayer


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
