"""The dynamic batcher's rules, as a synchronous state machine with an injected time.

Requests of equal shape form a line; a line's batch leaves when it is full, when it hits a preferred
size, when its oldest request has waited ``max_delay_s``, or when the next request would not fit.
Times are monotonic seconds.
"""

import heapq
import itertools
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import ClassVar, Generic, TypeVar

from serving.errors import QueueFull

PayloadT = TypeVar("PayloadT")

RETRY_AFTER_S = 1.0
"""What a client is told to wait when the queue is full."""

COMPANY_DECAY = 31 / 32
"""What is left after a batch of the memory of how many requests were here at once: when seven of
eight clients leave, the eighth waits in vain for some fifty batches, each time shorter than
``gather_s``."""

LARGEST_SHARE = 8
"""Requests beyond which waiting for more company gains next to nothing: the cost of a run is then
spread over enough of them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueRules:
    """When batches leave, and how much may wait."""

    max_rows: int
    """Rows of one batch, >= 1."""
    preferred_rows: tuple[int, ...] = ()
    """Batch sizes that leave at once, each in 1..max_rows."""
    max_delay_s: float = 0.0
    """Longest wait of a line's oldest request for company; 0: see ``gather_s``."""
    gather_s: float = 0.0
    """The same if ``max_delay_s`` is 0, but only until as many requests wait as were here together
    a moment ago, divided by ``groups``; so one client alone never waits. 0: never wait."""
    groups: int = 1
    """Batches that may run at once. Clients that all travel in one batch would leave the engine
    idle while they are answered, so their company is split in so many."""
    max_queued_rows: int = 1024
    """Rows that may wait, >= 1."""
    join: bool = True
    """False: every request is a batch of its own."""


@dataclass(eq=False, slots=True)
class Entry(Generic[PayloadT]):
    """One waiting request."""

    payload: PayloadT
    rows: int
    key: Hashable
    """Requests join only if their keys are equal."""
    arrived: float
    expires: float | None
    waiting: bool = field(default=True, init=False)
    """False once taken, cancelled or expired. Such entries are skipped where they lie, because
    removing one from the middle of a line costs its whole length."""


class BatchQueue(Generic[PayloadT]):
    """Waiting requests, and the rules by which they leave as batches."""

    sweep_from: ClassVar[int] = 64
    """Requests that left but may still lie in the queue, from which on they are swept out."""

    def __init__(self, rules: QueueRules) -> None:
        self._rules = rules
        self._lines: dict[Hashable, deque[Entry[PayloadT]]] = {}
        self._expiries: list[tuple[float, int, Entry[PayloadT]]] = []
        self._sequence = itertools.count()
        self._rows = 0
        self._requests = 0
        self._left = 0
        self._taken = 0
        """Requests that left as part of a batch which has not been reported finished."""
        self._company = 0.0
        """How many requests have recently been here at once, waiting or taken."""

    @property
    def requests(self) -> int:
        """Requests that wait."""
        return self._requests

    @property
    def rows(self) -> int:
        """Rows that wait."""
        return self._rows

    def oldest(self) -> float | None:
        """When the request arrived that has waited longest; None if none waits."""
        firsts = (next((e for e in line if e.waiting), None) for line in self._lines.values())
        return min((first.arrived for first in firsts if first), default=None)

    def push(self, entry: Entry[PayloadT]) -> None:
        """Append to the line of its key.

        Raises:
            QueueFull: its rows would exceed ``max_queued_rows``. An empty queue takes any request.
        """
        if self._rows and self._rows + entry.rows > self._rules.max_queued_rows:
            raise QueueFull(
                f"Exceeds maximum queue size: {self._rows} rows wait, "
                f"{self._rules.max_queued_rows} may",
                retry_after_s=RETRY_AFTER_S,
            )
        self._lines.setdefault(entry.key, deque()).append(entry)
        self._rows += entry.rows
        self._requests += 1
        self._company = max(self._company, self._requests + self._taken)
        if entry.expires is not None:
            heapq.heappush(self._expiries, (entry.expires, next(self._sequence), entry))

    def cancel(self, entry: Entry[PayloadT]) -> bool:
        """Take ``entry`` out of the queue; False if it had left already."""
        if not entry.waiting:
            return False
        self._leave(entry)
        return True

    def expire(self, now: float) -> list[Entry[PayloadT]]:
        """Take out and return the requests whose time has run out."""
        expired = []
        while self._expiries and (self._expiries[0][0] <= now or not self._expiries[0][2].waiting):
            entry = heapq.heappop(self._expiries)[2]
            if entry.waiting:
                self._leave(entry)
                expired.append(entry)
        return expired

    def take(self, now: float, free: int = 1) -> list[Entry[PayloadT]]:
        """The next batch that may leave, the one with the oldest request first; [] for none.

        Args:
            now: monotonic seconds.
            free: batches that may start now. Where no delay or size is prescribed, several shares
                of the company are divided among them: two halves at once are done before one whole.
        """
        most = self._rows_to_take(free)
        best: list[Entry[PayloadT]] = []
        for key in list(self._lines):
            batch = self._ready_batch(key, now, most)
            if batch and (not best or batch[0].arrived < best[0].arrived):
                best = batch
        for entry in best:
            self._leave(entry)
        if best:
            self._taken += len(best)
            self._company = max(self._company * COMPANY_DECAY, self._requests + self._taken)
        return best

    def finished(self, requests: int) -> None:
        """Report that a batch of so many ``requests`` has been run."""
        self._taken -= requests

    def next_departure(self) -> float | None:
        """When a batch may leave by the passing of time alone; None if nothing waits."""
        heads = [line[0].arrived for line in self._live_lines()]
        return min(heads) + self._delay_s() if heads else None

    def next_expiry(self) -> float | None:
        """When the next waiting request runs out of time; None if none has a limit."""
        while self._expiries and not self._expiries[0][2].waiting:
            heapq.heappop(self._expiries)
        return self._expiries[0][0] if self._expiries else None

    def drop_all(self) -> list[Entry[PayloadT]]:
        """Take out and return everything that waits."""
        dropped = [entry for line in self._lines.values() for entry in line if entry.waiting]
        for entry in dropped:
            self._leave(entry)
        self._lines.clear()
        self._expiries.clear()
        return dropped

    def _rows_to_take(self, free: int) -> int:
        """How many rows the next batch should have, if that many wait."""
        rules = self._rules
        if rules.max_delay_s > 0 or rules.preferred_rows:
            return rules.max_rows
        shares = round(self._requests / self._share())
        pieces = max(1, min(free, shares))
        return min(rules.max_rows, -(-self._rows // pieces))

    def _delay_s(self) -> float:
        """How long a line's oldest request waits for company just now."""
        if self._rules.max_delay_s > 0:
            return self._rules.max_delay_s
        share_is_here = self._requests + 0.5 >= self._share()
        all_are_here = self._requests + self._taken + 0.5 >= self._company
        return 0.0 if share_is_here or all_are_here else self._rules.gather_s

    def _share(self) -> float:
        """Requests that are worth waiting for: a group's part of the company, within reason."""
        return min(max(1.0, self._company / self._rules.groups), float(LARGEST_SHARE))

    def _leave(self, entry: Entry[PayloadT]) -> None:
        entry.waiting = False
        self._rows -= entry.rows
        self._requests -= 1
        self._left += 1
        if self._left >= max(self.sweep_from, self._requests):
            self._sweep()

    def _sweep(self) -> None:
        """Let go of what has left, wherever it lies; constant cost for each request that leaves.

        Otherwise requests that were given up behind one that waits would pile up with their data.
        """
        self._left = 0
        self._expiries = [item for item in self._expiries if item[2].waiting]
        heapq.heapify(self._expiries)
        lines = {key: deque(e for e in line if e.waiting) for key, line in self._lines.items()}
        self._lines = {key: line for key, line in lines.items() if line}

    def _live_lines(self) -> list[deque[Entry[PayloadT]]]:
        """Lines with a waiting head; emptied lines are forgotten on the way."""
        for key, line in list(self._lines.items()):
            while line and not line[0].waiting:
                line.popleft()
            if not line:
                del self._lines[key]
        return list(self._lines.values())

    def _ready_batch(self, key: Hashable, now: float, most: int) -> list[Entry[PayloadT]]:
        """The batch of about ``most`` rows that the line of ``key`` would send now, or []."""
        line = self._lines[key]
        while line and not line[0].waiting:
            line.popleft()
        if not line:
            del self._lines[key]
            return []
        if not self._rules.join:
            return [line[0]]
        batch, rows, blocked = self._gather(line, most)
        waited_enough = now >= line[0].arrived + self._delay_s()
        if waited_enough or blocked or rows >= self._rules.max_rows:
            return batch
        return self._preferred_prefix(batch)

    def _gather(
        self, line: deque[Entry[PayloadT]], most: int
    ) -> tuple[list[Entry[PayloadT]], int, bool]:
        """Requests in order until they have ``most`` rows; their rows; whether one did not fit."""
        batch: list[Entry[PayloadT]] = []
        rows = 0
        for entry in line:
            if not entry.waiting:
                continue
            if batch and rows + entry.rows > self._rules.max_rows:
                return batch, rows, True
            batch.append(entry)
            rows += entry.rows
            if rows >= most:
                break
        return batch, rows, False

    def _preferred_prefix(self, batch: list[Entry[PayloadT]]) -> list[Entry[PayloadT]]:
        """The longest beginning of ``batch`` whose rows are a preferred size, or []."""
        best: list[Entry[PayloadT]] = []
        rows = 0
        for count, entry in enumerate(batch, start=1):
            rows += entry.rows
            if rows in self._rules.preferred_rows:
                best = batch[:count]
        return best
