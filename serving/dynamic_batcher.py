"""Dynamic batching: many requests, one run of the engine, each caller exactly its own rows."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from serving.batch_queue import BatchQueue, Entry, QueueRules
from serving.errors import (
    DeadlineExceeded,
    QueueFull,
    ServingError,
    ShuttingDown,
)
from serving.row_joining import as_serving_error, expiry, join_key, join_rows, split_rows
from serving.scheduler import Finished, Work
from serving.types import Array, Timings
from serving.workers import Workers

logger = logging.getLogger(__name__)

ROW_TIME_WINDOW = 16
"""Batches over which the engine's speed is averaged, for the advice when to try again."""


class Engine(Protocol):
    """Runs one batch; called from worker threads."""

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        """One array an output, in the order of ``outputs``. Raises ServingError."""
        ...


class BatchObserver(Protocol):
    """Is told of every batch that ran, on the event loop."""

    def batch_finished(self, timings: Timings, *, failed: bool) -> None:
        """``timings`` are the batch's own: its queue time is that of its oldest request."""
        ...


@dataclass(eq=False, slots=True)
class _Waiting:
    """A request in the batcher: the work, and the future its caller awaits."""

    work: Work
    future: asyncio.Future[Finished]


_Batch = list[Entry[_Waiting]]


@dataclass(slots=True)
class _Ran:
    """What a worker thread brings back."""

    results: list[Mapping[str, Array] | ServingError]
    """One a request, in the order of the batch."""
    input_s: float
    infer_s: float
    output_s: float


class DynamicBatcher:
    """A scheduler that joins requests of equal shape. See ``batch_queue`` for the rules."""

    def __init__(
        self,
        engine: Engine,
        rules: QueueRules,
        pool: Workers,
        *,
        instances: int,
        observer: BatchObserver,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Serve ``engine`` with up to ``instances`` batches at once on ``pool``'s threads."""
        self._engine = engine
        self._pool = pool
        self._instances = instances
        self._observer = observer
        self._clock = clock
        self._queue: BatchQueue[_Waiting] = BatchQueue(replace(rules, groups=instances))
        self._running = 0
        self._row_s = 0.0
        """Engine seconds a row, a moving average."""
        self._closed = False
        self._pump_due = False
        self._timer: asyncio.TimerHandle | None = None
        self._idle = asyncio.Event()
        self._idle.set()

    def queued_rows(self) -> int:
        """Rows that wait."""
        return self._queue.rows

    def queued_requests(self) -> int:
        """Requests that wait."""
        return self._queue.requests

    def queue_age(self) -> float:
        """How long the request that has waited longest waits now, seconds; 0 if none does."""
        oldest = self._queue.oldest()
        return 0.0 if oldest is None else self._clock() - oldest

    async def submit(self, work: Work) -> Finished:
        """See ``Scheduler.submit``."""
        if self._closed:
            raise ShuttingDown("the model is being unloaded")
        loop = asyncio.get_running_loop()
        now = self._clock()
        entry = Entry(
            payload=_Waiting(work, loop.create_future()),
            rows=work.rows,
            key=join_key(work),
            arrived=now,
            expires=expiry(work, now),
        )
        try:
            self._queue.push(entry)
        except QueueFull as error:
            error.retry_after_s = self._seconds_to_drain()
            raise
        self._idle.clear()
        self._pump_soon(loop)
        try:
            return await entry.payload.future
        finally:
            # A no-op unless the caller was cancelled while its request still waited.
            if self._queue.cancel(entry):
                self._update_idle()

    async def drain(self) -> None:
        """See ``Scheduler.drain``."""
        await self._idle.wait()

    def close(self) -> None:
        """See ``Scheduler.close``."""
        self._closed = True
        for entry in self._queue.drop_all():
            _fail(entry, ShuttingDown("the model was unloaded before the request ran"))
        if self._timer is not None:
            self._timer.cancel()
        self._update_idle()

    def _pump_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look at the queue once the loop has read every request that is ready to be read.

        Looking at once would send the first of several simultaneous requests off alone.
        """
        if not self._pump_due:
            self._pump_due = True
            loop.call_soon(self._pump)

    def _pump(self) -> None:
        """Send off every batch that may leave, and set the timer for the next event."""
        self._pump_due = False
        now = self._clock()
        for entry in self._queue.expire(now):
            _fail(entry, _too_late(entry, now))
        while (free := self._instances - self._running) and (batch := self._queue.take(now, free)):
            self._dispatch(batch, now)
        self._set_timer(now)
        self._update_idle()

    def _dispatch(self, batch: _Batch, now: float) -> None:
        self._running += 1
        self._pool.submit(
            lambda: _run_batch(self._engine, batch, self._clock),
            lambda ran: self._finish(batch, now, ran),
            asyncio.get_running_loop(),
        )

    def _finish(self, batch: _Batch, left: float, ran: _Ran) -> None:
        """Back on the loop: answer every request of the batch, then look at the queue again."""
        self._running -= 1
        self._queue.finished(len(batch))
        rows = sum(entry.rows for entry in batch)
        for entry, result in zip(batch, ran.results, strict=True):
            timings = Timings(
                queue_s=left - entry.arrived,
                compute_input_s=ran.input_s,
                compute_infer_s=ran.infer_s,
                compute_output_s=ran.output_s,
                batch_rows=rows,
            )
            if isinstance(result, ServingError):
                _fail(entry, result)
            elif not entry.payload.future.done():
                entry.payload.future.set_result(Finished(result, timings))
        self._row_s += (ran.infer_s / rows - self._row_s) / ROW_TIME_WINDOW
        failed = all(isinstance(result, ServingError) for result in ran.results)
        oldest = left - batch[0].arrived
        self._observer.batch_finished(
            Timings(oldest, ran.input_s, ran.infer_s, ran.output_s, rows), failed=failed
        )
        self._pump()

    def _seconds_to_drain(self) -> float:
        """How long what waits now will take, from the engine's recent speed."""
        return self._queue.rows * self._row_s / self._instances

    def _set_timer(self, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        # A batch that could leave but has no free instance leaves when one is done, not by time.
        may_leave = self._queue.next_departure() if self._running < self._instances else None
        times = [t for t in (may_leave, self._queue.next_expiry()) if t is not None]
        if times:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, min(times) - now), self._pump)

    def _update_idle(self) -> None:
        if self._running == 0 and self._queue.rows == 0:
            self._idle.set()


def _too_late(entry: Entry[_Waiting], now: float) -> DeadlineExceeded:
    return DeadlineExceeded(
        f"Request timeout expired after {now - entry.arrived:.3f} s in the queue"
    )


def _fail(entry: Entry[_Waiting], error: ServingError) -> None:
    if not entry.payload.future.done():
        entry.payload.future.set_exception(error)


def _run_batch(engine: Engine, batch: _Batch, clock: Callable[[], float]) -> _Ran:
    """On a worker thread: join, run, split. Every fault becomes the result of its request.

    If a joined batch fails, its requests run again one by one, so that one bad request does not
    take its company down.
    """
    works = [entry.payload.work for entry in batch]
    started = joined = ran = clock()
    try:
        inputs = join_rows(works)
        joined = clock()
        outputs = engine.run(inputs, works[0].outputs)
        ran = clock()
        results: list[Mapping[str, Array] | ServingError] = list(split_rows(works, outputs))
    except Exception as error:  # noqa: BLE001  a scheduler fails its batch and goes on
        if len(batch) > 1:
            logger.warning("a batch failed, its %d requests run alone: %s", len(batch), error)
            alone = [_run_batch(engine, [entry], clock) for entry in batch]
            return _Ran(
                results=[result for one in alone for result in one.results],
                input_s=sum(one.input_s for one in alone),
                infer_s=sum(one.infer_s for one in alone),
                output_s=sum(one.output_s for one in alone),
            )
        ran = clock()
        results = [as_serving_error(error)]
    return _Ran(results, joined - started, ran - joined, clock() - ran)
