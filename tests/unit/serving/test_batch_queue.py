"""The batching rules: single cases by name, then any sequence of events against a model."""

import gc
import itertools
import math
import weakref
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
)

from serving.batch_queue import COMPANY_DECAY, LARGEST_SHARE, BatchQueue, Entry, QueueRules
from serving.errors import QueueFull


def make_entry(
    name: str = "a",
    rows: int = 1,
    *,
    key: str = "k",
    arrived: float = 0.0,
    expires: float | None = None,
) -> Entry[str]:
    return Entry(payload=name, rows=rows, key=key, arrived=arrived, expires=expires)


def make_queue(*entries: Entry[str], rules: QueueRules) -> BatchQueue[str]:
    queue: BatchQueue[str] = BatchQueue(rules)
    for entry in entries:
        queue.push(entry)
    return queue


def names(batch: Sequence[Entry[str]]) -> str:
    return "".join(entry.payload for entry in batch)


WAITING = QueueRules(max_rows=8, max_delay_s=10.0)
"""Rules under which a batch leaves by time only after 10 s."""


def test_take_returns_everything_that_fits_when_there_is_no_delay() -> None:
    queue = make_queue(make_entry("a", 3), make_entry("b", 2), rules=QueueRules(max_rows=8))
    assert names(queue.take(0.0)) == "ab"


def test_take_returns_nothing_when_the_queue_is_empty() -> None:
    assert BatchQueue[str](WAITING).take(100.0) == []


def test_oldest_is_the_first_of_all_lines_that_still_waits() -> None:
    left, second = make_entry("a", arrived=1.0), make_entry("b", arrived=3.0)
    other = make_entry("c", arrived=2.0, key="other")
    queue = make_queue(left, second, other, rules=WAITING)
    assert queue.oldest() == 1.0
    queue.cancel(left)
    assert queue.oldest() == 2.0
    queue.cancel(other)
    assert queue.oldest() == 3.0
    queue.cancel(second)
    assert queue.oldest() is None


def test_take_measures_the_delay_from_the_oldest_request() -> None:
    queue = make_queue(make_entry("a", arrived=0.0), make_entry("b", arrived=9.0), rules=WAITING)
    assert queue.take(9.75) == []
    assert queue.next_departure() == 10.0
    assert names(queue.take(10.0)) == "ab"


def test_take_does_not_wait_when_the_batch_is_full() -> None:
    queue = make_queue(make_entry("a", 3), make_entry("b", 5), rules=WAITING)
    assert names(queue.take(0.0)) == "ab"


def test_take_does_not_wait_when_the_next_request_does_not_fit() -> None:
    queue = make_queue(make_entry("a", 3), make_entry("b", 6), rules=WAITING)
    assert names(queue.take(0.0)) == "a"
    assert queue.take(0.0) == []


def test_take_does_not_wait_when_a_preferred_size_is_reached() -> None:
    rules = QueueRules(max_rows=8, preferred_rows=(4,), max_delay_s=10.0)
    queue = make_queue(make_entry("a", 3), rules=rules)
    assert queue.take(0.0) == []
    queue.push(make_entry("b", 1))
    queue.push(make_entry("c", 1))
    assert names(queue.take(0.0)) == "ab"
    assert queue.requests == 1


def test_take_returns_the_largest_preferred_size_when_several_are_reached() -> None:
    rules = QueueRules(max_rows=8, preferred_rows=(2, 4), max_delay_s=10.0)
    queue = make_queue(*(make_entry(name) for name in "abcde"), rules=rules)
    assert names(queue.take(0.0)) == "abcd"


def test_take_keeps_requests_of_different_keys_apart() -> None:
    queue = make_queue(
        make_entry("a", key="x"),
        make_entry("b", key="y"),
        make_entry("c", key="x"),
        rules=QueueRules(max_rows=8),
    )
    assert [names(queue.take(0.0)), names(queue.take(0.0))] == ["ac", "b"]


def test_take_begins_with_the_line_of_the_oldest_request() -> None:
    queue = make_queue(
        make_entry("a", key="x", arrived=1.0),
        make_entry("b", key="y", arrived=0.0),
        rules=QueueRules(max_rows=8),
    )
    assert names(queue.take(2.0)) == "b"


def test_take_returns_one_request_when_joining_is_off() -> None:
    queue = make_queue(
        make_entry("a"), make_entry("b"), rules=QueueRules(max_rows=8, max_delay_s=10, join=False)
    )
    assert [names(queue.take(0.0)), names(queue.take(0.0))] == ["a", "b"]


def test_push_refuses_when_more_rows_would_wait_than_may() -> None:
    rules = QueueRules(max_rows=8, max_delay_s=10.0, max_queued_rows=5)
    queue = make_queue(make_entry("a", 3), rules=rules)
    with pytest.raises(QueueFull, match="Exceeds maximum queue size: 3 rows wait, 5 may"):
        queue.push(make_entry("b", 3))
    queue.push(make_entry("c", 2))
    assert (queue.rows, queue.requests) == (5, 2)
    assert names(queue.take(10.0)) == "ac"


def test_push_says_when_to_retry_when_the_queue_is_full() -> None:
    queue = make_queue(make_entry(rows=2), rules=QueueRules(max_rows=2, max_queued_rows=2))
    with pytest.raises(QueueFull) as caught:
        queue.push(make_entry())
    assert caught.value.retry_after_s == 1.0


def test_push_takes_a_request_larger_than_the_limit_when_the_queue_is_empty() -> None:
    queue = make_queue(make_entry(rows=8), rules=QueueRules(max_rows=8, max_queued_rows=5))
    assert queue.rows == 8


def test_cancel_takes_the_request_out_without_disturbing_the_others() -> None:
    entries = [make_entry(name) for name in "abc"]
    queue = make_queue(*entries, rules=QueueRules(max_rows=8))
    assert queue.cancel(entries[1])
    assert queue.rows == 2
    assert names(queue.take(0.0)) == "ac"


def test_cancel_is_refused_when_the_request_has_left() -> None:
    entry = make_entry()
    queue = make_queue(entry, rules=QueueRules(max_rows=8))
    queue.take(0.0)
    assert not queue.cancel(entry)
    assert queue.rows == 0


def test_next_departure_is_that_of_the_next_request_when_the_oldest_is_cancelled() -> None:
    oldest = make_entry("a", arrived=0.0)
    queue = make_queue(oldest, make_entry("b", arrived=4.0), rules=WAITING)
    queue.cancel(oldest)
    assert queue.next_departure() == 14.0


def test_expire_returns_requests_in_the_order_of_their_deadlines() -> None:
    queue = make_queue(
        make_entry("a", expires=3.0),
        make_entry("b", expires=1.0),
        make_entry("c", expires=5.0),
        make_entry("d"),
        rules=WAITING,
    )
    assert queue.next_expiry() == 1.0
    assert names(queue.expire(3.0)) == "ba"
    assert queue.next_expiry() == 5.0
    assert names(queue.take(10.0)) == "cd"
    assert queue.next_expiry() is None


def test_drop_all_returns_everything_that_waits() -> None:
    queue = make_queue(
        make_entry("a"), make_entry("b", key="y", expires=1.0), make_entry("c"), rules=WAITING
    )
    assert sorted(names(queue.drop_all())) == ["a", "b", "c"]
    assert (queue.rows, queue.requests, queue.next_departure()) == (0, 0, None)
    assert queue.next_expiry() is None


class _Payload:
    """Something a weak reference can watch."""


@pytest.mark.parametrize("expires", [None, 1e9])
def test_queue_lets_go_of_requests_that_left_while_the_oldest_still_waits(
    expires: float | None,
) -> None:
    """Clients that time out and retry behind a slow model must not fill the memory."""
    queue: BatchQueue[_Payload] = BatchQueue(WAITING)
    queue.push(Entry(payload=_Payload(), rows=1, key="k", arrived=0.0, expires=0.5e9))
    watched = []
    for _ in range(1000):
        entry = Entry(payload=_Payload(), rows=1, key="k", arrived=1.0, expires=expires)
        watched.append(weakref.ref(entry.payload))
        queue.push(entry)
        queue.cancel(entry)
        del entry
    gc.collect()
    assert sum(payload() is not None for payload in watched) < 100


GATHER = QueueRules(max_rows=64, gather_s=10.0, groups=2)
"""Rules under which a request waits up to 10 s for half of those who were there before."""


def in_company_of(count: int) -> BatchQueue[str]:
    """A queue in which ``count`` requests have just been together, and are gone."""
    queue: BatchQueue[str] = BatchQueue(GATHER)
    for _ in range(count):
        queue.push(make_entry())
    queue.finished(len(queue.take(0.0)))
    return queue


def test_gather_lets_a_lone_client_go_at_once() -> None:
    queue = in_company_of(1)
    queue.push(make_entry("b"))
    assert names(queue.take(0.0)) == "b"


def test_gather_waits_for_a_fair_share_of_the_recent_company() -> None:
    queue = in_company_of(8)
    for name in "abc":
        queue.push(make_entry(name))
    assert queue.take(0.0) == []
    queue.push(make_entry("d"))
    assert names(queue.take(0.0)) == "abcd"


def test_take_divides_two_shares_among_two_free_instances() -> None:
    queue = in_company_of(8)
    for name in "abcdefgh":
        queue.push(make_entry(name))
    assert names(queue.take(0.0, free=2)) == "abcd"
    assert names(queue.take(0.0, free=1)) == "efgh"


def test_gather_waits_for_no_more_than_the_largest_share() -> None:
    queue = in_company_of(64)
    for _ in range(LARGEST_SHARE):
        queue.push(make_entry())
    assert len(queue.take(0.0)) == LARGEST_SHARE


def test_take_leaves_a_single_share_whole() -> None:
    queue = in_company_of(8)
    for name in "abcd":
        queue.push(make_entry(name))
    assert names(queue.take(0.0, free=2)) == "abcd"


def test_take_divides_nothing_when_a_size_is_prescribed() -> None:
    rules = QueueRules(max_rows=8, preferred_rows=(8,), groups=2)
    queue = make_queue(*(make_entry(name) for name in "abcdefgh"), rules=rules)
    assert names(queue.take(0.0, free=2)) == "abcdefgh"


def test_gather_waits_no_longer_than_it_may() -> None:
    queue = in_company_of(8)
    queue.push(make_entry("b"))
    assert queue.take(9.9) == []
    assert names(queue.take(10.0)) == "b"


def test_gather_forgets_company_that_stays_away() -> None:
    queue = in_company_of(8)
    for _ in range(80):
        queue.push(make_entry("b"))
        queue.finished(len(queue.take(10.0)))
    queue.push(make_entry("c"))
    assert names(queue.take(0.0)) == "c"


def test_gather_gives_way_to_a_delay_of_the_model_itself() -> None:
    queue: BatchQueue[str] = BatchQueue(QueueRules(max_rows=8, max_delay_s=5.0, gather_s=1.0))
    queue.push(make_entry("a"))
    assert queue.take(4.9) == []
    assert names(queue.take(5.0)) == "a"


@dataclass(frozen=True, slots=True)
class _Waits:
    """What the model knows of a waiting request."""

    name: int
    rows: int
    key: str
    arrived: float
    expires: float | None


def expected_batch(
    line: Sequence[_Waits], rules: QueueRules, now: float, delay_s: float, most: int
) -> list[int]:
    """The requests that a line sends at ``now``, straight from the wording of the rules."""
    if not rules.join:
        return [line[0].name]
    sums = list(itertools.accumulate(request.rows for request in line))
    fitting = max(1, sum(rows <= rules.max_rows for rows in sums))
    next_does_not_fit = fitting < len(line) and sums[fitting - 1] < most
    enough = next((n for n, rows in enumerate(sums[:fitting], start=1) if rows >= most), fitting)
    fitting = min(fitting, enough)
    full = sums[fitting - 1] >= rules.max_rows
    waited = now >= line[0].arrived + delay_s
    if not (full or next_does_not_fit or waited):
        preferred = [n for n in range(1, fitting + 1) if sums[n - 1] in rules.preferred_rows]
        fitting = preferred[-1] if preferred else 0
    return [request.name for request in line[:fitting]]


class SweepingQueue(BatchQueue[int]):
    """Sweeps so early that short runs see it."""

    sweep_from = 3


class BatchQueueMachine(RuleBasedStateMachine):
    """Any sequence of events; after each, the queue and the model agree."""

    waiting = Bundle("waiting")

    @initialize(
        max_rows=st.integers(1, 8),
        preferred=st.lists(st.integers(1, 8), max_size=2, unique=True),
        delay=st.sampled_from([0.0, 1.0, 4.0]),
        max_queued=st.integers(1, 24),
        join=st.sampled_from([True, True, True, False]),
        gather=st.sampled_from([0.0, 1.0, 4.0]),
        groups=st.integers(1, 3),
    )
    def start(
        self,
        max_rows: int,
        preferred: list[int],
        delay: float,
        max_queued: int,
        join: bool,
        gather: float,
        groups: int,
    ) -> None:
        self.queue_rules = QueueRules(
            max_rows=max_rows,
            preferred_rows=tuple(size for size in preferred if size <= max_rows),
            max_delay_s=delay,
            max_queued_rows=max_queued,
            join=join,
            gather_s=gather,
            groups=groups,
        )
        self.running: list[int] = []
        self.company = 0.0
        self.queue = SweepingQueue(self.queue_rules)
        self.now = 0.0
        self.model: list[_Waits] = []
        self.count = 0

    @rule(
        target=waiting,
        rows=st.integers(1, 8),
        key=st.sampled_from("xy"),
        patience=st.none() | st.integers(0, 6),
    )
    def push(self, rows: int, key: str, patience: int | None) -> Entry[int]:
        rows = min(rows, self.queue_rules.max_rows)
        expires = None if patience is None else self.now + patience
        self.count += 1
        entry = Entry(payload=self.count, rows=rows, key=key, arrived=self.now, expires=expires)
        queued = sum(request.rows for request in self.model)
        if queued and queued + rows > self.queue_rules.max_queued_rows:
            with pytest.raises(QueueFull):
                self.queue.push(entry)
            entry.waiting = False  # never was in the queue: cancelling it must not be tried
        else:
            self.queue.push(entry)
            self.model.append(_Waits(self.count, rows, key, self.now, expires))
            self.company = max(self.company, self._here())
        return entry

    @rule(entry=consumes(waiting))
    def cancel(self, entry: Entry[int]) -> None:
        waited = any(request.name == entry.payload for request in self.model)
        assert self.queue.cancel(entry) == waited
        self._remove([entry.payload])

    @rule(ticks=st.integers(1, 4))
    def time_passes(self, ticks: int) -> None:
        self.now += ticks / 2

    @rule()
    def expire(self) -> None:
        due = [r for r in self.model if r.expires is not None and r.expires <= self.now]
        expired = self.queue.expire(self.now)
        assert sorted(entry.payload for entry in expired) == [request.name for request in due]
        self._remove([request.name for request in due])

    @rule(free=st.integers(1, 3))
    def take(self, free: int) -> None:
        lines = [[r for r in self.model if r.key == key] for key in "xy"]
        delay_s = self._delay_s()
        batches = [
            expected_batch(line, self.queue_rules, self.now, delay_s, self._most(free))
            for line in lines
            if line
        ]
        ready = [batch for batch in batches if batch]
        taken = [entry.payload for entry in self.queue.take(self.now, free)]
        if not ready:
            assert taken == []
            return
        oldest = min(self._arrival(batch[0]) for batch in ready)
        assert taken in [batch for batch in ready if self._arrival(batch[0]) == oldest]
        self._remove(taken)
        self.running.append(len(taken))
        self.company = max(self.company * COMPANY_DECAY, self._here())

    @rule()
    def finish(self) -> None:
        if self.running:
            self.queue.finished(self.running.pop())

    @rule()
    def drop_all(self) -> None:
        dropped = [entry.payload for entry in self.queue.drop_all()]
        assert sorted(dropped) == [request.name for request in self.model]
        self.model.clear()

    @invariant()
    def accounts_agree(self) -> None:
        if not hasattr(self, "queue"):
            return
        assert self.queue.requests == len(self.model)
        assert self.queue.rows == sum(request.rows for request in self.model)

    @invariant()
    def timers_agree(self) -> None:
        if not hasattr(self, "queue"):
            return
        arrivals = [request.arrived for request in self.model]
        departure = min(arrivals) + self._delay_s() if arrivals else None
        assert self.queue.next_departure() == departure
        expiries = [r.expires for r in self.model if r.expires is not None]
        assert self.queue.next_expiry() == min(expiries, default=None)

    def _most(self, free: int) -> int:
        """Rows of a batch when what waits is several fair shares, and several batches may start."""
        rules = self.queue_rules
        if rules.max_delay_s > 0 or rules.preferred_rows:
            return rules.max_rows
        shares = round(len(self.model) / self._share())
        rows = sum(request.rows for request in self.model)
        return min(rules.max_rows, math.ceil(rows / max(1, min(free, shares))))

    def _share(self) -> float:
        return min(LARGEST_SHARE, max(1.0, self.company / self.queue_rules.groups))

    def _here(self) -> int:
        return len(self.model) + sum(self.running)

    def _delay_s(self) -> float:
        """Nobody waits for company once a fair share, or all, of it is there."""
        rules = self.queue_rules
        if rules.max_delay_s > 0:
            return rules.max_delay_s
        share_is_here = len(self.model) + 0.5 >= self._share()
        all_are_here = self._here() + 0.5 >= self.company
        return 0.0 if share_is_here or all_are_here else rules.gather_s

    def _arrival(self, name: int) -> float:
        return next(request.arrived for request in self.model if request.name == name)

    def _remove(self, gone: Sequence[int]) -> None:
        self.model = [request for request in self.model if request.name not in gone]


BatchQueueMachine.TestCase.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None
)
TestBatchQueueMachine = BatchQueueMachine.TestCase
