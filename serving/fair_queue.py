"""A bounded queue in which clients take turns: one who sends much does not hold up the others."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from serving.errors import QueueFull


class Waiter(Protocol):
    """What may stand in the queue; told apart by hash."""

    @property
    def client(self) -> str:
        """Whose it is."""
        ...

    @property
    def width(self) -> int:
        """Rows that it counts for, >= 1."""
        ...


WaiterT = TypeVar("WaiterT", bound=Waiter)


class FairQueue(Generic[WaiterT]):
    """Round robin over clients; first in, first out within one.

    Each operation costs constant time, but for ``pop`` where heads of lines do not fit.
    """

    def __init__(self, max_rows: int) -> None:
        """Let ``max_rows`` rows wait at most."""
        self._max_rows = max_rows
        self._rows = 0
        self._lines: OrderedDict[str, OrderedDict[WaiterT, None]] = OrderedDict()
        """Client -> its line, never empty; the first client is the next to be served."""

    @property
    def rows(self) -> int:
        """Rows that wait."""
        return self._rows

    def push(self, items: Sequence[WaiterT], *, spare: int = 0) -> None:
        """Let all of ``items`` wait, or none.

        Args:
            items: in their order; not in the queue yet.
            spare: rows that will leave at once, and so do not count; negative: so many more count.

        Raises:
            QueueFull: more rows would wait than may. Where none waits any number may, for else a
                large request could never be served.
        """
        rows = sum(item.width for item in items)
        waiting = self._rows - spare
        if waiting > 0 and waiting + rows > self._max_rows:
            raise QueueFull(
                f"Exceeds maximum queue size: {waiting} rows wait, {self._max_rows} may"
            )
        for item in items:
            self._lines.setdefault(item.client, OrderedDict())[item] = None
        self._rows += rows

    def pop(self, fits: Callable[[WaiterT], bool] = lambda _: True) -> WaiterT | None:
        """Take out the head of the next client's line, and let that client be the last from now on.

        A client whose head does not fit is passed over, but keeps its turn.

        Returns:
            None if no head fits.
        """
        for line in self._lines.values():
            item = next(iter(line))
            if fits(item):
                self._take(item, line)
                return item
        return None

    def remove(self, item: WaiterT) -> bool:
        """Take ``item`` out, wherever it stands; False if it does not wait here."""
        line = self._lines.get(item.client)
        if line is None or item not in line:
            return False
        del line[item]
        if not line:
            del self._lines[item.client]
        self._rows -= item.width
        return True

    def _take(self, item: WaiterT, line: OrderedDict[WaiterT, None]) -> None:
        self.remove(item)
        if line:
            self._lines.move_to_end(item.client)
