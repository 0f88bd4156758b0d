"""Writes several texts and gives the best of them."""

from collections.abc import Sequence
from dataclasses import replace

from serving.errors import ServingError
from serving.generation_types import Piece
from serving.tasks.text_answer import TextAnswer
from serving.text_sink import TextSink
from serving.token_scheduler import RowState


class BestOf:
    """A ``TextListener`` that gives an answer the texts of highest mean log-probability."""

    def __init__(self, answer: TextAnswer, n: int) -> None:
        """Give ``answer`` the ``n`` best. ``sinks`` must be set before the first piece."""
        self.sinks: Sequence[TextSink] = ()
        """Of all texts, by index."""
        self._answer = answer
        self._n = n
        self._pieces: dict[int, list[Piece]] = {}
        self._finished = 0

    def wrote(self, index: int, symbols: int) -> None:
        """See ``TextListener.wrote``."""
        self._answer.wrote(index, symbols)

    def piece(self, piece: Piece) -> None:
        """See ``TextListener.piece``."""
        self._pieces.setdefault(piece.index, []).append(piece)
        if piece.finish_reason is None:
            return
        self._answer.finished(piece.finish_reason.value)
        self._finished += 1
        if self._finished == len(self.sinks):
            # A stable order: of equal texts the one of lower index comes first.
            order = sorted(range(len(self.sinks)), key=self._mean, reverse=True)
            for place, index in enumerate(order[: self._n]):
                for part in self._pieces[index]:
                    self._answer.give(replace(part, index=place))

    def kept(self, state: RowState, token: int) -> None:
        """See ``TextListener.kept``: of several texts none is kept."""

    def failed(self, error: ServingError) -> None:
        """See ``TextListener.failed``."""
        self._answer.failed(error)

    def _mean(self, index: int) -> float:
        sink = self.sinks[index]
        return sink.log_probability / max(sink.written, 1)
