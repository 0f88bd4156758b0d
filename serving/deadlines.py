"""Things that run out of time, the next of them always at hand."""

import heapq
import itertools
from typing import ClassVar, Generic, TypeVar

ItemT = TypeVar("ItemT")


class Deadlines(Generic[ItemT]):
    """Items and the monotonic times at which they are due.

    Items are told apart by identity or hash. One that is discarded costs constant time, and is let
    go of after at most as many others as are still here.
    """

    sweep_from: ClassVar[int] = 64
    """Discarded items that may lie about, from which on they are swept out."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, ItemT]] = []
        self._live: dict[ItemT, int] = {}
        """Item -> the number of its valid place in the heap."""
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return len(self._live)

    def add(self, item: ItemT, time: float) -> None:
        """Let ``item`` be due at ``time``; a time that it had before no longer counts."""
        self.discard(item)
        number = next(self._numbers)
        self._live[item] = number
        heapq.heappush(self._heap, (time, number, item))

    def discard(self, item: ItemT) -> None:
        """Forget ``item``, if it is known."""
        if self._live.pop(item, None) is None:
            return
        if len(self._heap) - len(self._live) >= max(self.sweep_from, len(self._live)):
            self._sweep()

    def next(self) -> float | None:
        """When the first item is due; None if there is none."""
        while self._heap and not self._is_live(self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def pop_due(self, now: float) -> list[ItemT]:
        """Take out the items due at ``now`` or before, the earliest first."""
        due = []
        while (time := self.next()) is not None and time <= now:
            item = heapq.heappop(self._heap)[2]
            del self._live[item]
            due.append(item)
        return due

    def _is_live(self, place: tuple[float, int, ItemT]) -> bool:
        return self._live.get(place[2]) == place[1]

    def _sweep(self) -> None:
        self._heap = [place for place in self._heap if self._is_live(place)]
        heapq.heapify(self._heap)
