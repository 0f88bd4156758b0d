"""Layers in a form whose rows do not depend on the batch that they are in.

A matrix product may sum in another order for another number of rows: ONNX Runtime's for one row
with transposed weights does. So does its sum over a row, by where in memory the row begins. A
convolution of a 1x1 picture computes the same row by row.
"""

from torch import Tensor, nn
from torch.nn import functional


class RowLinear(nn.Module):
    """A fully connected layer as a 1x1 convolution."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        """Of y = x W^T + b, W [outputs, inputs] and b [outputs]."""
        super().__init__()
        self.weight = nn.Parameter(weight.detach()[:, :, None, None].clone(), requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias.detach().clone(), False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, outputs] of [B, inputs]."""
        y: Tensor = functional.conv2d(x[:, :, None, None], self.weight, self.bias)
        return y[:, :, 0, 0]
