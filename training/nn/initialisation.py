"""First values of weights by name.

With n_in and n_out the fan-in and fan-out of a layer:

========  ==================================================  ==============================
name      distribution of a weight                            source
========  ==================================================  ==============================
uniform   U(-bound, bound)
normal    N(0, std^2)                                         std 0.02: Radford et al. 2016
xavier    U(-a, a), a = gain sqrt(6 / (n_in + n_out))         Glorot, Bengio 2010, eq. 16
kaiming   N(0, gain^2 / n_in)                                 He et al. 2015, eq. 10
default   the layer's own: U(-a, a), a = 1 / sqrt(n_in)       LeCun et al. 1998, section 4.6
========  ==================================================  ==============================

The gain belongs to the activation: 1 for sigmoid and linear, 5/3 for tanh, sqrt 2 for relu.
"""

from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from training.config import ActivationName, InitConfig
from training.nn.activations import LEAKY_SLOPE

_GAIN_NAMES: dict[ActivationName, Literal["sigmoid", "tanh", "relu", "leaky_relu", "linear"]] = {
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "relu": "relu",
    "leaky_relu": "leaky_relu",
    "elu": "relu",
    "maxout": "linear",
}
"""PyTorch's name of the gain. elu has relu's slope right of 0 and none of its own; the k pieces of
maxout are affine."""
_LOOKS = 15
"""Spectral norm estimates the largest singular value by a power iteration a look in training mode;
PyTorch makes as many when it is registered."""


def gain(activation: ActivationName) -> float:
    """Factor by which the weights before ``activation`` must grow to keep the signal's variance."""
    return float(nn.init.calculate_gain(_GAIN_NAMES[activation], LEAKY_SLOPE))


def initialise(model: nn.Module, config: InitConfig, activation: ActivationName) -> None:
    """Draw the weights of every linear and convolution layer of ``model`` anew, in place.

    Uses PyTorch's global generator. Biases become 0. ``default`` leaves all as constructed;
    normalisation layers keep gain 1 and shift 0. Of a weight that is normalised itself
    (``spectral_norm``) the one before normalisation is drawn.
    """
    if config.name == "default":
        return
    for layer in model.modules():
        if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d | nn.ConvTranspose2d):
            if is_parametrized(layer, "weight"):
                _draw_normalised(layer, config, activation)
            else:
                _draw(layer.weight, config, activation)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def _draw_normalised(layer: nn.Module, config: InitConfig, activation: ActivationName) -> None:
    """``layer.weight`` is computed from what is learned, and writing to it would be lost."""
    drawn = torch.empty_like(cast(Tensor, layer.weight))
    _draw(drawn, config, activation)
    with torch.no_grad():
        layer.weight = drawn
        for _ in range(_LOOKS):
            _ = layer.weight


def _draw(weight: Tensor, config: InitConfig, activation: ActivationName) -> None:
    match config.name:
        case "uniform":
            nn.init.uniform_(weight, -config.bound, config.bound)
        case "normal":
            nn.init.normal_(weight, std=config.std)
        case "xavier":
            nn.init.xavier_uniform_(weight, gain=gain(activation))
        case "kaiming":
            nn.init.kaiming_normal_(weight, LEAKY_SLOPE, nonlinearity=_GAIN_NAMES[activation])
        case "default":
            raise AssertionError("the layer's own values are not drawn here")
