"""A trained character model's weights as plain arrays, for ``training.text.graphs``."""

from typing import Any, cast

import numpy as np
from torch import Tensor, nn

from training.graphs.weights import Cell, Floats, RecurrentLayer
from training.text.graphs.weights import (
    CausalConvolution,
    ConvolutionalWeights,
    RecurrentWeights,
    ResidualBlock,
    Weights,
)
from training.text.model import CharModel
from training.text.tcn import ResidualBlock as TorchBlock
from training.text.tcn import TemporalConvNet


def weights_of(model: CharModel) -> Weights:
    """Copies of ``model``'s weights; weight normalisation is multiplied out."""
    ends: dict[str, Any] = {
        "embedding": _floats(model.embedding.weight),
        "head": _floats(model.head.weight),
        "head_bias": _floats(model.head.bias),
    }
    if isinstance(model.recurrent, TemporalConvNet):
        return ConvolutionalWeights(**ends, blocks=_blocks(model.recurrent))
    cell = cast(Cell, model.recurrent.mode.split("_")[0].lower())  # RNN_TANH, GRU, LSTM
    layers = tuple(_layer(model.recurrent, index) for index in range(model.recurrent.num_layers))
    return RecurrentWeights(**ends, cell=cell, layers=layers)


def _layer(recurrent: nn.RNNBase, index: int) -> RecurrentLayer:
    def part(name: str) -> Floats:
        return _floats(getattr(recurrent, f"{name}_l{index}"))

    return RecurrentLayer(
        input=part("weight_ih"),
        recurrent=part("weight_hh"),
        input_bias=part("bias_ih"),
        recurrent_bias=part("bias_hh"),
    )


def _blocks(net: TemporalConvNet) -> tuple[ResidualBlock, ...]:
    blocks = (cast(TorchBlock, block) for block in net.blocks)
    return tuple(
        ResidualBlock(
            first=_convolution(block.first.conv),
            second=_convolution(block.second.conv),
            shortcut=None
            if isinstance(block.shortcut, nn.Identity)
            else _convolution(block.shortcut),
        )
        for block in blocks
    )


def _convolution(module: nn.Module) -> CausalConvolution:
    conv = cast(nn.Conv1d, module)
    return CausalConvolution(
        weight=_floats(conv.weight), bias=_floats(conv.bias), dilation=conv.dilation[0]
    )


def _floats(tensor: Tensor | None) -> Floats:
    if tensor is None:
        raise ValueError("the layer has no bias, which every layer here has")
    return np.array(tensor.detach().numpy(), np.float32)
