"""What the two graphs must give, from any function that reads one symbol."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from quartet.generation import ATTENTION, LENGTH, LOG_PROBABILITIES, TOKEN, TOKENS, UNIFORM
from training.export.predict import Arrays, Predict
from training.graphs.reference import Ids, allow, draw
from training.graphs.rules import ALL_DRAWN, SymbolRules
from training.graphs.weights import Floats

Tensors = dict[str, npt.NDArray[Any]]
COUNTS = "counts"
"""Name of the state that the penalties need."""


class StepResult(NamedTuple):
    """What reading one symbol gives."""

    scores: Floats
    """[batch, symbols]."""
    states: dict[str, Floats]
    """By input name, those alone that a symbol changes."""
    attention: Floats | None = None
    """[batch, places]; None where there is none."""


Step = Callable[[Ids, Mapping[str, Floats]], StepResult]
"""Reads one symbol a row [batch], given the states and constants by input name."""


def graph_step(prefill: Predict) -> Step:
    """A prefill graph, one symbol at a time; its scores are log-probabilities."""

    def step(tokens: Ids, rows: Mapping[str, Floats]) -> StepResult:
        ones = np.ones(len(tokens), np.int64)
        outputs = prefill({TOKENS: tokens[:, None], LENGTH: ones, **rows})
        attention = outputs.get(ATTENTION)
        return StepResult(
            np.asarray(outputs[LOG_PROBABILITIES], np.float32)[:, 0],
            next_states(outputs),
            None if attention is None else np.asarray(attention, np.float32)[:, 0],
        )

    return step


def next_states(outputs: Arrays) -> dict[str, Floats]:
    """A graph's states as the inputs of the next run."""
    return {
        name.removeprefix("next_"): np.asarray(values, np.float32)
        for name, values in outputs.items()
        if name.startswith("next_")
    }


class SteppedGraphs:
    """``prefill`` and ``decode`` have the signature of ``Predict``.

    ``top_tokens`` and ``top_log_probabilities`` are left out: near a tie their order is anybody's.

    Args:
        step: the model.
        names: its states and constants.
        rules: which symbols may be drawn.
    """

    def __init__(self, step: Step, names: Sequence[str], rules: SymbolRules = ALL_DRAWN) -> None:
        self._step, self._names, self._rules = step, tuple(names), rules

    def decode(self, inputs: Arrays) -> Arrays:
        """See ``quartet.generation``."""
        rows = self._rows(inputs)
        token = np.asarray(inputs[TOKEN], np.int64)
        uniform = np.asarray(inputs[UNIFORM], np.float32)
        tokens, logs = np.zeros(uniform.shape, np.int64), np.zeros(uniform.shape, np.float32)
        looks: list[Floats | None] = []
        states: dict[str, Floats] = {}
        for place in range(uniform.shape[1]):
            scores, states, attention = self._step(token, rows)
            rows.update(states)
            allowed = allow(scores, self._rules, inputs, place)
            token = draw(allowed, states[COUNTS], inputs, uniform[:, place])
            tokens[:, place] = token
            logs[:, place] = np.take_along_axis(log_softmax(scores), token[:, None], 1)[:, 0]
            looks.append(attention)
        return {
            TOKENS: tokens,
            LOG_PROBABILITIES: logs,
            **_attention(looks),
            **{f"next_{name}": values for name, values in states.items()},
        }

    def prefill(self, inputs: Arrays) -> Arrays:
        """See ``quartet.generation``. Past a row's length it reads symbol 0, as the graph does."""
        rows = self._rows(inputs)
        length = np.asarray(inputs[LENGTH], np.int64)
        tokens = np.asarray(inputs[TOKENS], np.int64)
        tokens = np.where(np.arange(tokens.shape[1]) < length[:, None], tokens, 0)
        ends: dict[str, Floats] = {}
        logs, looks = [], []
        for place in range(tokens.shape[1]):
            scores, states, attention = self._step(tokens[:, place], rows)
            for name, values in states.items():
                reads = (place < length).reshape(-1, *[1] * (values.ndim - 1))
                ends[name] = np.where(reads, values, ends.get(name, rows[name]))
            rows.update(states)
            logs.append(log_softmax(scores))
            looks.append(attention)
        return {
            LOG_PROBABILITIES: np.stack(logs, axis=1),
            **_attention(looks),
            **{f"next_{name}": values for name, values in ends.items()},
        }

    def _rows(self, inputs: Arrays) -> dict[str, Floats]:
        return {name: np.asarray(inputs[name], np.float32) for name in self._names}


def log_softmax(scores: Floats) -> Floats:
    """Over the last axis, summed in float64."""
    shifted = scores.astype(np.float64) - scores.max(axis=-1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return np.asarray(logs, np.float32)


def _attention(looks: list[Floats | None]) -> dict[str, Floats]:
    found = [look for look in looks if look is not None]
    return {ATTENTION: np.stack(found, axis=1)} if found else {}
