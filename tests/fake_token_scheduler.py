"""A token scheduler without an engine: rows step one after the other, on the event loop.

Each symbol depends on all that its row has read and on its place among the row's random numbers, so
that a wrong prompt, state, seed or position shows in the text.
"""

import asyncio
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from serving.errors import ServingError, ShuttingDown
from serving.token_scheduler import BeamSearch, Drawn, Floats, Ids, Job, Row, RowState

READ_SYMBOLS = 3
"""Symbols of a prompt that are scored at once."""


def scores_after(history: Sequence[int], symbols: int) -> Floats:
    """Log-probabilities of the symbol after ``history`` [symbols]."""
    seed = zlib.crc32(np.asarray(history, np.int64).tobytes())
    scores = np.random.default_rng(seed).normal(scale=2.0, size=symbols)
    return np.asarray(scores - np.log(np.exp(scores).sum()), np.float32)


def best_of(scores: Floats, top: int) -> tuple[Ids, Floats]:
    """Likeliest first, ties by id."""
    order = np.argsort(-scores, kind="stable")[:top]
    return order, scores[order]


def draw(history: Sequence[int], seed: int, stream: int, position: int, symbols: int) -> int:
    """The next symbol of a row."""
    place = zlib.crc32(np.array([*history, seed, stream, position], np.uint64).tobytes())
    return int(np.random.default_rng(place).integers(symbols))


@dataclass(eq=False)
class _Writing:
    row: Row
    history: list[int]
    written: int = 0


class FakeTokenScheduler:
    """A ``TokenScheduler`` that makes ``steps`` steps of every row each time it runs."""

    def __init__(self, symbols: int, *, steps: int = 4, top: int = 5) -> None:
        """Offer ``top`` alternatives of ``symbols`` symbols."""
        self.symbols = symbols
        self.steps = steps
        self.top = top
        self.jobs: list[Job] = []
        """All that were ever submitted."""
        self.refusal: ServingError | None = None
        """Raised by ``submit``."""
        self.paused = False
        self.runs = 0
        self._live: dict[Job, _Writing | None] = {}
        self._pump: asyncio.Handle | None = None
        self._closed = False

    def submit(self, jobs: Sequence[Job]) -> None:
        """See ``TokenScheduler.submit``."""
        if self._closed:
            raise ShuttingDown("closed")
        if self.refusal is not None:
            raise self.refusal
        self.jobs += jobs
        for job in jobs:
            self._live[job] = _Writing(job, _read(job)) if isinstance(job, Row) else None
        self._schedule()

    def cancel(self, job: Job) -> None:
        """See ``TokenScheduler.cancel``."""
        self._live.pop(job, None)

    def fail(self, job: Job, error: ServingError) -> None:
        """Give ``job`` up."""
        del self._live[job]
        job.sink.failed(error)

    def resume(self) -> None:
        """Run again after ``paused``."""
        self.paused = False
        self._schedule()

    def waiting_rows(self) -> int:
        """See ``TokenScheduler.waiting_rows``."""
        return 0

    def active_rows(self) -> int:
        """See ``TokenScheduler.active_rows``."""
        return len(self._live)

    async def drain(self) -> None:
        """See ``TokenScheduler.drain``; here the test has waited already."""
        assert not self._live

    def close(self) -> None:
        """See ``TokenScheduler.close``."""
        self._closed = True
        for job in list(self._live):
            if job in self._live:
                self.fail(job, ShuttingDown("the server is shutting down"))

    def _schedule(self) -> None:
        if self._pump is None and self._live and not self.paused:
            self._pump = asyncio.get_running_loop().call_soon(self._run)

    def _run(self) -> None:
        self._pump = None
        if self.paused:
            return
        self.runs += 1
        for job, writing in list(self._live.items()):
            if job not in self._live:
                continue
            if isinstance(job, BeamSearch):
                self._search(job)
            elif writing is not None:
                self._step(writing)
        self._schedule()

    def _step(self, writing: _Writing) -> None:
        row, history = writing.row, writing.history
        if writing.written == 0 and row.score_prompt:
            self._score(row)
        count = self.steps if row.max_tokens else 0
        tokens: list[int] = []
        scores, near, near_scores = [], [], []
        for _ in range(count):
            after = scores_after(history, self.symbols)
            place = row.position + writing.written + len(tokens)
            tokens.append(draw(history, row.seed, row.stream, place, self.symbols))
            scores.append(after[tokens[-1]])
            ids, best = best_of(after, self.top)
            near.append(ids)
            near_scores.append(best)
            history.append(tokens[-1])
        shape = (count, self.top)
        taken = row.sink.accept(
            Drawn(
                tokens=np.array(tokens, np.int64),
                log_probabilities=np.array(scores, np.float32),
                top_tokens=np.array(near, np.int64).reshape(shape),
                top_log_probabilities=np.array(near_scores, np.float32).reshape(shape),
            )
        )
        if taken is None:
            writing.written += count
            return
        self._live.pop(row, None)
        if row.keep_state:
            read = history[: len(history) - count + taken]
            row.sink.settled({"read": np.array(read[:-1], np.int64)}, read[-1])

    def _score(self, row: Row) -> None:
        history = _read(row)
        first = len(history) - len(row.prompt) + 1
        scores = [scores_after(history[:end], self.symbols) for end in range(first, len(history))]
        for begin in range(0, len(scores), READ_SYMBOLS):
            row.sink.read(np.stack(scores[begin : begin + READ_SYMBOLS]), None)

    def _search(self, search: BeamSearch) -> None:
        beams = [_read(search)]
        while True:
            found = [best_of(scores_after(beam, self.symbols), search.top) for beam in beams]
            chosen = search.sink.choose(
                np.stack([ids for ids, _ in found]),
                np.stack([scores for _, scores in found]),
                None,
            )
            if chosen is None:
                self._live.pop(search, None)
                return
            assert len(chosen.parents) <= search.width
            beams = [
                [*beams[parent], token]
                for parent, token in zip(chosen.parents, chosen.tokens, strict=True)
            ]


def _read(job: Job) -> list[int]:
    """All symbols before the first that is written."""
    state: RowState = job.state or {"read": np.zeros(0, np.int64)}
    return [*state["read"].tolist(), *job.prompt]
