"""What a model thinks of its prompt: the log-probability of each symbol after those before it."""

from collections.abc import Callable, Sequence

import numpy as np

from serving.errors import ServingError
from serving.generation_types import Symbol
from serving.token_scheduler import Drawn, Floats, RowState


class PromptScores:
    """The ``RowSink`` of a row that only reads, part by part."""

    def __init__(
        self,
        prompt: Sequence[int],
        symbols: Sequence[str],
        top: int,
        done: Callable[[tuple[Symbol, ...]], None],
        failed: Callable[[ServingError], None],
    ) -> None:
        """Score ``prompt``.

        Args:
            prompt: ids that the row reads, at least two.
            symbols: text of each symbol, by id.
            top: alternatives wanted at each place.
            done: takes the scored symbols, the prompt's first left out: nothing tells its score.
            failed: takes the error if the row is given up.
        """
        self._targets = np.asarray(prompt[1:], np.int64)
        self._symbols = symbols
        self._top = top
        self._done = done
        self._failed = failed
        self._scored: list[Symbol] = []

    def read(self, log_probabilities: Floats, attention: Floats | None) -> None:
        """See ``RowSink.read``; of the attention nothing is kept."""
        begin = len(self._scored)
        targets = self._targets[begin : begin + len(log_probabilities)]
        if not len(targets):
            return
        scores = log_probabilities[: len(targets)]
        own = np.take_along_axis(scores, targets[:, None], axis=1)[:, 0].tolist()
        best = np.argsort(-scores, axis=1, kind="stable")[:, : self._top]
        best_scores = np.take_along_axis(scores, best, axis=1).tolist()
        symbols = self._symbols
        self._scored += [
            Symbol(
                symbols[target],
                score,
                dict(zip([symbols[index] for index in ids], others, strict=True)),
            )
            for target, score, ids, others in zip(
                targets.tolist(), own, best.tolist(), best_scores, strict=True
            )
        ]
        if len(self._scored) == len(self._targets):
            self._done(tuple(self._scored))

    def accept(self, drawn: Drawn) -> int | None:
        """See ``RowSink.accept``: nothing is to be written."""
        return 0

    def settled(self, state: RowState, token: int) -> None:
        """See ``RowSink.settled``: no state is kept."""

    def failed(self, error: ServingError) -> None:
        """See ``RowSink.failed``."""
        self._failed(error)
