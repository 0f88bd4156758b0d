"""Batch normalisation that has seen something."""

import torch
from torch import nn


def settle_normalisation(network: nn.Module, seed: int = 3) -> None:
    """Give every batch normalisation of ``network`` statistics and gains unlike the first ones."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                assert layer.running_mean is not None
                assert layer.running_var is not None
                layer.running_mean.uniform_(-0.1, 0.1, generator=random)
                layer.running_var.uniform_(0.5, 2.0, generator=random)
                layer.weight.uniform_(1.0, 3.0, generator=random)
                layer.bias.uniform_(-0.5, 0.5, generator=random)
