"""A sequence's requests, its life from the first of them to the last, and the lines of the ready.

See ``sequences`` for the rules that these serve.
"""

import math
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from serving.errors import ServingError
from serving.scheduler import SequenceStep

PayloadT = TypeVar("PayloadT")

SMALLEST_SHARE = 4
"""Steps below which a run is not divided among free instances."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SequenceRules:
    """How many sequences live, how long, and when their steps leave."""

    slots: int
    """Sequences that have a state at once, >= 1."""
    max_rows: int = 1
    """Steps of one run, >= 1."""
    enough_rows: int = 1
    """Steps that leave at once, in 1..max_rows; fewer wait for ``max_delay_s``."""
    max_delay_s: float = 0.0
    """Longest wait of a step that could run for others to join it."""
    max_idle_s: float = 1.0
    """Time without a step after which a sequence is forgotten."""
    max_queued_steps: int = 1024
    """Steps that may wait, >= 1: so many of sequences with a slot, and so many of others."""


@dataclass(eq=False, slots=True)
class Step(Generic[PayloadT]):
    """One request of a sequence."""

    payload: PayloadT
    sequence: SequenceStep
    key: Hashable
    """Steps join only if their keys are equal."""
    arrived: float
    expires: float | None
    waiting: bool = field(default=False, init=False)
    """Pushed, and neither taken nor dropped."""
    owner: "Life[PayloadT] | None" = field(default=None, init=False)
    """Set once pushed."""


Dropped = list[tuple[Step[PayloadT], ServingError]]
"""Steps that will never run, and what to tell their callers."""


@dataclass(frozen=True, slots=True)
class Planned(Generic[PayloadT]):
    """The steps of one run, and for each the slot of its sequence."""

    steps: tuple[Step[PayloadT], ...]
    slots: tuple[int, ...]


@dataclass(eq=False, slots=True)
class Life(Generic[PayloadT]):
    """A sequence, from the step that begins it; an id that is begun again has another life."""

    id: int | str
    slot: int | None = None
    pending: OrderedDict[Step[PayloadT], None] = field(default_factory=OrderedDict)
    running: bool = False
    closing: bool = False
    """Takes no more steps; over once those it has are done."""
    offered: Hashable = None
    """Key of the line in which its first step stands ready."""
    ready_at: float | None = None
    """Since when that step could run; None: it cannot."""
    behind: bool = False
    """An earlier life of the same id is not over yet."""
    takes_over: bool = False
    """Began while that one still took steps, so its slot is passed on."""
    successor: "Life[PayloadT] | None" = None

    @property
    def over(self) -> bool:
        """Whether nothing is left of it but its slot."""
        return self.closing and not self.running and not self.pending and not self.behind


class ReadyLines(Generic[PayloadT]):
    """Lives with a step that could run now: a line for each key, in the order they became ready."""

    def __init__(self, rules: SequenceRules) -> None:
        self._rules = rules
        self._lines: dict[Hashable, OrderedDict[Life[PayloadT], None]] = {}

    def offer(self, life: Life[PayloadT], now: float) -> None:
        """Put a life into the line of its first step, if that could run and is in none."""
        could_run = life.slot is not None and not life.running and life.pending
        if could_run and life.ready_at is None:
            life.offered = next(iter(life.pending)).key
            life.ready_at = now
            self._lines.setdefault(life.offered, OrderedDict())[life] = None

    def recall(self, life: Life[PayloadT]) -> None:
        """Take a life out of its line, if it is in one."""
        if life.ready_at is not None:
            life.ready_at = None
            line = self._lines[life.offered]
            del line[life]
            if not line:
                del self._lines[life.offered]

    def leaving(self, now: float, free: int) -> list[Life[PayloadT]]:
        """Those whose steps make the next run, were it to leave now; [] if none may."""
        best: OrderedDict[Life[PayloadT], None] = OrderedDict()
        oldest = math.inf
        for line in self._lines.values():
            ready_at = _first(line)
            enough = len(line) >= self._rules.enough_rows
            if (enough or now >= ready_at + self._rules.max_delay_s) and ready_at < oldest:
                best, oldest = line, ready_at
        return list(best)[: self._rows_to_take(len(best), free)]

    def next_departure(self) -> float | None:
        """When a run may leave by the passing of time alone; None if no step could run."""
        oldest = min((_first(line) for line in self._lines.values()), default=None)
        return None if oldest is None else oldest + self._rules.max_delay_s

    def clear(self) -> None:
        """Forget all."""
        self._lines.clear()

    def _rows_to_take(self, ready: int, free: int) -> int:
        if self._rules.max_delay_s > 0:
            return self._rules.max_rows
        return min(self._rules.max_rows, max(-(-ready // max(1, free)), SMALLEST_SHARE))


def _first(line: OrderedDict[Life[PayloadT], None]) -> float:
    """Since when the first of a line could run."""
    ready_at = next(iter(line)).ready_at
    return -math.inf if ready_at is None else ready_at
