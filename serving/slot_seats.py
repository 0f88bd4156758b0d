"""Who gets the slots: rows in turns of their clients, and searches, which need several at once."""

import heapq
from collections.abc import Iterator, Sequence

from serving.errors import InvalidInput
from serving.fair_queue import FairQueue
from serving.slot_units import Unit


class Seats:
    """Slots and the queue in front of them.

    A search collects its slots while others still run. Until it has all, it and what waits take
    every other slot that comes free, so neither starves; and only one collects at a time, so two
    never wait for each other.
    """

    def __init__(self, slots: int, max_waiting_rows: int, widest: int) -> None:
        """Give out ``slots`` slots, to units of at most ``widest`` rows."""
        self._slots = slots
        self._widest = widest
        self._free = list(range(slots))
        """A heap: the lowest slot is given first, so that a table in little use stays compact."""
        self._queue: FairQueue[Unit] = FairQueue(max_waiting_rows)
        self._collecting: Unit | None = None
        self._queue_has_turn = False

    @property
    def waiting_rows(self) -> int:
        """Rows without a slot."""
        return self._queue.rows + self._missing

    @property
    def active_rows(self) -> int:
        """Rows with a slot."""
        return self._slots - len(self._free)

    def enqueue(self, units: Sequence[Unit]) -> None:
        """Let the units of one request wait, all or none. Raises QueueFull, InvalidInput."""
        for unit in units:
            if unit.width > self._widest:
                raise InvalidInput(
                    f"a beam search of width {unit.width} exceeds the {self._widest} rows that the "
                    "server runs at once"
                )
        self._queue.push(units, spare=len(self._free) - self._missing)

    def admit(self) -> Iterator[Unit]:
        """Give out what is free.

        Yields:
            Each unit when it gets its first slot, and one of several when it has its last.
        """
        while self._free:
            unit = self._next()
            if unit is None:
                return
            unit.slots.append(heapq.heappop(self._free))
            if unit.seated:
                if unit is self._collecting:
                    self._collecting = None
                yield unit
            elif unit is not self._collecting:
                self._collecting = unit
                yield unit

    def leave(self, unit: Unit) -> None:
        """Take ``unit`` out of the queue, or its slots back."""
        self._queue.remove(unit)
        for slot in unit.slots:
            heapq.heappush(self._free, slot)
        unit.slots.clear()
        if unit is self._collecting:
            self._collecting = None

    @property
    def _missing(self) -> int:
        """Slots that the collecting search still wants."""
        search = self._collecting
        return 0 if search is None else search.width - len(search.slots)

    def _next(self) -> Unit | None:
        """Who gets the next slot."""
        search = self._collecting
        if search is None:
            return self._queue.pop()
        self._queue_has_turn = not self._queue_has_turn
        unit = self._queue.pop(_is_narrow) if self._queue_has_turn else None
        return search if unit is None else unit


def _is_narrow(unit: Unit) -> bool:
    return unit.width == 1
