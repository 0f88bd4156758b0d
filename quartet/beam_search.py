"""Beam search: the likeliest texts that a search of bounded width finds.

After each step all extensions of the live beams are ranked by their log-probability. From the top
down, those that end the text are set aside as complete, the others live on until the search's width
is reached (Sutskever, Vinyals, Le 2014, section 3.2). Complete texts are ranked by the sum of their
log-probabilities over length ** length_penalty; the length counts the symbols of what stopped them.
Of each beam a step looks at as many extensions as the model offers candidates.

Training decodes with it to choose a model, serving to answer: one search, so one result.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import heappush, heapreplace

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class BeamRules:
    """One search."""

    width: int
    """Beams that live on at most."""
    n: int
    """Texts wanted."""
    max_tokens: int
    """At which a text is complete, >= 1."""
    min_tokens: int = 0
    """Before which no stop symbol is taken."""
    length_penalty: float
    symbols: Sequence[str]
    """Text of each symbol, by id."""
    stop: tuple[str, ...] = ()
    """Strings that complete a text."""
    stop_symbols: frozenset[int] = frozenset()
    """Symbols that do."""
    alternatives: bool = False
    """Whether those of each symbol are wanted; to keep them costs far more than the symbols."""
    until_full: bool = False
    """End as soon as ``width`` texts are complete, rather than when no live beam can come among the
    ``n`` best any more, which with a length penalty is seldom before ``max_tokens``."""


@dataclass(frozen=True, slots=True)
class Beams:
    """The beams that live on after a step; at most the search's width."""

    parents: tuple[int, ...]
    """For each, the index of the beam among those before that it extends."""
    tokens: tuple[int, ...]
    """For each, the symbol it is extended by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypothesis:
    """One complete text of T symbols, with the one that stopped it if a symbol did."""

    tokens: Ids
    """[T]."""
    log_probabilities: Floats
    """[T], nats."""
    top_tokens: Ids
    """[T, top], candidates that each symbol was chosen from, if wanted; else [T, 0]."""
    top_log_probabilities: Floats
    """[T, top], theirs."""
    attention: Floats | None
    """[T, places], if the steps came with it."""
    log_probability: float
    """Sum over the symbols, nats."""
    score: float
    """By which it was ranked."""


@dataclass(frozen=True, slots=True, eq=False)
class _Beam:
    """A text, as its last symbol and the text before."""

    parent: "_Beam | None"
    token: int
    step: "_Step | None"
    """The step that made it, where anything of it is wanted."""
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
    tokens: Ids | None
    """Candidates, if they are wanted."""
    scores: Floats
    attention: Floats | None


class BeamSearcher:
    """One search, driven from outside: ``choose`` after every step, ``results`` at the end."""

    def __init__(self, rules: BeamRules) -> None:
        self._rules = rules
        self._tail = max((len(text) for text in rules.stop), default=1) - 1
        self._live = [_Beam(None, -1, None, 0, 0.0, 0, "", complete=False)]
        self._best: list[tuple[float, int, _Beam]] = []
        """Heap of the ``n`` best complete texts: score, and minus the order of their completion."""
        self._completed = 0

    def choose(
        self, top_tokens: Ids, top_log_probabilities: Floats, attention: Floats | None = None
    ) -> Beams | None:
        """One step was made by every live beam; at first there is one, the empty text.

        Args:
            top_tokens: [beams, top] candidates of each beam, likeliest first.
            top_log_probabilities: [beams, top], of the candidate alone, nats.
            attention: [beams, places], kept for ``Hypothesis.attention``.

        Returns:
            The beams to go on with, or None when the search is over.
        """
        live: list[_Beam] = []
        for beam in self._extensions(top_tokens, top_log_probabilities, attention):
            if beam.complete:
                self._keep_if_good(beam)
            else:
                live.append(beam)
                if len(live) == self._rules.width:
                    break
        self._live = live
        if not live or self._is_decided():
            return None
        return Beams(tuple(beam.row for beam in live), tuple(beam.token for beam in live))

    def results(self) -> list[Hypothesis]:
        """The ``n`` best complete texts, or fewer if there are no more, best first."""
        best = sorted(self._best, key=lambda entry: entry[:2], reverse=True)
        return [_hypothesis(beam, score) for score, _, beam in best]

    def _extensions(self, tokens: Ids, scores: Floats, attention: Floats | None) -> Iterator[_Beam]:
        """Every live beam longer by each of its candidates, likeliest first."""
        wanted = self._rules.alternatives
        step = None
        if wanted or attention is not None:
            step = _Step(tokens if wanted else None, scores, attention)
        totals = np.array([beam.total for beam in self._live])[:, None] + scores
        candidates = tokens.shape[1]
        early = self._live[0].length < self._rules.min_tokens
        for place in np.argsort(-totals, axis=None, kind="stable").tolist():
            row, column = divmod(place, candidates)
            token, total = int(tokens[row, column]), float(totals[row, column])
            if not (early and token in self._rules.stop_symbols):
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
        """Whether enough is complete, or no live beam can yet come among the best."""
        if self._rules.until_full:
            return self._completed >= self._rules.width
        if len(self._best) < self._rules.n:
            return False
        long = self._rules.length_penalty >= 0  # a beam's sum only falls
        return self._best[0][0] >= max(
            self._score(beam.total, self._rules.max_tokens if long else beam.length + 1)
            for beam in self._live
        )


def _hypothesis(beam: _Beam, score: float) -> Hypothesis:
    """The symbols of a beam, from the first on."""
    tokens: list[int] = []
    scores: list[float] = []
    near: list[Ids] = []
    near_scores: list[Floats] = []
    attention: list[Floats] = []
    node = beam
    while node.parent is not None:
        tokens.append(node.token)
        scores.append(node.total - node.parent.total)
        if node.step is not None and node.step.tokens is not None:
            near.append(node.step.tokens[node.row])
            near_scores.append(node.step.scores[node.row])
        if node.step is not None and node.step.attention is not None:
            attention.append(node.step.attention[node.row])
        node = node.parent
    empty = (len(tokens), 0)
    return Hypothesis(
        tokens=np.array(tokens[::-1], np.int64),
        log_probabilities=np.array(scores[::-1], np.float32),
        top_tokens=np.stack(near[::-1]) if near else np.empty(empty, np.int64),
        top_log_probabilities=(
            np.stack(near_scores[::-1]) if near else np.empty(empty, np.float32)
        ),
        attention=np.stack(attention[::-1]) if attention else None,
        log_probability=beam.total,
        score=score,
    )
