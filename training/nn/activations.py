"""Activation functions by name.

===========  =====================================  ==========================================
name         f(x)                                   source
===========  =====================================  ==========================================
sigmoid      1 / (1 + exp(-x))                      Rumelhart, Hinton, Williams 1986
tanh         (exp(x) - exp(-x))/(exp(x) + exp(-x))  LeCun, Bottou, Orr, Mueller 1998
relu         max(0, x)                              Nair, Hinton 2010
leaky_relu   x if x > 0 else 0.01 x                 Maas, Hannun, Ng 2013
elu          x if x > 0 else exp(x) - 1             Clevert, Unterthiner, Hochreiter 2016
maxout       max_j z_j over k affine pieces         Goodfellow et al. 2013
===========  =====================================  ==========================================
"""

import torch
from torch import Tensor, nn

from training.config import ActivationName

LEAKY_SLOPE = 0.01
"""Slope of leaky_relu left of 0 (Maas et al. 2013)."""


class Maxout(nn.Module):
    """h_i(x) = max_{j in 1..k} z_ij, the largest of k affine pieces (Goodfellow et al. 2013).

    The layer before it computes the pieces z, so it is ``pieces`` times as wide. Input
    [B, k*C, ...], output [B, C, ...]; output channel i is the maximum over input channels i*k
    to i*k + k - 1.
    """

    def __init__(self, pieces: int) -> None:
        super().__init__()
        if pieces < 2:
            raise ValueError(f"maxout needs at least 2 pieces, got {pieces}")
        self.pieces = pieces

    def forward(self, x: Tensor) -> Tensor:
        """Largest piece of each unit. Raises ValueError unless ``pieces`` divides axis 1."""
        if x.shape[1] % self.pieces:
            raise ValueError(f"maxout: {x.shape[1]} channels are no multiple of {self.pieces}")
        return torch.amax(x.reshape(x.shape[0], -1, self.pieces, *x.shape[2:]), dim=2)


def make_activation(name: ActivationName, pieces: int = 2) -> nn.Module:
    """The activation called ``name``; ``pieces`` is k of maxout and unused by the others."""
    match name:
        case "sigmoid":
            return nn.Sigmoid()
        case "tanh":
            return nn.Tanh()
        case "relu":
            return nn.ReLU()
        case "leaky_relu":
            return nn.LeakyReLU(LEAKY_SLOPE)
        case "elu":
            return nn.ELU()
        case "maxout":
            return Maxout(pieces)


def fan_out_factor(name: ActivationName, pieces: int = 2) -> int:
    """How many times wider than its output the layer before the activation must be."""
    return pieces if name == "maxout" else 1
