"""An answer under way: gathers the pieces of its texts, and stops them when nobody reads on."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from serving.errors import Cancelled, DeadlineExceeded, ServingError
from serving.generation_metrics import GenerationMetrics
from serving.generation_types import FinishReason, Piece, Receipt, Replacement, Symbol, Usage
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


class TextAnswer:
    """A ``GeneratedText``, and the ``TextListener`` of its texts. One reader, one event loop."""

    def __init__(
        self,
        facts: AnswerFacts,
        metrics: GenerationMetrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Wait for the pieces of the texts; ``clock`` gives seconds."""
        self.model_name = facts.model_name
        self.model_version = facts.model_version
        self.receipt = facts.receipt
        self.replaced = facts.replaced
        self.prompt = facts.prompt
        self.stop_rows: Callable[[], None] = _nothing
        """Stops all rows that still run."""
        self.on_state: Callable[[RowState, int], None] = _no_state
        """Takes the state of a text that keeps it, before the text's last piece."""
        self.on_end: Callable[[ServingError | None], None] = _no_end
        """Called once: all was read (None), nobody reads on (Cancelled), or it failed."""
        self._facts = facts
        self._metrics = metrics
        self._clock = clock
        self._ready = UnreadPieces()
        self._behind_echo: list[Piece] | None = None
        """Pieces that come after the prompt, while its scores are awaited."""
        self._to_give = facts.n
        """Texts whose last piece has not come."""
        self._to_write = facts.texts
        """Texts that run."""
        self._written = 0
        self._grew: dict[int, float] = {}
        """Text -> when it last did."""
        self._error: ServingError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False

    @property
    def usage(self) -> Usage:
        """See ``GeneratedText.usage``."""
        return Usage(prompt_tokens=self._facts.prompt_tokens, completion_tokens=self._written)

    # --- what the reader calls ---

    def __aiter__(self) -> AsyncIterator[Piece]:
        return self

    async def __anext__(self) -> Piece:
        while not self._ready:
            if self._error is not None:
                self._end(self._error)
                raise self._error
            if self._ended or not self._to_give:
                self._end(None)
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            except asyncio.CancelledError:
                await self.aclose()
                raise
            finally:
                self._waiter = None
        return self._ready.popleft()

    async def aclose(self) -> None:
        """See ``GeneratedText.aclose``."""
        if self._ended:
            return
        all_read = not self._to_give and not self._ready
        self._ready.clear()
        self._give_up("cancelled")
        self._end(None if all_read else Cancelled("the client left before the text was finished"))
        self._wake()

    # --- what the texts call ---

    def wrote(self, index: int, symbols: int) -> None:
        """See ``TextListener.wrote``."""
        if not symbols:
            return
        now = self._clock()
        before = self._grew.get(index)
        if before is None:
            self._metrics.first_symbol(now - self._facts.started)
        else:
            self._metrics.next_symbols(symbols, now - before)
        self._grew[index] = now
        self._written += symbols

    def piece(self, piece: Piece) -> None:
        """See ``TextListener.piece``."""
        if piece.finish_reason is not None:
            self.finished(piece.finish_reason)
        self.give(piece)

    def kept(self, state: RowState, token: int) -> None:
        """See ``TextListener.kept``."""
        self.on_state(state, token)

    def failed(self, error: ServingError) -> None:
        """See ``TextListener.failed``; the other texts are given up with it."""
        if self._error is None and not self._ended:
            self._error = error
            self._give_up("deadline" if isinstance(error, DeadlineExceeded) else "error")
            self._wake()

    # --- what else may come between ---

    def finished(self, reason: FinishReason) -> None:
        """A text has been written, whether or not it is given."""
        self._to_write -= 1
        self._metrics.text_finished(reason.value)

    def give(self, piece: Piece) -> None:
        """A piece for the reader."""
        if self._ended:
            return
        if self._behind_echo is not None:
            self._behind_echo.append(piece)
            return
        if piece.finish_reason is not None:
            self._to_give -= 1
        self._ready.append(piece)
        self._wake()

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
        for index in range(self._facts.n):
            if self.prompt:
                self.give(Piece(index=index, text=self.prompt, symbols=symbols))
        for piece in behind:
            self.give(piece)

    def _give_up(self, reason: str) -> None:
        self.stop_rows()
        for _ in range(self._to_write):
            self._metrics.text_finished(reason)
        self._to_write = 0

    def _end(self, error: ServingError | None) -> None:
        if not self._ended:
            self._ended = True
            self._metrics.symbols(self._facts.prompt_tokens, self._written)
            self.on_end(error)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _nothing() -> None:
    pass


def _no_state(state: RowState, token: int) -> None:
    pass


def _no_end(error: ServingError | None) -> None:
    pass
