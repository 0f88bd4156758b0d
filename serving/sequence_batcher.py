"""The scheduler of stateful models: steps of different sequences share runs of the engine."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from serving.dynamic_batcher import BatchObserver
from serving.errors import QueueFull, ServingError, ShuttingDown
from serving.row_joining import as_serving_error, expiry, join_key
from serving.scheduler import Finished, Work
from serving.sequence_life import Dropped, Planned, Step
from serving.sequences import Sequences
from serving.stateful_engine import Answer, StatefulEngine
from serving.types import Timings
from serving.workers import Workers

logger = logging.getLogger(__name__)

STEP_TIME_WINDOW = 16
"""Runs over which the engine's speed is averaged, for the advice when to try again."""


@dataclass(eq=False, slots=True)
class Waiting:
    """A request in the batcher: the work, and the future its caller awaits."""

    work: Work
    future: asyncio.Future[Finished]


@dataclass(slots=True)
class _Ran:
    """What a worker thread brings back."""

    results: list[Answer | ServingError]
    """One a step, in the order of the run."""
    seconds: float


class SequenceBatcher:
    """Runs the steps of sequences. See ``sequences`` for the rules.

    A step whose caller leaves while it runs has happened; one whose caller leaves earlier has not.
    """

    def __init__(
        self,
        engine: StatefulEngine,
        sequences: Sequences[Waiting],
        pool: Workers,
        *,
        instances: int,
        observer: BatchObserver,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Serve ``engine`` by ``sequences``' rules: ``instances`` runs at once on ``pool``."""
        self._engine = engine
        self._pool = pool
        self._instances = instances
        self._observer = observer
        self._clock = clock
        self._core = sequences
        self._running = 0
        self._step_s = 0.0
        """Engine seconds a step, a moving average."""
        self._closed = False
        self._pump_due = False
        self._timer: asyncio.TimerHandle | None = None
        self._idle = asyncio.Event()
        self._idle.set()

    def queued_rows(self) -> int:
        """Steps that wait."""
        return self._core.steps

    def queued_requests(self) -> int:
        """Steps that wait."""
        return self._core.steps

    def queue_age(self) -> float:
        """How long the step that has waited longest waits now, seconds; 0 if none does."""
        oldest = self._core.oldest
        return 0.0 if oldest is None else self._clock() - oldest

    def live_sequences(self) -> int:
        """Sequences that have a state."""
        return self._core.live

    def waiting_sequences(self) -> int:
        """Sequences that wait for a slot."""
        return self._core.backlog

    async def submit(self, work: Work) -> Finished:
        """See ``Scheduler.submit``.

        Raises:
            InvalidInput: its sequence does not live, or did not come to be.
            ServingError: as ``Scheduler.submit``.
        """
        if self._closed:
            raise ShuttingDown("the model is being unloaded")
        if work.sequence is None:
            raise RuntimeError("a request without a sequence reached a stateful model")
        loop, now = asyncio.get_running_loop(), self._clock()
        step = Step(
            payload=Waiting(work, loop.create_future()),
            sequence=work.sequence,
            key=join_key(work),
            arrived=now,
            expires=expiry(work, now),
        )
        _refuse(self._core.expire(now))
        try:
            self._core.push(step, now)
        except QueueFull as error:
            error.retry_after_s = self._seconds_to_drain()
            raise
        self._idle.clear()
        self._pump_soon(loop)
        try:
            return await step.payload.future
        finally:
            if step.waiting:  # its caller has left
                _refuse(self._core.cancel(step, self._clock()))
                self._pump_soon(loop)

    async def drain(self) -> None:
        """See ``Scheduler.drain``. Sequences without a waiting request do not hold it up."""
        await self._idle.wait()

    def close(self) -> None:
        """See ``Scheduler.close``."""
        self._closed = True
        error = ShuttingDown("the model was unloaded before the request ran")
        _refuse([(step, error) for step in self._core.drop_all()])
        if self._timer is not None:
            self._timer.cancel()
        self._update_idle()

    def _pump_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look at what waits once the loop has read every request that is ready to be read."""
        if not self._pump_due:
            self._pump_due = True
            loop.call_soon(self._pump)

    def _pump(self) -> None:
        """Send off every run that may leave, and set the timer for the next event."""
        self._pump_due = False
        now = self._clock()
        _refuse(self._core.expire(now))
        while free := self._instances - self._running:
            planned = self._core.take(now, free)
            if planned is None:
                break
            self._dispatch(planned, now)
        self._set_timer(now)
        self._update_idle()

    def _dispatch(self, planned: Planned[Waiting], now: float) -> None:
        self._running += 1
        self._pool.submit(
            lambda: _run(self._engine, planned, self._clock),
            lambda ran: self._finish(planned, now, ran),
            asyncio.get_running_loop(),
        )

    def _finish(self, planned: Planned[Waiting], left: float, ran: _Ran) -> None:
        """Back on the loop: answer every step of the run, then look at what waits again."""
        self._running -= 1
        rows = len(planned.steps)
        for step, result in zip(planned.steps, ran.results, strict=True):
            timings = Timings(left - step.arrived, 0.0, ran.seconds, 0.0, rows)
            if isinstance(result, ServingError):
                _fail(step, result)
            elif not step.payload.future.done():
                step.payload.future.set_result(Finished(result, timings))
        succeeded = [not isinstance(result, ServingError) for result in ran.results]
        _refuse(self._core.finished(planned, succeeded, self._clock()))
        self._step_s += (ran.seconds / rows - self._step_s) / STEP_TIME_WINDOW
        oldest = left - min(step.arrived for step in planned.steps)
        self._observer.batch_finished(
            Timings(oldest, 0.0, ran.seconds, 0.0, rows), failed=not any(succeeded)
        )
        self._pump()

    def _seconds_to_drain(self) -> float:
        """How long what waits now will take, from the engine's recent speed."""
        return self._core.steps * self._step_s / self._instances

    def _set_timer(self, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        # A run that could leave but has no free instance leaves when one is done, not by time.
        may_leave = self._core.next_departure() if self._running < self._instances else None
        times = [t for t in (may_leave, self._core.next_expiry()) if t is not None]
        if times and not self._closed:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, min(times) - now), self._pump)

    def _update_idle(self) -> None:
        if self._running == 0 and self._core.steps == 0:
            self._idle.set()


def _refuse(dropped: Dropped[Waiting]) -> None:
    for step, error in dropped:
        _fail(step, error)


def _fail(step: Step[Waiting], error: ServingError) -> None:
    if not step.payload.future.done():
        step.payload.future.set_exception(error)


def _run(engine: StatefulEngine, planned: Planned[Waiting], clock: Callable[[], float]) -> _Ran:
    """On a worker thread: one run. Every fault becomes the result of its step.

    A run that fails has changed no state that matters, so its steps run again one by one, and one
    bad step does not take its company down.
    """
    works = [step.payload.work for step in planned.steps]
    started = clock()
    try:
        results: list[Answer | ServingError] = list(engine.run(works, planned.slots))
    except Exception as error:  # noqa: BLE001  a scheduler fails its run and goes on
        if len(works) > 1:
            logger.warning("a run failed, its %d steps run alone: %s", len(works), error)
            alone = [
                _run(engine, Planned((step,), (slot,)), clock)
                for step, slot in zip(planned.steps, planned.slots, strict=True)
            ]
            return _Ran([one.results[0] for one in alone], clock() - started)
        results = [as_serving_error(error)]
    return _Ran(results, clock() - started)
