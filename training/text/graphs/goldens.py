"""Inputs of golden files: drawn, never cut from a text, and the same symbols on every processor.

A symbol drawn from ``uniform`` near the edge of its share could change with the last bit of a sum,
so every number here lies in the middle of its symbol's share, and of that of the same symbol after
all scores were disturbed by far more than arithmetic can differ.
"""

from collections.abc import Callable, Mapping
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
    REPETITION_PENALTY,
    TEMPERATURE,
    TOKEN,
    TOKENS,
    TOP_K,
    TOP_P,
    UNIFORM,
)
from training.export.errors import ExportError
from training.export.predict import Arrays, Predict
from training.text.graphs.reference import Controls, Ids, drawing_weights, neutral_controls
from training.text.graphs.weights import Floats

ROWS, TIME, STEPS = 8, 12, 16
DISTURBANCE = 0.02
"""Noise on the scores, nats, under which every symbol must stay."""
_SEEDS = range(64)
_TRIES = 64
_COPIES = 16

Tensors = dict[str, npt.NDArray[Any]]
Step = Callable[[Ids, Mapping[str, Floats]], tuple[Floats, dict[str, Floats]]]
"""Reads one symbol a row [batch]: scores [batch, symbols], the states after it by input name."""


@dataclass(frozen=True, kw_only=True)
class GeneratorInputs:
    """Inputs of the two graphs, the same rows in both."""

    prefill: Tensors
    """``TIME`` symbols a row, lengths from 0 to that, from zero states."""
    decode: Tensors
    """``STEPS`` steps a row, from the states that ``prefill`` leaves."""
    tokens: Ids
    """[rows, steps] that the decode graph must draw."""


class _Undecided(Exception):
    """Some row has no symbol that stands the noise, as at a tie of a greedy one."""


def draw_inputs(
    step: Step, zeros: Mapping[str, Floats], symbols: int, *, repetition: bool = False
) -> GeneratorInputs:
    """Draw inputs, the same in every run.

    Args:
        step: the model.
        zeros: input name -> zeros [rows, ...]; says how many rows are wanted.
        symbols: length of the vocabulary.
        repetition: also give some rows a repetition penalty, which wants true scores: those known
            up to a constant, as log-probabilities are, do not do.

    Raises:
        ExportError: the model is so flat that no text stands the noise.
    """
    for seed in _SEEDS:
        try:
            return _Drawer(step, zeros, symbols, np.random.default_rng(seed)).draw(repetition)
        except _Undecided:
            continue
    raise ExportError(f"golden: no text keeps its symbols under a noise of {DISTURBANCE} nats")


def graph_step(prefill: Predict) -> Step:
    """A prefill graph, one symbol at a time; its scores are log-probabilities."""

    def step(tokens: Ids, states: Mapping[str, Floats]) -> tuple[Floats, dict[str, Floats]]:
        ones = np.ones(len(tokens), np.int64)
        outputs = prefill({TOKENS: tokens[:, None], LENGTH: ones, **states})
        return np.asarray(outputs[LOG_PROBABILITIES], np.float32)[:, 0], next_states(
            outputs, states
        )

    return step


class _Drawer:
    def __init__(
        self, step: Step, zeros: Mapping[str, Floats], symbols: int, random: np.random.Generator
    ) -> None:
        self._step, self._zeros = step, dict(zeros)
        self._symbols, self._random = symbols, random
        self._rows = len(next(iter(zeros.values())))

    def draw(self, repetition: bool) -> GeneratorInputs:
        rows = self._rows
        prompt = self._random.integers(0, self._symbols, (rows, TIME))
        length = np.arange(rows, dtype=np.int64) * TIME // max(1, rows - 1)
        states = self._read(prompt, length)
        token = self._random.integers(0, self._symbols, rows)
        controls = _controls(rows, repetition)
        decode: Tensors = {TOKEN: token, **states, **controls}
        decode[ALTERNATIVES] = np.arange(rows, dtype=np.int64) % 4
        tokens = np.zeros((rows, STEPS), np.int64)
        uniform = np.zeros((rows, STEPS), np.float32)
        for place in range(STEPS):
            scores, states = self._step(token, states)
            for row in range(rows):
                one = slice(row, row + 1)
                mine = {name: values[one] for name, values in controls.items()}
                found = self._robust(scores[one], states["counts"][one], mine)
                tokens[row, place], uniform[row, place] = found
            token = tokens[:, place]
        return GeneratorInputs(
            prefill={TOKENS: prompt, LENGTH: length, **self._zeros},
            decode={**decode, UNIFORM: uniform},
            tokens=tokens,
        )

    def _read(self, prompt: Ids, length: Ids) -> dict[str, Floats]:
        """The states of each row after its ``length`` symbols."""
        states = dict(self._zeros)
        for place in range(TIME):
            after = self._step(prompt[:, place], states)[1]
            for name, values in after.items():
                reads = (length > place).reshape(-1, *[1] * (values.ndim - 1))
                states[name] = np.where(reads, values, states[name])
        return states

    def _robust(self, scores: Floats, counts: Floats, controls: Controls) -> tuple[int, float]:
        """A symbol for one row, and the number in the middle of its share."""
        copies = {name: np.repeat(values, _COPIES) for name, values in controls.items()}
        noise = self._random.uniform(-DISTURBANCE, DISTURBANCE, (_COPIES, self._symbols))
        noise[0] = 0.0
        disturbed = (scores + noise).astype(np.float32)
        weights = drawing_weights(disturbed, np.repeat(counts, _COPIES, axis=0), copies)
        return _middle(weights, self._random)


def next_states(outputs: Arrays, states: Mapping[str, Floats]) -> dict[str, Floats]:
    """A graph's states as the inputs of the next run."""
    return {name: np.asarray(outputs[f"next_{name}"], np.float32) for name in states}


def _controls(rows: int, repetition: bool) -> Tensors:
    """Each kind of control in some rows, and every eighth row without any."""
    kind = np.arange(rows) % 8
    controls = neutral_controls(rows)
    controls[TEMPERATURE] = np.array([1, 0.8, 0.5, 1, 1, 0, 1, 0.7], np.float32)[kind]
    controls[TOP_K][kind == 3] = 5
    controls[TOP_P][kind == 4] = 0.9
    controls[PRESENCE_PENALTY][kind == 6] = 0.5
    controls[FREQUENCY_PENALTY][kind == 7] = 0.25
    if repetition:
        controls[REPETITION_PENALTY][kind == 2] = 1.2
    return controls


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
