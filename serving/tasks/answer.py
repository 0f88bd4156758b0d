"""An answer under way: gathers the parts of its texts, and stops them when nobody reads on."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from serving.errors import Cancelled, DeadlineExceeded, ServingError
from serving.generation_metrics import GenerationMetrics
from serving.token_scheduler import Job, TokenScheduler

PartT = TypeVar("PartT")


class Unread(Protocol[PartT]):
    """Parts that nobody has read yet, first in, first out."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def append(self, part: PartT, /) -> None:
        """Let ``part`` wait."""
        ...

    def popleft(self) -> PartT:
        """The part that waits longest."""
        ...

    def clear(self) -> None:
        """Forget all."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerSize:
    """What is known before anything is written."""

    prompt_tokens: int
    """Symbols that are read."""
    given: int
    """Texts to be given."""
    written: int
    """Texts to be written."""
    started: float
    """When the request came, on the answer's clock."""


class Answer(Generic[PartT]):
    """The reader's side and the accounting of texts that come in parts. One reader, one loop."""

    def __init__(
        self,
        size: AnswerSize,
        unread: Unread[PartT],
        metrics: GenerationMetrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Wait for the parts of the texts.

        Args:
            size: what is to come.
            unread: empty; holds what nobody has read yet.
            metrics: told of symbols and texts.
            clock: seconds.
        """
        self.stop_rows: Callable[[], None] = _nothing
        """Stops all rows that still run."""
        self.on_end: Callable[[ServingError | None], None] = _no_end
        """Called once: all was read (None), nobody reads on (Cancelled), or it failed."""
        self._size = size
        self._metrics = metrics
        self._clock = clock
        self._unread = unread
        self._to_give = size.given
        """Texts whose last part has not come."""
        self._to_write = size.written
        """Texts that run."""
        self._written = 0
        self._grew: dict[Hashable, float] = {}
        """Text -> when it last did."""
        self._error: ServingError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False

    # --- what the reader calls ---

    def __aiter__(self) -> AsyncIterator[PartT]:
        return self

    async def __anext__(self) -> PartT:
        while not self._unread:
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
        return self._unread.popleft()

    async def aclose(self) -> None:
        """Stop what still runs. Nothing happens if all is done."""
        if self._ended:
            return
        all_read = not self._to_give and not self._unread
        self._unread.clear()
        self._give_up("cancelled")
        self._end(None if all_read else Cancelled("the client left before the text was finished"))
        self._wake()

    # --- what the texts call ---

    @property
    def over(self) -> bool:
        """Whether nothing that is still written would be read."""
        return self._ended or self._error is not None

    def wrote(self, text: Hashable, symbols: int) -> None:
        """So many symbols were drawn and belong to ``text``."""
        if not symbols:
            return
        now = self._clock()
        before = self._grew.get(text)
        if before is None:
            self._metrics.first_symbol(now - self._size.started)
        else:
            self._metrics.next_symbols(symbols, now - before)
        self._grew[text] = now
        self._written += symbols

    def finished(self, reason: str) -> None:
        """A text has been written, whether or not it is given."""
        self._to_write -= 1
        self._metrics.text_finished(reason)

    def failed(self, error: ServingError) -> None:
        """A text was given up; the others are given up with it."""
        if self._error is None and not self._ended:
            self._error = error
            self._give_up("deadline" if isinstance(error, DeadlineExceeded) else "error")
            self._wake()

    def _deliver(self, part: PartT, *, last: bool) -> None:
        """Hand a part to the reader; ``last`` if nothing of its text follows."""
        if self._ended:
            return
        self._to_give -= last
        self._unread.append(part)
        self._wake()

    def _give_up(self, reason: str) -> None:
        self.stop_rows()
        for _ in range(self._to_write):
            self._metrics.text_finished(reason)
        self._to_write = 0

    def _end(self, error: ServingError | None) -> None:
        if not self._ended:
            self._ended = True
            self._metrics.symbols(self._size.prompt_tokens, self._written)
            self.on_end(error)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def cancel_jobs(scheduler: TokenScheduler, jobs: Sequence[Job]) -> None:
    """Stop all ``jobs`` that still run."""
    for job in jobs:
        scheduler.cancel(job)


def _nothing() -> None:
    pass


def _no_end(error: ServingError | None) -> None:
    pass
