"""Beam search: the likeliest texts that a search of bounded width finds.

After each step all extensions of the live beams are ranked by their log-probability. From the top
down, those that end the text are set aside as complete, the others live on until the search's width
is reached (Sutskever, Vinyals, Le 2014, section 3.2). Complete texts are ranked by the sum of their
log-probabilities over length ** length_penalty; the length counts the symbols of what stopped them.
Of each beam a step looks at as many extensions as the graph offers alternatives.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from heapq import heappush, heapreplace

import numpy as np

from serving.errors import ServingError
from serving.token_scheduler import Beams, Drawn, Floats, Ids


@dataclass(frozen=True, slots=True, kw_only=True)
class BeamRules:
    """One search."""

    width: int
    """Beams that live on at most."""
    n: int
    """Texts wanted."""
    max_tokens: int
    """At which a text is complete, >= 1."""
    length_penalty: float
    symbols: Sequence[str]
    """Text of each symbol, by id."""
    stop: tuple[str, ...] = ()
    """Strings that complete a text."""
    stop_symbols: frozenset[int] = frozenset()
    """Symbols that do."""
    alternatives: bool = False
    """Whether those of each symbol are wanted; to keep them costs far more than the symbols."""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One complete text."""

    drawn: Drawn
    """Its symbols, with the alternatives that each had, if wanted."""
    log_probability: float
    """Sum over its symbols, nats."""
    score: float
    """By which it was ranked."""


@dataclass(frozen=True, slots=True, eq=False)
class _Beam:
    """A text, as its last symbol and the text before."""

    parent: "_Beam | None"
    token: int
    step: "_Step | None"
    """The step that made it, where its alternatives are wanted."""
    row: int
    """Of its parent in that step."""
    total: float
    """Sum of log-probabilities."""
    length: int
    tail: str
    """The end of its text, as much of it as a stop string may begin in."""
    complete: bool


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    tokens: Ids
    scores: Floats


class BeamSearcher:
    """The ``BeamSink`` of one search."""

    def __init__(
        self,
        rules: BeamRules,
        done: Callable[[list[Hypothesis]], None],
        failed: Callable[[ServingError], None],
    ) -> None:
        """Begin a search.

        Args:
            rules: of the search.
            done: takes the ``n`` best texts, or fewer if there are no more, best first.
            failed: takes the error if the search is given up.
        """
        self._rules = rules
        self._done = done
        self._failed = failed
        self._tail = max((len(text) for text in rules.stop), default=1) - 1
        self._live = [_Beam(None, -1, None, 0, 0.0, 0, "", complete=False)]
        self._best: list[tuple[float, int, _Beam]] = []
        """Heap of the ``n`` best complete texts: score, and minus the order of their completion."""
        self._completed = 0

    def choose(self, top_tokens: Ids, top_log_probabilities: Floats) -> Beams | None:
        """See ``BeamSink.choose``."""
        live: list[_Beam] = []
        for beam in self._extensions(top_tokens, top_log_probabilities):
            if beam.complete:
                self._keep_if_good(beam)
            else:
                live.append(beam)
                if len(live) == self._rules.width:
                    break
        self._live = live
        if not live or self._is_decided():
            self._done(self._results())
            return None
        return Beams(tuple(beam.row for beam in live), tuple(beam.token for beam in live))

    def failed(self, error: ServingError) -> None:
        """See ``BeamSink.failed``."""
        self._failed(error)

    def _extensions(self, tokens: Ids, scores: Floats) -> Iterator[_Beam]:
        """Every live beam longer by each of its candidates, likeliest first."""
        step = _Step(tokens, scores) if self._rules.alternatives else None
        totals = np.array([beam.total for beam in self._live])[:, None] + scores
        candidates = tokens.shape[1]
        for place in np.argsort(-totals, axis=None, kind="stable").tolist():
            row, column = divmod(place, candidates)
            token, total = int(tokens[row, column]), float(totals[row, column])
            yield self._extended(self._live[row], token, step, row, total)

    def _extended(
        self, parent: _Beam, token: int, step: _Step | None, row: int, total: float
    ) -> _Beam:
        rules = self._rules
        length = parent.length + 1
        text = parent.tail + rules.symbols[token]
        complete = (
            length == rules.max_tokens
            or token in rules.stop_symbols
            or any(stop in text for stop in rules.stop)
        )
        tail = text[-self._tail :] if self._tail else ""
        return _Beam(parent, token, step, row, total, length, tail, complete)

    def _keep_if_good(self, beam: _Beam) -> None:
        """Keep a complete text while it is among the ``n`` best."""
        entry = (self._score(beam.total, beam.length), -self._completed, beam)
        self._completed += 1
        if len(self._best) < self._rules.n:
            heappush(self._best, entry)
        elif entry > self._best[0]:
            heapreplace(self._best, entry)

    def _score(self, total: float, length: int) -> float:
        return float(total / length**self._rules.length_penalty)

    def _is_decided(self) -> bool:
        """Whether no live beam can yet come among the best: its sum only falls."""
        if len(self._best) < self._rules.n:
            return False
        long = self._rules.length_penalty >= 0
        return self._best[0][0] >= max(
            self._score(beam.total, self._rules.max_tokens if long else beam.length + 1)
            for beam in self._live
        )

    def _results(self) -> list[Hypothesis]:
        best = sorted(self._best, key=lambda entry: entry[:2], reverse=True)
        return [Hypothesis(_drawn(beam), beam.total, score) for score, _, beam in best]


def _drawn(beam: _Beam) -> Drawn:
    """The symbols of a beam, from the first on."""
    tokens: list[int] = []
    scores: list[float] = []
    near: list[Ids] = []
    near_scores: list[Floats] = []
    node = beam
    while node.parent is not None:
        tokens.append(node.token)
        scores.append(node.total - node.parent.total)
        if node.step is not None:
            near.append(node.step.tokens[node.row])
            near_scores.append(node.step.scores[node.row])
        node = node.parent
    return Drawn(
        tokens=np.array(tokens[::-1], np.int64),
        log_probabilities=np.array(scores[::-1], np.float32),
        top_tokens=np.stack(near[::-1]) if near else np.empty((len(tokens), 0), np.int64),
        top_log_probabilities=(
            np.stack(near_scores[::-1]) if near else np.empty((len(tokens), 0), np.float32)
        ),
    )
