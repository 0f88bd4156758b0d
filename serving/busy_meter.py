"""How busy something is: seconds of work in all, and the share of the last seconds that was work.

Utilisation as in queueing theory: the time that servers spend working over the time that they have
(Kleinrock 1975, "Queueing systems", volume 1, section 2.1).
"""

import threading
import time
from collections import deque
from collections.abc import Callable

WINDOW_S = 15.0
"""Seconds over which utilisation is measured: the period in which Kubernetes' autoscaler looks."""
STEP_S = 1.0
"""Time between remembered points, about: how finely the window's beginning is known."""


class Window:
    """A total that grows, remembered for the last ``WINDOW_S`` seconds."""

    def __init__(self, now: float, total: float = 0.0) -> None:
        """Begin at time ``now``, monotonic seconds, with ``total``."""
        self._points: deque[tuple[float, float]] = deque([(now, total)])

    def note(self, now: float, total: float) -> None:
        """Remember the total at ``now``; of points nearer than ``STEP_S``, the last stays.

        After this, until it is called again, the total must grow evenly.
        """
        points = self._points
        if len(points) > 1 and points[-1][0] - points[-2][0] < STEP_S:
            points.pop()
        points.append((now, total))
        while len(points) > 1 and points[1][0] <= now - WINDOW_S:
            points.popleft()

    def rate(self, now: float, total: float) -> float:
        """Growth a second over the window that ends ``now``, or since the beginning if later."""
        first = self._points[0][0]
        start = max(first, now - WINDOW_S)
        return (total - self._at(start, now, total)) / (now - start) if now > start else 0.0

    def _at(self, moment: float, now: float, total: float) -> float:
        """The total at ``moment``, on a straight line between the points around it."""
        before = self._points[0]
        for point in [*self._points, (now, total)]:
            if point[0] >= moment:
                span = point[0] - before[0]
                share = (moment - before[0]) / span if span > 0 else 1.0
                return before[1] + share * (point[1] - before[1])
            before = point
        return total


class BusyMeter:
    """Counts the jobs that run at once over ``capacity`` places. Any thread may call it."""

    def __init__(self, capacity: int, clock: Callable[[], float] = time.monotonic) -> None:
        """``capacity``: jobs that can run at once, >= 1."""
        self.capacity = capacity
        self._clock = clock
        self._lock = threading.Lock()
        self._running = 0
        self._busy_s = 0.0
        """Up to ``_changed``."""
        self._changed = clock()
        self._window = Window(self._changed)

    def begin(self) -> None:
        """A job starts."""
        self._change(1)

    def end(self) -> None:
        """A job is done."""
        self._change(-1)

    def busy_seconds(self) -> float:
        """Seconds of work, summed over the places."""
        with self._lock:
            return self._busy_s + self._running * (self._clock() - self._changed)

    def utilization(self) -> float:
        """Busy places over all places, a mean over the last ``WINDOW_S`` seconds, 0 to 1."""
        with self._lock:
            now = self._clock()
            total = self._busy_s + self._running * (now - self._changed)
            return min(1.0, self._window.rate(now, total) / self.capacity)

    def _change(self, jobs: int) -> None:
        with self._lock:
            now = self._clock()
            self._busy_s += self._running * (now - self._changed)
            self._changed = now
            self._running += jobs
            self._window.note(now, self._busy_s)


class LoopMeter:
    """CPU time of the thread that runs the event loop. To be called on that thread alone.

    A server of small models is full when this thread is, long before its engine.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        cpu_clock: Callable[[], float] = time.thread_time,
    ) -> None:
        """``cpu_clock``: CPU seconds of the calling thread."""
        self._clock = clock
        self._cpu_clock = cpu_clock
        self._start = cpu_clock()
        self._window = Window(clock())

    def tick(self) -> None:
        """Remember where the clocks stand; to be called about once in ``STEP_S`` seconds."""
        self._window.note(self._clock(), self.cpu_seconds())

    def cpu_seconds(self) -> float:
        """CPU seconds since this object was made."""
        return self._cpu_clock() - self._start

    def utilization(self) -> float:
        """CPU seconds a second, a mean over the last ``WINDOW_S`` seconds, 0 to 1."""
        return min(1.0, self._window.rate(self._clock(), self.cpu_seconds()))
