"""An event loop whose clock jumps: hours of waiting take no time, and a lost wake-up is an error.

Real threads may take part. The loop's time stands still while any of them works, and jumps to the
next timer once all of them wait for it.
"""

import asyncio
import selectors
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from serving.workers import WorkerPool

ResultT = TypeVar("ResultT")

THREAD_LIMIT_S = 20.0
"""Real seconds after which a thread that was expected to report is taken for hung."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Its ``time()`` starts at 0 and moves only when nothing else can happen."""

    def __init__(self) -> None:
        self._now = 0.0
        self._working = 0
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        """Virtual seconds."""
        return self._now

    def thread_begins(self) -> None:
        """A thread was given work. Call on the loop."""
        self._working += 1

    def thread_ended(self) -> None:
        """A thread's result has arrived. Call on the loop."""
        self._working -= 1

    def sleep_on_thread(self, duration_s: float) -> None:
        """Let a thread wait for virtual time. Call on a thread whose work was announced."""
        gate = threading.Event()
        self.call_soon_threadsafe(self._let_sleep, duration_s, gate)
        if not gate.wait(THREAD_LIMIT_S):
            raise TimeoutError("virtual time did not move on")

    def _let_sleep(self, duration_s: float, gate: threading.Event) -> None:
        self.thread_ended()
        self.call_later(duration_s, self._wake, gate)

    def _wake(self, gate: threading.Event) -> None:
        self.thread_begins()
        gate.set()

    def wait(self, timeout: float | None) -> float:
        """How long the selector may really wait; moves the clock where nothing else can happen."""
        if timeout is not None and timeout <= 0:
            return 0.0
        if self._working:
            return THREAD_LIMIT_S
        if timeout is None:
            raise RuntimeError("deadlock: no timer is set, no thread works, and the loop waits")
        self._now += timeout
        return 0.0


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if events:
            return events
        return super().select(self._loop.wait(timeout))


class AnnouncedPool(WorkerPool):
    """A pool that tells the virtual clock while its threads work."""

    def __init__(self, threads: int, loop: VirtualTimeLoop) -> None:
        super().__init__(threads)
        self._loop = loop

    def submit(
        self,
        run: Callable[[], ResultT],
        done: Callable[[ResultT], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """See ``WorkerPool.submit``."""
        self._loop.thread_begins()

        def ended(result: ResultT) -> None:
            self._loop.thread_ended()
            done(result)

        super().submit(run, ended, loop)


def run_virtual(main: Coroutine[Any, Any, ResultT], loop: VirtualTimeLoop) -> ResultT:
    """Run ``main`` on ``loop`` and close it."""
    try:
        return loop.run_until_complete(main)
    finally:
        loop.close()
