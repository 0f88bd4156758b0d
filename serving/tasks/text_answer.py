"""An answer under way of a request for text: its prompt, its pieces, its state."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from serving.generation_metrics import GenerationMetrics
from serving.generation_types import Piece, Receipt, Replacement, Symbol, Usage
from serving.tasks.answer import Answer, AnswerSize
from serving.tasks.unread_pieces import UnreadPieces
from serving.token_scheduler import RowState


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerFacts:
    """What is known before anything is written."""

    model_name: str
    model_version: str
    receipt: Receipt
    replaced: tuple[Replacement, ...]
    prompt: str
    prompt_tokens: int
    n: int
    """Texts to be given."""
    texts: int
    """Texts to be written."""
    started: float
    """When the request came, on the answer's clock."""


class TextAnswer(Answer[Piece]):
    """A ``GeneratedText``, and the ``TextListener`` of its texts. One reader, one event loop."""

    def __init__(
        self,
        facts: AnswerFacts,
        metrics: GenerationMetrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Wait for the pieces of the texts; ``clock`` gives seconds."""
        size = AnswerSize(
            prompt_tokens=facts.prompt_tokens,
            given=facts.n,
            written=facts.texts,
            started=facts.started,
        )
        super().__init__(size, UnreadPieces(), metrics, clock)
        self.model_name = facts.model_name
        self.model_version = facts.model_version
        self.receipt = facts.receipt
        self.replaced = facts.replaced
        self.prompt = facts.prompt
        self.on_state: Callable[[RowState, int], None] = _no_state
        """Takes the state of a text that keeps it, before the text's last piece."""
        self._n = facts.n
        self._behind_echo: list[Piece] | None = None
        """Pieces that come after the prompt, while its scores are awaited."""

    @property
    def usage(self) -> Usage:
        """See ``GeneratedText.usage``."""
        return Usage(prompt_tokens=self._size.prompt_tokens, completion_tokens=self._written)

    # --- what the texts call ---

    def piece(self, piece: Piece) -> None:
        """See ``TextListener.piece``."""
        if piece.finish_reason is not None:
            self.finished(piece.finish_reason.value)
        self.give(piece)

    def kept(self, state: RowState, token: int) -> None:
        """See ``TextListener.kept``."""
        self.on_state(state, token)

    # --- what else may come between ---

    def give(self, piece: Piece) -> None:
        """A piece for the reader."""
        if self._behind_echo is not None:
            self._behind_echo.append(piece)
            return
        self._deliver(piece, last=piece.finish_reason is not None)

    def expect(self, texts: int) -> None:
        """There are fewer texts than were wanted, of which none has been given."""
        self._to_write = self._to_give = texts
        self._wake()

    def await_echo(self) -> None:
        """Hold all pieces back until ``echo``."""
        self._behind_echo = []

    def echo(self, symbols: tuple[Symbol, ...]) -> None:
        """Begin each text with the prompt, of which ``symbols`` tell the scores if wanted."""
        behind, self._behind_echo = self._behind_echo or [], None
        for index in range(self._n):
            if self.prompt:
                self.give(Piece(index=index, text=self.prompt, symbols=symbols))
        for piece in behind:
            self.give(piece)


def _no_state(state: RowState, token: int) -> None:
    pass
