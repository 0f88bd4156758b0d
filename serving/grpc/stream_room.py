"""How much one stream may hold, and waiting until it holds less."""

import asyncio
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """What one stream may hold."""

    requests: int
    """Requests in work or with answers that are not written, >= 1."""
    bytes: int
    """Encoded size of these and of the whole answers that wait for their turn. A stream that holds
    nothing takes a request of any size."""


class Room:
    """Counts what a stream holds; one task waits at most."""

    def __init__(self, limits: StreamLimits) -> None:
        self._limits = limits
        self._requests = 0
        self._bytes = 0
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._left_at = self._loop.time()

    async def enter(self, size: int) -> None:
        """Wait until a request of ``size`` bytes may come in."""
        while self._requests and (
            self._requests >= self._limits.requests or self._bytes + size > self._limits.bytes
        ):
            self._changed.clear()
            await self._changed.wait()
        self._requests += 1
        self._bytes += size

    def hold(self, size: int) -> None:
        """Count bytes of an answer, negative once they are written."""
        self._bytes += size
        self._changed.set()

    def leave(self, size: int) -> None:
        """A request of ``size`` bytes has been answered."""
        self._requests -= 1
        self._left_at = self._loop.time()
        self.hold(-size)

    def empty_for(self) -> float:
        """Seconds for which no request has been here."""
        return 0.0 if self._requests else self._loop.time() - self._left_at
