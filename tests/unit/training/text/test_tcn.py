"""The convolutional network against PyTorch's own padding, and its reach."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from training.text.tcn import CausalConv1d, TemporalConvNet


def zeros(net: TemporalConvNet, batch: int) -> list[Tensor]:
    return [torch.zeros(batch, *shape) for shape in net.context_shapes()]


@pytest.mark.parametrize("weight_norm", [False, True])
def test_causal_convolution_is_one_padded_on_the_left(weight_norm: bool) -> None:
    torch.manual_seed(0)
    layer = CausalConv1d(2, 3, kernel=3, dilation=4, weight_norm=weight_norm)
    assert isinstance(layer.conv, nn.Conv1d)
    x = torch.randn(1, 2, 10)
    y, context = layer(x, torch.zeros(1, 2, 8))
    padded = functional.pad(x, (8, 0))
    expected = functional.conv1d(padded, layer.conv.weight, layer.conv.bias, dilation=4)
    assert torch.allclose(y, expected, atol=1e-6)  # float32 rounding
    assert torch.equal(context, x[:, :, -8:])


def test_network_sees_as_far_back_as_promised_and_no_farther() -> None:
    torch.manual_seed(0)
    net = TemporalConvNet(1, 4, 3, kernel=2, dropout=0.0, weight_norm=False).double()
    x = torch.randn(1, 40, 1, dtype=torch.float64, requires_grad=True)
    y, _ = net(x, zeros(net, 1))
    (gradient,) = torch.autograd.grad(y[0, -1].sum(), x)
    reach = 1 + 2 * (2 - 1) * (2**3 - 1)
    assert gradient[0, -reach] != 0
    assert not gradient[0, :-reach].any()
