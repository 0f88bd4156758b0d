"""Turns Ctrl-C and SIGTERM into a request to stop at the next step."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stop_on_signal() -> Iterator[Callable[[], bool]]:
    """While open, SIGINT and SIGTERM set the flag that the given function reads.

    A second signal of the same kind acts as it did before, so an impatient user still gets out.
    Only the main thread may open it (``signal.signal`` raises ValueError elsewhere).
    """
    received: list[int] = []
    signals = (signal.SIGINT, signal.SIGTERM)
    previous = {number: signal.getsignal(number) for number in signals}

    def note(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        signal.signal(number, previous[signal.Signals(number)])

    for number in signals:
        signal.signal(number, note)
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
