"""Weights of a caption decoder as plain arrays, in PyTorch's layouts and gate order."""

from dataclasses import dataclass

from training.graphs.weights import Floats, RecurrentLayer


@dataclass(frozen=True, kw_only=True)
class AttentionWeights:
    """Of ``training.caption.model.Attention``; A units, D values."""

    places: int
    """Of the grid."""
    values: int
    """D."""
    query: Floats
    """W_q, [A, H]."""
    energy: Floats
    """w_a, [A]."""
    gate: Floats
    """w_g, [H]."""
    gate_bias: Floats
    """b_g, [1]."""


@dataclass(frozen=True, kw_only=True)
class CaptionWeights:
    """Of ``training.caption.model.CaptionModel`` but its reader; V symbols, E wide, H units."""

    words: Floats
    """x, [V, E]: the embeddings after tanh."""
    attention: AttentionWeights | None
    """None: plain."""
    lstm: RecurrentLayer
    """Inputs E, or E + D with attention."""
    output: Floats
    """W_o, [O, E + H] or [O, E + D + H]."""
    output_bias: Floats
    """b_o, [O]."""
    scores: Floats
    """W_s, [V, O]."""
    scores_bias: Floats
    """b_s, [V], with what keeps symbols from being drawn."""
