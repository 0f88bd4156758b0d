"""The rules of sequences: one by one, then any mixture of events against a plain model."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from serving.errors import DeadlineExceeded, InvalidInput, QueueFull
from serving.scheduler import SequenceStep
from serving.sequence_life import Planned, SequenceRules, Step
from serving.sequences import Sequences

START = (
    "inference request for sequence {} to model 'm' must specify the START flag on the first "
    "request of the sequence"
)


class Core:
    """``Sequences`` with a clock and few words."""

    def __init__(self, **rules: Any) -> None:
        self.core: Sequences[str] = Sequences("m", SequenceRules(**{"slots": 2, **rules}))
        self.now = 0.0

    def push(
        self,
        name: str,
        id: int | str = 1,  # noqa: A002  the protocol's word
        flags: str = "",
        *,
        key: str = "k",
        expires: float | None = None,
    ) -> Step[str]:
        step = Step(
            name, SequenceStep(id=id, start="s" in flags, end="e" in flags), key, self.now, expires
        )
        self.core.push(step, self.now)
        return step

    def take(self, free: int = 1) -> Planned[str] | None:
        return self.core.take(self.now, free)

    def names(self, free: int = 1) -> list[str]:
        """Take a run; its steps."""
        planned = self.take(free)
        return [step.payload for step in planned.steps] if planned else []

    def run(self, *, fails: bool = False) -> list[str]:
        """Take and finish a run; its steps."""
        planned = self.take()
        if planned is None:
            return []
        self.core.finished(planned, [not fails] * len(planned.steps), self.now)
        return [step.payload for step in planned.steps]

    def run_all(self) -> list[str]:
        ran: list[str] = []
        while names := self.run():
            ran += names
        return ran


@pytest.mark.parametrize("seen", ["never", "ended", "idle too long"])
def test_push_refuses_a_step_of_no_live_sequence(seen: str) -> None:
    core = Core(max_idle_s=1.0)
    if seen != "never":
        core.push("a", 7, "se" if seen == "ended" else "s")
        core.run()
        core.now = 1.0
        core.core.expire(core.now)
    with pytest.raises(InvalidInput) as caught:
        core.push("b", 7)
    assert caught.value.message == START.format(7)


def test_oldest_is_the_step_that_has_waited_longest() -> None:
    core, seen = Core(), []
    core.push("a", 1, "s")
    core.now = 5.0
    core.push("b", 2, "s")
    while True:
        seen.append(core.core.oldest)
        if not core.names():
            break
    assert seen == [0.0, 5.0, None]


def test_number_and_text_are_different_ids() -> None:
    core = Core()
    core.push("a", 1, "s")
    with pytest.raises(InvalidInput):
        core.push("b", "1")


def test_steps_of_one_sequence_run_one_after_the_other() -> None:
    core = Core(max_rows=8)
    for name, flags in (("a", "s"), ("b", ""), ("c", "e")):
        core.push(name, 1, flags)
    first = core.take()
    assert first is not None
    assert core.take() is None
    core.core.finished(first, [True], core.now)
    assert core.run_all() == ["b", "c"]
    assert core.core.live == 0


def test_steps_of_different_sequences_travel_together_in_slots_of_their_own() -> None:
    core = Core(max_rows=8)
    core.push("a", 1, "s")
    core.push("b", "x", "s")
    planned = core.take()
    assert planned is not None
    assert [step.payload for step in planned.steps] == ["a", "b"]
    assert sorted(planned.slots) == [0, 1]


def test_steps_of_unequal_shapes_do_not_travel_together() -> None:
    core = Core(max_rows=8)
    core.push("a", 1, "s", key="wide")
    core.push("b", 2, "s", key="narrow")
    assert core.names() == ["a"]
    assert core.names() == ["b"]


def test_ready_steps_are_divided_among_free_instances() -> None:
    core = Core(slots=16, max_rows=16)
    for number in range(16):
        core.push(str(number), number + 1, "s")
    assert len(core.names(free=2)) == 8
    assert len(core.names(free=1)) == 8


def test_few_steps_are_not_divided() -> None:
    core = Core(slots=4, max_rows=16)
    for number in range(4):
        core.push(str(number), number + 1, "s")
    assert len(core.names(free=2)) == 4


def test_sequence_waits_in_the_backlog_when_no_slot_is_free() -> None:
    core = Core(slots=1)
    core.push("a", 1, "s")
    core.push("b", 2, "s")
    core.push("c", 3, "se")
    assert (core.core.live, core.core.backlog) == (1, 2)
    assert core.run_all() == ["a"]
    core.push("d", 1, "e")
    assert core.run_all() == ["d", "b"]
    core.push("e", 2, "e")
    assert core.run_all() == ["e", "c"]
    assert (core.core.live, core.core.backlog) == (0, 0)


def test_idle_sequence_makes_room_for_the_backlog() -> None:
    core = Core(slots=1, max_idle_s=2.0)
    core.push("a", 1, "s")
    core.push("b", 2, "s")
    core.run()
    assert core.core.next_expiry() == 2.0
    core.now = 2.0
    assert core.core.expire(core.now) == []
    assert core.run_all() == ["b"]


def test_sequence_is_not_idle_while_its_step_waits_or_runs() -> None:
    core = Core(slots=1, max_idle_s=1.0)
    core.push("a", 1, "s")
    core.run()
    core.push("b", 1)
    core.now = 50.0
    core.core.expire(core.now)
    planned = core.take()
    core.now = 100.0
    core.core.expire(core.now)
    assert planned is not None
    core.core.finished(planned, [True], core.now)
    assert core.core.next_expiry() == 101.0
    core.push("c", 1)
    assert core.run_all() == ["c"]


def test_start_on_a_live_id_waits_for_the_old_steps_and_keeps_the_slot() -> None:
    core = Core(slots=1)
    core.push("a", 1, "s")
    core.push("b", 1)
    core.push("other", 2, "s")
    core.push("c", 1, "s")
    core.push("d", 1, "e")
    assert core.run_all() == ["a", "b", "c", "d", "other"]


def test_start_after_the_end_queues_behind_those_who_wait() -> None:
    core = Core(slots=1)
    core.push("a", 1, "se")
    core.push("other", 2, "se")
    core.push("b", 1, "se")
    assert core.run_all() == ["a", "other", "b"]


def test_cancelled_step_never_happened() -> None:
    core = Core()
    core.push("a", 1, "s")
    gone = core.push("b", 1)
    core.push("c", 1, "e")
    assert core.core.cancel(gone, core.now) == []
    assert core.run_all() == ["a", "c"]


def test_cancelled_start_takes_the_steps_behind_it_along() -> None:
    core = Core(slots=1)
    first = core.push("a", 1, "s")
    core.push("b", 1)
    core.push("c", 1, "e")
    dropped = core.core.cancel(first, core.now)
    assert [(step.payload, str(error)) for step, error in dropped] == [
        ("b", START.format(1)),
        ("c", START.format(1)),
    ]
    assert (core.core.steps, core.core.live) == (0, 0)


def test_cancelled_restart_does_not_bring_the_old_sequence_back() -> None:
    core = Core(slots=1)
    core.push("a", 1, "s")
    core.core.cancel(core.push("b", 1, "s"), core.now)
    with pytest.raises(InvalidInput):
        core.push("c", 1)
    assert core.run_all() == ["a"]
    assert core.core.live == 0


def test_cancelled_end_still_ends_the_sequence() -> None:
    core = Core(slots=1)
    core.push("a", 1, "s")
    core.run()
    core.core.cancel(core.push("b", 1, "e"), core.now)
    assert core.core.live == 0


def test_cancel_leaves_a_step_that_runs() -> None:
    core = Core()
    step = core.push("a", 1, "s")
    planned = core.take()
    assert planned is not None
    assert core.core.cancel(step, core.now) == []
    core.core.finished(planned, [True], core.now)
    core.push("b", 1)
    assert core.run_all() == ["b"]


def test_failed_step_leaves_the_sequence_alive() -> None:
    core = Core()
    core.push("a", 1, "s")
    core.run()
    core.push("b", 1)
    core.run(fails=True)
    core.push("c", 1)
    assert core.run_all() == ["c"]


def test_failed_start_refuses_what_follows() -> None:
    core = Core()
    core.push("a", 1, "s")
    core.push("b", 1)
    planned = core.take()
    assert planned is not None
    dropped = core.core.finished(planned, [False], core.now)
    assert [step.payload for step, _ in dropped] == ["b"]
    with pytest.raises(InvalidInput):
        core.push("c", 1)
    assert core.core.live == 0


def test_expire_drops_steps_that_waited_too_long() -> None:
    core = Core(slots=1)
    core.push("a", 1, "s")
    core.take()
    late = core.push("b", 1, expires=3.0)
    assert core.core.next_expiry() == 3.0
    core.now = 3.0
    ((step, error),) = core.core.expire(core.now)
    assert step is late
    assert isinstance(error, DeadlineExceeded)
    assert error.message == "Request timeout expired after 3.000 s in the queue"


def test_push_refuses_when_too_many_steps_wait() -> None:
    core = Core(slots=1, max_queued_steps=1)
    core.push("a", 1, "s")
    with pytest.raises(QueueFull, match="1 requests of sequences with a slot wait, 1 may"):
        core.push("b", 1)
    core.run()
    core.push("b", 1)
    with pytest.raises(InvalidInput):
        core.push("c", 2)


def test_push_takes_the_end_of_a_live_sequence_however_long_the_backlog() -> None:
    core = Core(slots=1, max_queued_steps=1)
    core.push("a", 1, "s")
    core.run()
    core.push("b", 2, "s")
    with pytest.raises(QueueFull, match="1 requests of sequences without a slot wait, 1 may"):
        core.push("c", 3, "s")
    core.push("d", 1, "e")
    assert core.run_all() == ["d", "b"]


def test_run_waits_for_company_when_told_to() -> None:
    core = Core(slots=4, max_rows=4, enough_rows=2, max_delay_s=1.0)
    core.push("a", 1, "s")
    assert core.names() == []
    assert core.core.next_departure() == 1.0
    core.now = 0.5
    core.push("b", 2, "s")
    assert core.names() == ["a", "b"]


def test_run_leaves_alone_when_its_time_is_up() -> None:
    core = Core(slots=4, max_rows=4, enough_rows=2, max_delay_s=1.0)
    core.push("a", 1, "s")
    core.now = 1.0
    assert core.names() == ["a"]


def test_drop_all_takes_every_step_out() -> None:
    core = Core(slots=1)
    core.push("a", 1, "s")
    planned = core.take()
    for name, number in (("b", 1), ("c", 2), ("d", 3)):
        core.push(name, number, "" if number == 1 else "s")
    assert sorted(step.payload for step in core.core.drop_all()) == ["b", "c", "d"]
    assert planned is not None
    assert core.core.finished(planned, [True], core.now) == []
    assert (core.core.steps, core.names()) == (0, [])


@dataclass(eq=False)
class Life:
    """A sequence as its client sees it."""

    steps: list[Step[str]] = field(default_factory=list)
    ran: list[str] = field(default_factory=list)
    """Steps that ran well, which is what its state is made of."""
    over: bool = False
    """Ended, begun again, or never begun: takes no more steps."""


class SequencesMachine(RuleBasedStateMachine):
    """Anything may happen in any order; states are kept in slots, as the batcher does."""

    steps: Bundle[Step[str]] = Bundle("steps")

    @initialize(
        slots=st.integers(1, 3),
        max_rows=st.integers(1, 4),
        delay=st.sampled_from([0.0, 1.0]),
    )
    def start(self, slots: int, max_rows: int, delay: float) -> None:
        self.limits = SequenceRules(
            slots=slots,
            max_rows=max_rows,
            enough_rows=max_rows,
            max_delay_s=delay,
            max_idle_s=2.0,
            max_queued_steps=6,
        )
        self.core: Sequences[str] = Sequences("m", self.limits)
        self.now = 0.0
        self.count = 0
        self.lives: dict[int, Life] = {}
        self.life_of: dict[Step[str], Life] = {}
        self.table: list[list[str]] = [["garbage"] for _ in range(slots)]
        self.running: list[Planned[str]] = []
        self.waiting: set[Step[str]] = set()

    @rule(
        target=steps,
        name=st.integers(1, 4),
        starts=st.booleans(),
        ends=st.integers(0, 3).map(lambda n: n == 0),
        key=st.sampled_from("xxy"),
        patience=st.none() | st.integers(1, 4),
    )
    def push(
        self, name: int, starts: bool, ends: bool, key: str, patience: int | None
    ) -> Step[str]:
        self.expire()
        self.count += 1
        expires = None if patience is None else self.now + patience
        kind = SequenceStep(id=name, start=starts, end=ends)
        step = Step(str(self.count), kind, key, self.now, expires)
        life = self.lives.get(name)
        if not starts and (life is None or life.over):
            with pytest.raises(InvalidInput):
                self.core.push(step, self.now)
        elif not self._has_room(step):
            with pytest.raises(QueueFull):
                self.core.push(step, self.now)
        else:
            self.core.push(step, self.now)
            self._accepted(step)
        return step

    def _has_room(self, step: Step[str]) -> bool:
        """Steps with and without a slot are counted apart; a start has none yet."""
        seated = {s for s in self.waiting if s.owner is not None and s.owner.slot is not None}
        owner = self.core._latest.get(step.sequence.id)
        sits = not step.sequence.start and owner is not None and owner.slot is not None
        queued = len(seated) if sits else len(self.waiting - seated)
        return queued < self.limits.max_queued_steps

    def _accepted(self, step: Step[str]) -> None:
        life = self.lives.get(int(step.sequence.id))
        if step.sequence.start or life is None:
            if life is not None:
                life.over = True
            life = self.lives[int(step.sequence.id)] = Life()
        life.steps.append(step)
        life.over = step.sequence.end
        self.life_of[step] = life
        self.waiting.add(step)

    @rule(step=steps)
    def cancel(self, step: Step[str]) -> None:
        waited = step in self.waiting
        dropped = self.core.cancel(step, self.now)
        if waited:
            self._gone(step, [s for s, _ in dropped])
        else:
            assert dropped == []

    @rule(ticks=st.integers(1, 3))
    def time_passes(self, ticks: int) -> None:
        self.now += ticks / 2

    @rule()
    def expire(self) -> None:
        due = {s for s in self.waiting if s.expires is not None and s.expires <= self.now}
        dropped = self.core.expire(self.now)
        late = {step for step, error in dropped if isinstance(error, DeadlineExceeded)}
        orphans = {step for step, error in dropped if isinstance(error, InvalidInput)}
        assert late | orphans >= due >= late
        for step in late:
            self.waiting.discard(step)
        for step in late:
            if step.sequence.start:
                self.life_of[step].over = True
        self._check_orphans(orphans)
        for name, life in self.lives.items():
            if not life.over and self._is_forgotten(name):
                assert not self._busy(life)
                life.over = True

    def _is_forgotten(self, name: int) -> bool:
        return name not in self.core._latest

    def _busy(self, life: Life) -> bool:
        running = {step for planned in self.running for step in planned.steps}
        return any(step in self.waiting or step in running for step in life.steps)

    @rule(free=st.integers(1, 2))
    def take(self, free: int) -> None:
        planned = self.core.take(self.now, free)
        if planned is None:
            return
        assert 1 <= len(planned.steps) <= self.limits.max_rows
        assert len({step.key for step in planned.steps}) == 1
        taken = [slot for other in (planned, *self.running) for slot in other.slots]
        assert len(set(taken)) == len(taken), "one slot runs twice"
        ids = [step.sequence.id for other in (planned, *self.running) for step in other.steps]
        assert len(set(ids)) == len(ids), "two steps of one id run at once"
        for step in planned.steps:
            self.waiting.remove(step)
            mine = [s for s in self.life_of[step].steps if s in self.waiting]
            assert all(int(step.payload) < int(s.payload) for s in mine), "order"
        self.running.append(planned)

    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        if not self.running:
            return
        planned = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        well = [data.draw(st.integers(0, 3)) > 0 for _ in planned.steps]
        for step, slot, good in zip(planned.steps, planned.slots, well, strict=True):
            life = self.life_of[step]
            state = [] if step.sequence.start else self.table[slot]
            assert state == life.ran, "a step met another sequence's state"
            if good:
                self.table[slot] = [*state, step.payload]
                life.ran.append(step.payload)
            elif step.sequence.start:
                life.over = True
        self._check_orphans({s for s, _ in self.core.finished(planned, well, self.now)})

    def _gone(self, step: Step[str], dropped: list[Step[str]]) -> None:
        self.waiting.remove(step)
        if step.sequence.start:
            self.life_of[step].over = True
        self._check_orphans(set(dropped))

    def _check_orphans(self, orphans: set[Step[str]]) -> None:
        """Dropped are those whose first step is neither waiting nor running nor has run."""
        running = {step for planned in self.running for step in planned.steps}
        expected = {
            step
            for step in self.waiting
            if not self.life_of[step].ran
            and self.life_of[step].steps[0] not in self.waiting | running
        }
        assert orphans == expected
        self.waiting -= orphans

    @invariant()
    def accounts_agree(self) -> None:
        if hasattr(self, "core"):
            assert self.core.steps == len(self.waiting)
            wanted = {
                step.sequence.id
                for step, life in self.life_of.items()
                if not life.over or self._busy(life)
            }
            assert self.core.live == min(self.limits.slots, len(wanted))
            assert self.core.backlog == 0 or self.core.live == self.limits.slots
            running = {s.sequence.id for planned in self.running for s in planned.steps}
            waiting = {step.sequence.id for step in self.waiting}
            assert len(self.core._idle) == len(wanted - running - waiting)
            if self.core.backlog == 0:
                lines = self.core._ready._lines.values()
                ready = [life.id for line in lines for life in line]
                assert sorted(ready) == sorted(waiting - running)

    def teardown(self) -> None:
        """Everything comes to an end, and every slot comes back."""
        if not hasattr(self, "core"):
            return
        for _ in range(200):  # far more rounds than the steps that may wait
            while self.running:
                done = self.running.pop()
                self.core.finished(done, [True] * len(done.steps), self.now)
            self.now += self.limits.max_idle_s
            self.core.expire(self.now)
            while (planned := self.core.take(self.now)) is not None:
                self.running.append(planned)
            if not self.running and not self.core.steps and not self.core.live:
                break
        assert (self.core.steps, self.core.live, self.core.backlog) == (0, 0, 0)
        assert self.core._latest == {}
        assert (self.core.next_expiry(), self.core.next_departure()) == (None, None)


SequencesMachine.TestCase.settings = settings(
    max_examples=100, stateful_step_count=50, deadline=None
)
TestSequencesMachine = SequencesMachine.TestCase
