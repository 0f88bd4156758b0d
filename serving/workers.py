"""Threads that run the engine, shared by the models of a device."""

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Protocol, TypeVar

from serving.busy_meter import BusyMeter

ResultT = TypeVar("ResultT")

Job = Callable[[], None]


class Workers(Protocol):
    """Runs jobs on threads."""

    def submit(
        self,
        run: Callable[[], ResultT],
        done: Callable[[ResultT], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Call ``run`` on a thread, then ``done`` with its result on ``loop``.

        ``run`` must not raise: what can go wrong is part of its result.
        """
        ...


class WorkerPool:
    """``threads`` threads that run jobs in the order given and report to the event loop.

    A future a job, as ``concurrent.futures`` makes, costs more than the pool itself does here: a
    job is a function, and its result is handed to a callback on the loop.
    """

    def __init__(self, threads: int, name: str = "engine") -> None:
        self.threads = threads
        self.meter = BusyMeter(threads)
        """Of the threads."""
        self._name = name
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._started: list[threading.Thread] = []

    def start(self) -> None:
        """Start the threads."""
        for number in range(self.threads):
            thread = threading.Thread(target=self._work, name=f"{self._name}-{number}", daemon=True)
            thread.start()
            self._started.append(thread)

    def submit(
        self,
        run: Callable[[], ResultT],
        done: Callable[[ResultT], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """See ``Workers.submit``."""

        def job() -> None:
            loop.call_soon_threadsafe(done, run())

        self._jobs.put(job)

    def stop(self) -> None:
        """Let the threads end once the jobs given so far are done, and wait for them."""
        for _ in self._started:
            self._jobs.put(None)
        for thread in self._started:
            thread.join()
        self._started.clear()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            self.meter.begin()
            job()
            self.meter.end()


class MeteredPool:
    """``pool``, as one model uses it: what runs there is measured."""

    def __init__(self, pool: Workers, meter: BusyMeter) -> None:
        self._pool = pool
        self._meter = meter

    def submit(
        self,
        run: Callable[[], ResultT],
        done: Callable[[ResultT], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """See ``Workers.submit``."""

        def metered() -> ResultT:
            self._meter.begin()
            try:
                return run()
            finally:
                self._meter.end()

        self._pool.submit(metered, done, loop)
