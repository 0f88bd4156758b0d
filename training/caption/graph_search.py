"""Beam search over exported graphs, whatever runs them, as the server does it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from quartet.beam_search import BeamRules, BeamSearcher, Hypothesis
from quartet.generation import (
    ALTERNATIVES,
    MINIMUM,
    TOKEN,
    TOP_LOG_PROBABILITIES,
    TOP_TOKENS,
    UNIFORM,
)
from training.caption.graphs.network import IMAGE
from training.export.predict import Predict, row_count, take_rows
from training.graphs.reference import neutral_controls
from training.graphs.stepping import COUNTS, next_states
from training.vision.drawings import Pixels

BATCH = 32
"""Pictures searched at a time."""

Tensors = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class CaptionGraphs:
    """Something that runs the graphs of a captioner."""

    encoder: Predict
    decode: Predict
    begin: int
    """Symbol that is read first."""

    def search(self, images: Pixels, rules: BeamRules) -> list[Hypothesis]:
        """The best caption of each of ``images`` [N, S, S, 3]."""
        found: list[Hypothesis] = []
        for start in range(0, len(images), BATCH):
            picture = self.encoder({IMAGE: images[start : start + BATCH]})
            found += self._search({k: np.asarray(v) for k, v in picture.items()}, rules)
        return found

    def _search(self, picture: Tensors, rules: BeamRules) -> list[Hypothesis]:
        """All rows of ``picture`` side by side; each has as many rows as live beams."""
        rows = row_count(picture)
        searches = [BeamSearcher(rules) for _ in range(rows)]
        now = {**picture, COUNTS: np.zeros((rows, len(rules.symbols)), np.float32)}
        token = np.full(rows, self.begin, np.int64)
        owners = np.arange(rows)
        while len(owners):
            outputs = self.decode({TOKEN: token, **now, **_step_controls(len(token))})
            now.update(next_states(outputs))
            ids = np.asarray(outputs[TOP_TOKENS], np.int64)[:, 0]
            scores = np.asarray(outputs[TOP_LOG_PROBABILITIES], np.float32)[:, 0]
            parents: list[int] = []
            chosen: list[int] = []
            for owner in dict.fromkeys(owners.tolist()):
                mine = np.flatnonzero(owners == owner)
                beams = searches[owner].choose(ids[mine], scores[mine])
                if beams is not None:
                    parents += mine[list(beams.parents)].tolist()
                    chosen += beams.tokens
            order = np.array(parents, np.int64)
            now, token = take_rows(now, order), np.array(chosen, np.int64)
            owners = owners[order]
        return [search.results()[0] for search in searches]


def _step_controls(rows: int) -> Tensors:
    """One step of ``rows`` rows that asks for candidates; what it draws is nobody's."""
    return {
        **neutral_controls(rows),
        MINIMUM: np.zeros(rows, np.int64),
        ALTERNATIVES: np.ones(rows, np.int64),
        UNIFORM: np.zeros((rows, 1), np.float32),
    }
