"""Continuous batching: rows share runs of the engine, and join and leave between them.

The rules are in ``slots``; this drives them with threads and time.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from serving.errors import InferenceFailed, ServingError, ShuttingDown
from serving.slots import Planned, PlannedRead, PlannedRun, SlotRules, SlotScheduler
from serving.token_scheduler import (
    Job,
    PrefillRun,
    RowState,
    Run,
    RunObserver,
    RunResult,
    StepEngine,
)
from serving.workers import Workers

logger = logging.getLogger(__name__)

Outcome = RunResult | tuple[RowState, ...] | ServingError
"""Of a run, of a reading of states, of a failure."""


class ContinuousBatcher:
    """A ``TokenScheduler``."""

    def __init__(
        self,
        engine: StepEngine,
        pool: Workers,
        rules: SlotRules,
        observer: RunObserver,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Serve ``engine`` with up to ``rules.lanes`` runs at once on ``pool``'s threads."""
        if rules.slots > engine.slots:
            raise ValueError(f"{rules.slots} slots over an engine that has {engine.slots}")
        self._engine = engine
        self._pool = pool
        self._observer = observer
        self._clock = clock
        self._core = SlotScheduler(rules)
        self._closed = False
        self._pump_due = False
        self._timer: asyncio.TimerHandle | None = None
        self._idle = asyncio.Event()
        self._idle.set()

    def submit(self, jobs: Sequence[Job]) -> None:
        """See ``TokenScheduler.submit``. Raises also InvalidInput, for a search that cannot fit."""
        if self._closed:
            raise ShuttingDown("the model is being unloaded")
        self._core.submit(jobs, self._clock())
        self._idle.clear()
        self._pump_soon()

    def cancel(self, job: Job) -> None:
        """See ``TokenScheduler.cancel``."""
        self._core.cancel(job)
        # Its slots may be free, and it may have been the last.
        self._pump_soon()

    def waiting_rows(self) -> int:
        """See ``TokenScheduler.waiting_rows``."""
        return self._core.waiting_rows

    def queue_age(self) -> float:
        """How long the job that has waited longest for a slot waits now, seconds; 0 if none."""
        oldest = self._core.oldest_waiting
        return 0.0 if oldest is None else self._clock() - oldest

    def active_rows(self) -> int:
        """See ``TokenScheduler.active_rows``."""
        return self._core.active_rows

    async def drain(self) -> None:
        """See ``TokenScheduler.drain``. No run is under way after it."""
        await self._idle.wait()

    def close(self) -> None:
        """See ``TokenScheduler.close``."""
        self._closed = True
        self._core.give_up_all(ShuttingDown("the model was unloaded before the text was finished"))
        self._set_timer()
        self._update_idle()

    def _pump_soon(self) -> None:
        """Look for work once the loop has read every request that is ready to be read.

        Looking at once would send the first of several simultaneous texts off alone.
        """
        if not self._pump_due:
            self._pump_due = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        """Send off all there is to do, and set the timer for the next deadline."""
        self._pump_due = False
        now = self._clock()
        self._core.expire(now)
        while (planned := self._core.plan(now)) is not None:
            self._dispatch(planned)
        self._set_timer()
        self._update_idle()

    def _dispatch(self, planned: Planned) -> None:
        self._pool.submit(
            lambda: _execute(self._engine, planned),
            lambda outcome: self._finish(planned, outcome),
            asyncio.get_running_loop(),
        )

    def _finish(self, planned: Planned, outcome: Outcome) -> None:
        """Back on the loop: hand out what was made, then look for more work at once."""
        try:
            self._hand_out(planned, outcome)
        except Exception:
            logger.exception("a result of the engine could not be used")
            self._core.abandon(planned, _internal_failure())
        self._pump()

    def _hand_out(self, planned: Planned, outcome: Outcome) -> None:
        now = self._clock()
        if isinstance(outcome, ServingError):
            self._core.fail(planned, outcome)
        elif isinstance(planned, PlannedRun) and isinstance(outcome, RunResult):
            run = planned.run
            self._core.apply(planned, outcome, now)
            self._observer.run_finished(run.kind, len(run.slots), _steps(run), outcome.seconds)
        elif isinstance(planned, PlannedRead) and isinstance(outcome, tuple):
            self._core.settle(planned, outcome, now)
        else:
            raise TypeError(f"the engine brought a {type(outcome).__name__} from {planned.work}")

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        expiry = self._core.next_expiry()
        if expiry is not None:
            delay_s = max(0.0, expiry - self._clock())
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._pump)

    def _update_idle(self) -> None:
        if self._core.idle:
            self._idle.set()


def _execute(engine: StepEngine, planned: Planned) -> Outcome:
    """On a worker thread. Never raises."""
    try:
        if isinstance(planned, PlannedRun):
            return engine.execute(planned.run)
        return tuple(engine.read_state(slot) for slot in planned.slots)
    except ServingError as error:
        logger.warning("a run of %d texts failed: %s", len(planned.units), error)
        return error
    except Exception:
        logger.exception("a run of %d texts failed", len(planned.units))
        return _internal_failure()


def _steps(run: Run) -> int:
    """Symbols that each row of ``run`` wrote or read at most."""
    return int((run.tokens if isinstance(run, PrefillRun) else run.uniform).shape[1])


def _internal_failure() -> InferenceFailed:
    return InferenceFailed("the engine failed; the server's log has the reason")
