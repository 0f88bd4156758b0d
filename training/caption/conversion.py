"""A trained caption decoder's weights as plain arrays, for ``training.caption.graphs``."""

import numpy as np
import torch
from torch import Tensor, nn

from training.caption.graphs.weights import AttentionWeights, CaptionWeights
from training.caption.model import CaptionModel
from training.data.caption_text import BEGIN, END, UNKNOWN
from training.graphs.rules import SymbolRules
from training.graphs.weights import Floats, RecurrentLayer

HIDDEN = (BEGIN, UNKNOWN)
"""Symbols that are no part of a caption."""


def weights_of(model: CaptionModel, places: int) -> CaptionWeights:
    """Copies of ``model``'s weights; ``places`` is the number of cells of the encoder's grid."""
    decoder = model.decoder
    return CaptionWeights(
        words=_floats(torch.tanh(decoder.embedding.weight)),
        attention=_attention(model, places),
        lstm=_lstm(decoder.cell),
        output=_floats(decoder.output.weight),
        output_bias=_floats(decoder.output.bias),
        scores=_floats(decoder.scores.weight),
        scores_bias=_floats(decoder.scores.bias + model.offset),
    )


def rules_of(symbols: tuple[str, ...]) -> SymbolRules:
    """Which symbols may be drawn."""
    return SymbolRules(
        hidden=tuple(symbols.index(symbol) for symbol in HIDDEN), stop=(symbols.index(END),)
    )


def _attention(model: CaptionModel, places: int) -> AttentionWeights | None:
    attention, values = model.decoder.attention, model.reader.values
    if attention is None or values is None:
        return None
    return AttentionWeights(
        places=places,
        values=values.out_features,
        query=_floats(attention.query.weight),
        energy=_floats(attention.energy.weight)[0],
        gate=_floats(attention.gate.weight)[0],
        gate_bias=_floats(attention.gate.bias),
    )


def _lstm(cell: nn.LSTMCell) -> RecurrentLayer:
    return RecurrentLayer(
        input=_floats(cell.weight_ih),
        recurrent=_floats(cell.weight_hh),
        input_bias=_floats(cell.bias_ih),
        recurrent_bias=_floats(cell.bias_hh),
    )


def _floats(tensor: Tensor) -> Floats:
    return np.array(tensor.detach().numpy(), np.float32)
