"""Inputs of golden files: drawn, never cut from a text, and the same symbols on every processor.

A symbol drawn from ``uniform`` near the edge of its share could change with the last bit of a sum,
so every number here lies in the middle of its symbol's share, and of that of the same symbol after
all scores were disturbed by far more than arithmetic can differ.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from quartet.generation import (
    ALTERNATIVES,
    FREQUENCY_PENALTY,
    LENGTH,
    LOG_PROBABILITIES,
    PRESENCE_PENALTY,
    TEMPERATURE,
    TOKEN,
    TOKENS,
    TOP_K,
    TOP_P,
    UNIFORM,
)
from training.export.errors import ExportError
from training.export.predict import Arrays, Predict
from training.text.graphs.reference import Controls, drawing_weights, neutral_controls
from training.text.graphs.weights import Floats

ROWS, TIME, STEPS = 8, 12, 16
DISTURBANCE = 0.02
"""Noise on the scores, nats, under which every symbol must stay."""
_SEEDS = range(64)
_TRIES = 64
_COPIES = 16

Tensors = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class GoldenInputs:
    """Inputs of the two graphs, ``ROWS`` rows."""

    prefill: Tensors
    decode: Tensors
    tokens: npt.NDArray[np.int64]
    """[rows, steps] that the decode graph must draw."""


class _Undecided(Exception):
    """Some row has no symbol that stands the noise, as at a tie of a greedy one."""


def golden_inputs(prefill: Predict, states: Mapping[str, Floats], symbols: int) -> GoldenInputs:
    """Draw inputs, the same in every run.

    Args:
        prefill: runs the prefill graph.
        states: input name -> zeros [ROWS, ...].
        symbols: length of the vocabulary.

    Raises:
        ExportError: the model is so flat that no text stands the noise.
    """
    for seed in _SEEDS:
        try:
            return _draw(prefill, states, symbols, np.random.default_rng(seed))
        except _Undecided:
            continue
    raise ExportError(f"golden: no text keeps its symbols under a noise of {DISTURBANCE} nats")


def _draw(
    prefill: Predict, zeros: Mapping[str, Floats], symbols: int, random: np.random.Generator
) -> GoldenInputs:
    start: Tensors = {
        TOKENS: random.integers(0, symbols, (ROWS, TIME)),
        LENGTH: np.arange(ROWS, dtype=np.int64) * TIME // (ROWS - 1),
        **zeros,
    }
    states = next_states(prefill(start), zeros)
    token = random.integers(0, symbols, ROWS)
    controls = _controls()
    decode: Tensors = {TOKEN: token, **states, **controls}
    decode[ALTERNATIVES] = np.arange(ROWS, dtype=np.int64) % 4
    tokens = np.zeros((ROWS, STEPS), np.int64)
    uniform = np.zeros((ROWS, STEPS), np.float32)
    for step in range(STEPS):
        one: Tensors = {TOKENS: token[:, None], LENGTH: np.ones(ROWS, np.int64), **states}
        outputs = prefill(one)
        states = next_states(outputs, states)
        # Scores are only known up to a constant, so no control here may depend on that.
        scores = np.asarray(outputs[LOG_PROBABILITIES], np.float32)[:, 0]
        tokens[:, step], uniform[:, step] = _robust(scores, states["counts"], controls, random)
        token = tokens[:, step]
    return GoldenInputs(prefill=start, decode={**decode, UNIFORM: uniform}, tokens=tokens)


def next_states(outputs: Arrays, states: Mapping[str, Floats]) -> dict[str, Floats]:
    """A graph's states as the inputs of the next run."""
    return {name: np.asarray(outputs[f"next_{name}"], np.float32) for name in states}


def _controls() -> Tensors:
    controls = neutral_controls(ROWS)
    controls[TEMPERATURE] = np.array([1, 0.8, 0.5, 1, 1, 0, 1, 0.7], np.float32)
    controls[TOP_K][3] = 5
    controls[TOP_P][4] = 0.9
    controls[PRESENCE_PENALTY][6] = 0.5
    controls[FREQUENCY_PENALTY][7] = 0.25
    return controls


def _robust(
    scores: Floats, counts: Floats, controls: Controls, random: np.random.Generator
) -> tuple[npt.NDArray[np.int64], Floats]:
    """For each row a symbol and the number in the middle of its share."""
    tokens = np.zeros(ROWS, np.int64)
    numbers = np.zeros(ROWS, np.float32)
    for row in range(ROWS):
        one = slice(row, row + 1)
        mine = {name: np.repeat(values[one], _COPIES) for name, values in controls.items()}
        noise = random.uniform(-DISTURBANCE, DISTURBANCE, (_COPIES, scores.shape[1]))
        noise[0] = 0.0
        disturbed = (scores[one] + noise).astype(np.float32)
        weights = drawing_weights(disturbed, np.repeat(counts[one], _COPIES, axis=0), mine)
        tokens[row], numbers[row] = _middle(weights, random)
    return tokens, numbers


def _middle(weights: Floats, random: np.random.Generator) -> tuple[int, float]:
    """A number whose symbol is the same under every row of ``weights`` [copies, symbols].

    Symbols are tried at random in proportion to their share, then the likeliest.
    """
    sums = np.cumsum(weights, axis=1) / weights.sum(axis=1, keepdims=True)
    for number in (*random.random(_TRIES), 0.5):
        symbol = int((sums[0] > number).argmax())
        low = float(sums[0, symbol - 1]) if symbol else 0.0
        middle = (low + float(sums[0, symbol])) / 2
        if ((sums > middle).argmax(axis=1) == symbol).all():
            return symbol, middle
    raise _Undecided
