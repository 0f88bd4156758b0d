"""Inputs of golden files: drawn, never cut from a text, and the same symbols on every processor.

A symbol drawn from ``uniform`` near the edge of its share could change with the last bit of a sum,
so every number here lies in the middle of its symbol's share, and of that of the same symbol after
all scores were disturbed by far more than arithmetic can differ.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quartet.generation import (
    ALTERNATIVES,
    FREQUENCY_PENALTY,
    LENGTH,
    MINIMUM,
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
from training.graphs.reference import Ids, allow, drawing_weights, neutral_controls
from training.graphs.rules import ALL_DRAWN, SymbolRules
from training.graphs.stepping import COUNTS, Step, Tensors
from training.graphs.weights import Floats

ROWS, TIME, STEPS = 8, 12, 16
DISTURBANCE = 0.02
"""Noise on the scores, nats, under which every symbol must stay."""
_SEEDS = range(1, 32)
_PATIENCE = 8
"""Draws after which a row that is still missing gives up its controls."""
_TRIES = 16
_COPIES = 16


@dataclass(frozen=True, kw_only=True)
class GeneratorInputs:
    """Inputs of the two graphs, the same rows in both."""

    prefill: Tensors
    """``TIME`` symbols a row, lengths from 0 to that, from the states that texts begin with."""
    decode: Tensors
    """``STEPS`` steps a row, from the states that ``prefill`` leaves."""
    tokens: Ids
    """[rows, steps] that the decode graph must draw."""


def draw_inputs(
    step: Step,
    start: Mapping[str, Floats],
    symbols: int,
    rules: SymbolRules = ALL_DRAWN,
    *,
    repetition: bool = False,
) -> GeneratorInputs:
    """Draw inputs, the same in every run.

    Args:
        step: the model.
        start: input name -> states that texts begin with and constants, [rows, ...] each; says how
            many rows are wanted.
        symbols: length of the vocabulary.
        rules: which of them may be drawn.
        repetition: also give some rows a repetition penalty, which wants true scores: those known
            up to a constant, as log-probabilities are, do not do.

    Raises:
        ExportError: scores are not finite, or no text stands the noise.
    """
    rows = _row_count(start)
    drawer = _Drawer(step, start, _Choice(symbols, rules, _controls(rows, rules, repetition)))
    every = np.ones(rows, np.bool_)
    drawn, missing = drawer.draw(every, np.random.default_rng(0))
    for seed in _SEEDS:
        if not missing.any():
            return drawn
        if seed == _PATIENCE:  # a greedy text may run into a loop that holds a tie
            drawer.free(missing)
        # A row has the same bits beside any others, so lost ones can be filled from another draw.
        other, lost = drawer.draw(missing, np.random.default_rng(seed))
        rows_found = missing & ~lost
        _take_over(drawn.prefill, other.prefill, rows_found)
        _take_over(drawn.decode, other.decode, rows_found)
        drawn.tokens[rows_found] = other.tokens[rows_found]
        missing &= lost
    raise ExportError(f"golden: no text keeps its symbols under a noise of {DISTURBANCE} nats")


@dataclass(frozen=True)
class _Choice:
    """How symbols are drawn."""

    symbols: int
    rules: SymbolRules
    controls: Tensors


class _Drawer:
    """Draws texts of rows that stand the noise, as far as they can be found."""

    def __init__(self, step: Step, start: Mapping[str, Floats], choice: _Choice) -> None:
        self._step, self._start, self._choice = step, dict(start), choice

    def draw(
        self, wanted: npt.NDArray[np.bool_], random: np.random.Generator
    ) -> tuple[GeneratorInputs, npt.NDArray[np.bool_]]:
        """Inputs, and which rows are lost: at some step no symbol of theirs stood the noise.

        Rows that are not ``wanted`` are lost from the start.
        """
        rows, symbols = _row_count(self._start), self._choice.symbols
        prompt = random.integers(0, symbols, (rows, TIME))
        length = np.arange(rows, dtype=np.int64) * TIME // max(1, rows - 1)
        states = self._read(prompt, length)
        token = random.integers(0, symbols, rows)
        controls = {name: values.copy() for name, values in self._choice.controls.items()}
        decode: Tensors = {TOKEN: token, **states, **controls}
        decode[ALTERNATIVES] = np.arange(rows, dtype=np.int64) % 4
        tokens = np.zeros((rows, STEPS), np.int64)
        uniform = np.zeros((rows, STEPS), np.float32)
        lost = ~wanted
        for place in range(STEPS):
            scores, after, _ = self._step(token, states)
            states = {**states, **after}
            if not np.isfinite(scores).all():
                raise ExportError("golden: the model has scores that are not finite")
            for row in np.flatnonzero(~lost):
                found = self._robust(scores, states[COUNTS], (int(row), place), random)
                if found is None:
                    lost[row] = True
                else:
                    tokens[row, place], uniform[row, place] = found
            token = tokens[:, place]
        return GeneratorInputs(
            prefill={
                TOKENS: prompt,
                LENGTH: length,
                **{k: v.copy() for k, v in self._start.items()},
            },
            decode={**decode, UNIFORM: uniform},
            tokens=tokens,
        ), lost

    def free(self, rows: npt.NDArray[np.bool_]) -> None:
        """Let some rows draw from the model's own distribution."""
        controls = self._choice.controls
        _take_over(controls, {**controls, **neutral_controls(len(rows))}, rows)

    def _read(self, prompt: Ids, length: Ids) -> dict[str, Floats]:
        """The states of each row after its ``length`` symbols."""
        states = dict(self._start)
        for place in range(TIME):
            after = self._step(prompt[:, place], states).states
            for name, values in after.items():
                reads = (length > place).reshape(-1, *[1] * (values.ndim - 1))
                states[name] = np.where(reads, values, states[name])
        return states

    def _robust(
        self,
        scores: Floats,
        counts: Floats,
        where: tuple[int, int],
        random: np.random.Generator,
    ) -> tuple[int, float] | None:
        """A symbol for row and step ``where``, and the number in the middle of its share."""
        row, place = where
        choice = self._choice
        copies = {n: np.repeat(values[row], _COPIES) for n, values in choice.controls.items()}
        noise = random.uniform(-DISTURBANCE, DISTURBANCE, (_COPIES, choice.symbols))
        noise[0] = 0.0
        disturbed = (scores[row] + noise).astype(np.float32)
        if choice.rules:
            disturbed = allow(disturbed, choice.rules, copies, place)
        weights = drawing_weights(disturbed, np.tile(counts[row], (_COPIES, 1)), copies)
        return _middle(weights, random)


def _row_count(states: Mapping[str, Floats]) -> int:
    return len(next(iter(states.values())))


def _take_over(tensors: Tensors, others: Tensors, rows: npt.NDArray[np.bool_]) -> None:
    """Replace some rows of all tensors."""
    for name, values in tensors.items():
        values[rows] = others[name][rows]


def _controls(rows: int, rules: SymbolRules, repetition: bool) -> Tensors:
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
    if rules.stop:
        controls[MINIMUM] = np.array([0, 3, STEPS, 0, 9, 0, 1, 0], np.int64)[kind]
    return controls


def _middle(weights: Floats, random: np.random.Generator) -> tuple[int, float] | None:
    """A number whose symbol is the same under every row of ``weights`` [copies, symbols].

    Symbols are tried at random in proportion to their share. None if none was found.
    """
    sums = np.cumsum(weights, axis=1) / weights.sum(axis=1, keepdims=True)
    for number in (*random.random(_TRIES), 0.5):
        symbol = int((sums[0] > number).argmax())
        low = float(sums[0, symbol - 1]) if symbol else 0.0
        middle = (low + float(sums[0, symbol])) / 2
        if ((sums > middle).argmax(axis=1) == symbol).all():
            return symbol, middle
    return None
