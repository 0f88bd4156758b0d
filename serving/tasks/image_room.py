"""Room for the pictures that large requests have ahead, so that they leave the queue to others."""

import asyncio
from collections import OrderedDict


class RowRoom:
    """Lets rows in as long as there is room; who waits is let in as he came. On one event loop."""

    def __init__(self, rows: int) -> None:
        """Room for ``rows`` rows; who has more gets in when nobody else is."""
        self._room = rows
        self._inside = 0
        self._waiting: OrderedDict[asyncio.Future[None], int] = OrderedDict()

    @property
    def inside(self) -> int:
        """Rows that are in."""
        return self._inside

    async def enter(self, rows: int, timeout_s: float | None = None) -> None:
        """Wait for room, and be in it until ``leave``.

        Raises:
            TimeoutError: there was none within ``timeout_s`` seconds.
        """
        if not self._waiting and self._fits(rows):
            self._inside += rows
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting[turn] = rows
        try:
            async with asyncio.timeout(timeout_s):
                await turn
        except BaseException:
            if self._waiting.pop(turn, None) is None:
                self.leave(rows)  # let in and given up at the same moment
            else:
                self._let_in()
            raise

    def leave(self, rows: int) -> None:
        """These rows are done."""
        self._inside -= rows
        self._let_in()

    def _fits(self, rows: int) -> bool:
        return self._inside == 0 or self._inside + rows <= self._room

    def _let_in(self) -> None:
        while self._waiting:
            turn, rows = next(iter(self._waiting.items()))
            if not self._fits(rows):
                return
            del self._waiting[turn]
            self._inside += rows
            if not turn.done():
                turn.set_result(None)
