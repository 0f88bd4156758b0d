"""Temporal convolutional network that can be stepped (Bai, Kolter, Koltun 2018, section 3).

Residual blocks of two causal convolutions; those of block i = 0, 1, ... are dilated by 2^i, so the
last output sees 1 + 2 (kernel - 1) (2^blocks - 1) inputs. A causal convolution pads its input
on the left by (kernel - 1) dilation steps. Here those steps are a state: the last inputs of the
pass before, zeros at the start. So a text may be fed in pieces of any length, one character too.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm as normalise_weight


class CausalConv1d(nn.Module):
    """y_t = sum_j W_j x_(t - (kernel - 1 - j) dilation) + b."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, dilation: int, *, weight_norm: bool
    ) -> None:
        super().__init__()
        self.inputs, self.kept = inputs, (kernel - 1) * dilation
        conv = nn.Conv1d(inputs, outputs, kernel, dilation=dilation)
        self.conv: nn.Module = normalise_weight(conv) if weight_norm else conv

    def forward(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """[B, inputs, T] and the ``kept`` inputs before it, to [B, outputs, T] and the next ones.

        The context is [B, inputs, kept].
        """
        whole = torch.cat((context.to(x.dtype), x), dim=2)
        return self.conv(whole), whole[:, :, x.shape[2] :]


class ResidualBlock(nn.Module):
    """relu(x + F(x)), F twice: causal convolution, relu, dropout (Bai et al. 2018, figure 1b).

    Where the number of channels changes, x goes through a convolution of kernel 1.
    """

    def __init__(
        self, channels: tuple[int, int], kernel: int, dilation: int, dropout: float, norm: bool
    ) -> None:
        super().__init__()
        inputs, outputs = channels
        self.first = CausalConv1d(inputs, outputs, kernel, dilation, weight_norm=norm)
        self.second = CausalConv1d(outputs, outputs, kernel, dilation, weight_norm=norm)
        self.dropout = nn.Dropout1d(dropout)
        self.shortcut: nn.Module = (
            nn.Identity() if inputs == outputs else nn.Conv1d(inputs, outputs, 1)
        )

    def forward(
        self, x: Tensor, contexts: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """[B, inputs, T] to [B, outputs, T]; the contexts are those of the two convolutions."""
        y, first = self.first(x, contexts[0])
        y, second = self.second(self.dropout(functional.relu(y)), contexts[1])
        y = self.dropout(functional.relu(y))
        return functional.relu(self.shortcut(x) + y), (first, second)


class TemporalConvNet(nn.Module):
    """``blocks`` residual blocks, dilated by 1, 2, 4, ...

    Args:
        inputs: length of an input vector.
        width: channels of each block.
        blocks: residual blocks.
        kernel: taps of each convolution.
        dropout: share of the channels that are zeroed, for a whole pass each.
        weight_norm: learn length and direction of each kernel apart (Salimans, Kingma 2016).
    """

    def __init__(
        self,
        inputs: int,
        width: int,
        blocks: int,
        *,
        kernel: int,
        dropout: float,
        weight_norm: bool,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            ResidualBlock(
                (inputs if i == 0 else width, width), kernel, 2**i, dropout, norm=weight_norm
            )
            for i in range(blocks)
        )

    def context_shapes(self) -> list[tuple[int, int]]:
        """(channels, kept steps) of each convolution's context, in order."""
        convolutions = [m for m in self.modules() if isinstance(m, CausalConv1d)]
        return [(conv.inputs, conv.kept) for conv in convolutions]

    def forward(self, x: Tensor, state: Sequence[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """[B, T, inputs] and a context [B, channels, kept] a convolution, to [B, T, width]."""
        y, kept = x.transpose(1, 2), []
        for index, block in enumerate(self.blocks):
            y, contexts = block(y, (state[2 * index], state[2 * index + 1]))
            kept += contexts
        return y.transpose(1, 2), tuple(kept)
