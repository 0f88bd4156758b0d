"""The rules of stateful models, as a synchronous state machine with an injected time.

A sequence is a chain of requests (steps) that share a hidden state. A live sequence holds a slot,
in which its state lies; while all slots are taken, new ones wait in the backlog. Steps of one
sequence run one after the other, in the order they came; steps of different sequences travel in one
run if their keys are equal. Times are monotonic seconds.

What becomes of a sequence when a step does not run:

* A step that is given up or runs out of time while it waits never happened.
* A step that fails leaves the state as it was, and the sequence goes on.
* If that step was to begin the sequence, there is no state to go on from: the steps behind it are
  refused, as is every other one until the sequence is begun again.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Generic

from serving.batch_queue import RETRY_AFTER_S
from serving.deadlines import Deadlines
from serving.errors import DeadlineExceeded, InvalidInput, QueueFull
from serving.sequence_life import Dropped, Life, PayloadT, Planned, ReadyLines, SequenceRules, Step


class Sequences(Generic[PayloadT]):
    """Live sequences, their waiting steps, and the rules by which these leave as runs."""

    def __init__(self, model: str, rules: SequenceRules) -> None:
        """``model`` is the name that errors tell."""
        self._model = model
        self._rules = rules
        self._latest: dict[int | str, Life[PayloadT]] = {}
        """Id -> its latest life."""
        self._backlog: OrderedDict[Life[PayloadT], None] = OrderedDict()
        self._free = list(reversed(range(rules.slots)))
        self._ready: ReadyLines[PayloadT] = ReadyLines(rules)
        self._idle: OrderedDict[Life[PayloadT], float] = OrderedDict()
        """Sequences without a step -> since when; the longest idle first."""
        self._expiries: Deadlines[Step[PayloadT]] = Deadlines()
        self._waiting: dict[Step[PayloadT], None] = {}
        self._stalled = 0
        """Those of them whose sequence has no slot yet."""

    @property
    def steps(self) -> int:
        """Steps that wait."""
        return len(self._waiting)

    @property
    def oldest(self) -> float | None:
        """When the step arrived that has waited longest; None if none waits."""
        first = next(iter(self._waiting), None)
        return None if first is None else first.arrived

    @property
    def live(self) -> int:
        """Sequences that hold a slot."""
        return self._rules.slots - len(self._free)

    @property
    def backlog(self) -> int:
        """Sequences that wait for a slot."""
        return len(self._backlog)

    def push(self, step: Step[PayloadT], now: float) -> None:
        """Take a step; ``expire(now)`` must have been called.

        Raises:
            InvalidInput: it does not begin a sequence, and its id is of none that lives.
            QueueFull: as many steps wait as may.
        """
        owner = self._latest.get(step.sequence.id)
        if not step.sequence.start and (owner is None or owner.closing):
            raise self._not_begun(step)
        self._check_room(stalled=step.sequence.start or owner is None or owner.slot is None)
        if owner is None or step.sequence.start:
            owner = self._begin(step.sequence.id, owner, now)
        owner.pending[step] = None
        owner.closing = owner.closing or step.sequence.end
        step.owner, step.waiting = owner, True
        self._waiting[step] = None
        self._stalled += owner.slot is None
        self._idle.pop(owner, None)
        if step.expires is not None:
            self._expiries.add(step, step.expires)
        self._admit(now)
        self._ready.offer(owner, now)

    def take(self, now: float, free: int = 1) -> Planned[PayloadT] | None:
        """The next run that may leave, the one that could have left longest ago first.

        Args:
            now: monotonic seconds.
            free: runs that may start now. Where no wait is prescribed, steps are divided among
                them: two halves at once are done before one whole.
        """
        lives = self._ready.leaving(now, free)
        if not lives:
            return None
        return Planned(
            tuple(self._start(life) for life in lives), tuple(_slot(life) for life in lives)
        )

    def finished(
        self, planned: Planned[PayloadT], succeeded: Sequence[bool], now: float
    ) -> Dropped[PayloadT]:
        """Report what became of a run, step by step; the steps that can no longer run."""
        dropped: Dropped[PayloadT] = []
        for step, good in zip(planned.steps, succeeded, strict=True):
            owner = _owner(step)
            owner.running = False
            if step.sequence.start and not good:
                dropped += self._void(owner)
            self._settle(owner, now)
        return dropped

    def cancel(self, step: Step[PayloadT], now: float) -> Dropped[PayloadT]:
        """Give up a step, unless it runs or has run; the others that can no longer run."""
        return self._withdraw(step, now) if step.waiting else []

    def expire(self, now: float) -> Dropped[PayloadT]:
        """Forget what is out of time: steps that waited too long, and idle sequences."""
        dropped: Dropped[PayloadT] = []
        for step in self._expiries.pop_due(now):
            if step.waiting:  # not dropped meanwhile, with the step that began its sequence
                waited_s = now - step.arrived
                text = f"Request timeout expired after {waited_s:.3f} s in the queue"
                dropped.append((step, DeadlineExceeded(text)))
                dropped += self._withdraw(step, now)
        while self._idle and self._first_idle_expiry() <= now:
            life, _ = self._idle.popitem(last=False)
            life.closing = True
            self._retire(life, now)
        return dropped

    def next_expiry(self) -> float | None:
        """When ``expire`` will have something to do; None for never."""
        times = [self._first_idle_expiry()] if self._idle else []
        if (due := self._expiries.next()) is not None:
            times.append(due)
        return min(times, default=None)

    def next_departure(self) -> float | None:
        """When a run may leave by the passing of time alone; None if no step could run."""
        return self._ready.next_departure()

    def drop_all(self) -> list[Step[PayloadT]]:
        """Take out and return every step that waits. Nothing may be pushed hereafter."""
        dropped = list(self._waiting)
        for step in dropped:
            owner = _owner(step)
            owner.closing = True
            self._drop(step)
        self._ready.clear()
        self._backlog.clear()
        self._idle.clear()
        return dropped

    def _begin(
        self, name: int | str, previous: Life[PayloadT] | None, now: float
    ) -> Life[PayloadT]:
        """A new life of the id, after the one before."""
        life: Life[PayloadT] = Life(name)
        self._latest[name] = life
        if previous is None:
            self._backlog[life] = None
            return life
        life.behind = True
        life.takes_over = not previous.closing
        previous.successor = life
        previous.closing = True
        self._settle(previous, now)
        return life

    def _admit(self, now: float) -> None:
        """Give free slots to those who have waited longest."""
        while self._free and self._backlog:
            life, _ = self._backlog.popitem(last=False)
            self._seat(life, self._free.pop(), now)

    def _seat(self, life: Life[PayloadT], slot: int, now: float) -> None:
        """Give a slot to a sequence that waited for one."""
        life.slot = slot
        self._stalled -= len(life.pending)
        self._ready.offer(life, now)

    def _check_room(self, *, stalled: bool) -> None:
        """Raise QueueFull if one more step may not wait.

        Sequences that wait for a slot and those that have one are counted apart: else a long
        backlog would refuse the very steps that end a sequence and make room.
        """
        waiting = self._stalled if stalled else len(self._waiting) - self._stalled
        if waiting >= self._rules.max_queued_steps:
            whose = "without a slot" if stalled else "with a slot"
            raise QueueFull(
                f"Exceeds maximum queue size: {waiting} requests of sequences {whose} wait, "
                f"{self._rules.max_queued_steps} may",
                retry_after_s=RETRY_AFTER_S,
            )

    def _start(self, life: Life[PayloadT]) -> Step[PayloadT]:
        """Take the first step of a sequence, which runs from now on."""
        step = next(iter(life.pending))
        self._ready.recall(life)
        self._drop(step)
        life.running = True
        return step

    def _drop(self, step: Step[PayloadT]) -> None:
        """Let a step wait no longer."""
        step.waiting = False
        owner = _owner(step)
        self._stalled -= owner.slot is None
        del self._waiting[step]
        del owner.pending[step]
        self._expiries.discard(step)

    def _withdraw(self, step: Step[PayloadT], now: float) -> Dropped[PayloadT]:
        """Take out a step that waits, and with one that begins a sequence all behind it."""
        owner = _owner(step)
        if next(iter(owner.pending)) is step:
            self._ready.recall(owner)
        self._drop(step)
        dropped = self._void(owner) if step.sequence.start else []
        self._settle(owner, now)
        return dropped

    def _void(self, life: Life[PayloadT]) -> Dropped[PayloadT]:
        """End a sequence that could not be begun."""
        life.closing = True
        steps = list(life.pending)
        for step in steps:
            self._drop(step)
        return [(step, self._not_begun(step)) for step in steps]

    def _settle(self, life: Life[PayloadT], now: float) -> None:
        """Decide how a sequence goes on after one of its steps has left."""
        if life.over:
            self._retire(life, now)
        elif life.pending:
            self._ready.offer(life, now)
        elif life.slot is not None and not life.running and not life.closing:
            self._idle[life] = now

    def _retire(self, life: Life[PayloadT], now: float) -> None:
        """Free the slot of a sequence that is over, and let the next life of its id go ahead."""
        ended: Life[PayloadT] | None = life
        while ended is not None and ended.over:
            ended = self._pass_on(ended, now)
        self._admit(now)

    def _pass_on(self, ended: Life[PayloadT], now: float) -> Life[PayloadT] | None:
        """Remove one life; the one that follows."""
        if self._latest.get(ended.id) is ended:
            del self._latest[ended.id]
        self._backlog.pop(ended, None)
        self._idle.pop(ended, None)
        slot, ended.slot = ended.slot, None
        heir = ended.successor
        if heir is not None:
            heir.behind = False
        if slot is not None and heir is not None and heir.takes_over:
            self._seat(heir, slot, now)
            return heir
        if slot is not None:
            self._free.append(slot)
        if heir is not None:
            self._backlog[heir] = None
        return heir

    def _first_idle_expiry(self) -> float:
        return next(iter(self._idle.values())) + self._rules.max_idle_s

    def _not_begun(self, step: Step[PayloadT]) -> InvalidInput:
        return InvalidInput(
            f"inference request for sequence {step.sequence.id} to model '{self._model}' must "
            "specify the START flag on the first request of the sequence"
        )


def _owner(step: Step[PayloadT]) -> Life[PayloadT]:
    if step.owner is None:
        raise RuntimeError("the step was never pushed")
    return step.owner


def _slot(life: Life[PayloadT]) -> int:
    if life.slot is None:
        raise RuntimeError("a sequence without a slot cannot run")
    return life.slot
