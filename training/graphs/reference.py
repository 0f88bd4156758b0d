"""The definition of drawing (``quartet.generation``) in NumPy, for tests and golden files."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from quartet.generation import (
    FREQUENCY_PENALTY,
    MINIMUM,
    PRESENCE_PENALTY,
    REPETITION_PENALTY,
    TEMPERATURE,
    TOP_K,
    TOP_P,
)
from training.graphs.rules import SymbolRules
from training.graphs.sampling import MIN_TEMPERATURE
from training.graphs.weights import Floats

Ids = npt.NDArray[np.int64]
Controls = Mapping[str, npt.NDArray[Any]]
"""Name of a control -> its value for each row [batch]."""

NEUTRAL: Mapping[str, tuple[float, npt.DTypeLike]] = {
    TEMPERATURE: (1.0, np.float32),
    TOP_K: (0, np.int64),
    TOP_P: (1.0, np.float32),
    REPETITION_PENALTY: (1.0, np.float32),
    PRESENCE_PENALTY: (0.0, np.float32),
    FREQUENCY_PENALTY: (0.0, np.float32),
}
"""Values that leave the model's own distribution as it is."""


def neutral_controls(rows: int) -> dict[str, npt.NDArray[Any]]:
    """Controls under which ``rows`` rows draw from the model's own distribution."""
    return {name: np.full(rows, value, dtype) for name, (value, dtype) in NEUTRAL.items()}


def allow(scores: Floats, rules: SymbolRules, controls: Controls, place: int) -> Floats:
    """``scores`` [batch, symbols] with -inf where a symbol may not be drawn in step ``place``."""
    later, first = rules.addends(scores.shape[1])
    if not rules.stop:
        return scores + later
    return scores + np.where(place < controls[MINIMUM][:, None], first, later)


def drawing_weights(scores: Floats, counts: Floats, controls: Controls) -> Floats:
    """What each row's symbol is drawn from, in proportion: [batch, symbols], float32.

    Args:
        scores: z [batch, symbols].
        counts: how often each symbol was read [batch, symbols].
        controls: of each row.
    """
    c = {name: controls[name][:, None] for name in NEUTRAL}
    penalised = np.where(scores > 0, scores / c[REPETITION_PENALTY], scores * c[REPETITION_PENALTY])
    z = np.where(counts > 0, penalised, scores)
    z = z - ((counts > 0) * c[PRESENCE_PENALTY] + counts * c[FREQUENCY_PENALTY])
    greedy = c[TEMPERATURE] == 0
    scaled = z / np.where(greedy, np.float32(1), np.maximum(c[TEMPERATURE], MIN_TEMPERATURE))
    p = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    p = (p / p.sum(axis=1, keepdims=True)).astype(np.float32)
    ranked = -np.sort(-p, axis=1)
    larger = np.cumsum(ranked, axis=1, dtype=np.float32) - ranked
    within = np.where(c[TOP_P] < 1, larger < c[TOP_P], True).sum(axis=1, keepdims=True)
    kth = np.where(c[TOP_K] > 0, c[TOP_K], p.shape[1])
    threshold = np.take_along_axis(ranked, np.minimum(within, kth) - 1, axis=1)
    kept = np.where(p >= threshold, p, np.float32(0))
    best = np.arange(p.shape[1]) == z.argmax(axis=1)[:, None]
    return np.where(greedy, best, kept).astype(np.float32)


def draw(scores: Floats, counts: Floats, controls: Controls, uniform: Floats) -> Ids:
    """The next symbol of each row [batch]; ``uniform`` is [batch]."""
    sums = np.cumsum(drawing_weights(scores, counts, controls), axis=1, dtype=np.float32)
    above = sums > (uniform * sums[:, -1])[:, None]
    return np.asarray(above.argmax(axis=1), np.int64)
