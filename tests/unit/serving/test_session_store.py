"""Which texts are kept, and for how long."""

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from serving.errors import Conflict, QueueFull
from serving.session_store import Kept, Lease, SessionStore, Weights
from serving.session_types import TextState

WEIGHTS = Weights(model="m", version="1", sha256="ab")
POINT = TextState(state={"h": np.zeros(2)}, token=1, symbols=2, text="ab", seed=3, position=1)
TTL = 10.0


def store_of(*keys: str, capacity: int = 3) -> SessionStore:
    """A store with these texts, last used at 0, 1, 2..."""
    store = SessionStore(ttl_s=TTL, capacity=capacity)
    for now, key in enumerate(keys):
        kept = store.begin(key, WEIGHTS, float(now))
        kept.point = POINT
        store.release(kept, float(now))
    return store


def found(store: SessionStore, key: str, now: float) -> Kept:
    kept = store.find(key, now)
    assert kept is not None
    return kept


def test_a_text_is_let_go_of_when_its_time_has_run_out() -> None:
    store = store_of("a")
    assert store.find("a", TTL - 0.1) is not None
    assert store.find("a", TTL) is None
    assert len(store) == 0


def test_looking_at_a_text_does_not_keep_it_longer() -> None:
    store = store_of("a")
    found(store, "a", TTL - 1)
    assert store.find("a", TTL) is None


def test_use_keeps_a_text_longer() -> None:
    store = store_of("a", "b")
    kept = found(store, "a", 5.0)
    store.hold(kept, 5.0)
    store.release(kept, 6.0)
    assert store.find("b", 15.0) is None
    assert store.find("a", 15.9) is kept
    assert store.expires(kept) == 16.0


def test_touch_keeps_a_text_longer() -> None:
    store = store_of("a", "b")
    store.touch(found(store, "a", 5.0), 5.0)
    assert store.find("b", 14.0) is None
    assert store.find("a", 14.0) is not None


def test_a_text_in_use_does_not_run_out_of_time() -> None:
    store = store_of("a", "b")
    store.hold(found(store, "a", 1.0), 1.0)
    assert store.find("b", 50.0) is None
    assert store.find("a", 50.0) is not None


def test_a_text_in_use_is_not_given_twice() -> None:
    store = store_of("a")
    kept = found(store, "a", 1.0)
    store.hold(kept, 1.0)
    with pytest.raises(Conflict):
        store.hold(kept, 1.0)


def test_a_new_text_is_refused_when_all_places_are_taken() -> None:
    store = store_of("a", "b", "c")
    with pytest.raises(QueueFull, match="3 are kept, 3 may") as refused:
        store.begin("d", WEIGHTS, 4.0)
    assert refused.value.retry_after_s == TTL - 4.0
    assert len(store) == 3


def test_nobody_can_tell_when_a_place_comes_free_while_all_are_in_use() -> None:
    store = store_of("a", capacity=1)
    store.hold(found(store, "a", 1.0), 1.0)
    with pytest.raises(QueueFull) as refused:
        store.begin("b", WEIGHTS, 1.0)
    assert refused.value.retry_after_s is None


def test_a_new_text_takes_the_place_of_one_that_ran_out_of_time() -> None:
    store = store_of("a", "b", "c")
    store.begin("d", WEIGHTS, TTL)
    assert store.find("a", TTL) is None
    assert len(store) == 3


def test_a_text_that_begins_anew_replaces_the_one_of_its_key() -> None:
    store = store_of("a", capacity=1)
    kept = store.begin("a", WEIGHTS, 1.0)
    assert kept.point is None
    assert store.find("a", 1.0) is kept


def test_a_text_whose_replacement_is_refused_stays() -> None:
    store = store_of("a", "b")
    before = found(store, "a", 1.0)
    Lease(store, store.begin("a", WEIGHTS, 2.0), lambda: 2.0).undo()
    assert store.find("a", 3.0) is before
    assert store.expires(before) == TTL
    assert store.find("a", TTL) is None


def test_a_text_whose_replacement_is_under_way_is_gone() -> None:
    store = store_of("a")
    lease = Lease(store, store.begin("a", WEIGHTS, 1.0), lambda: 2.0)
    lease.begun()
    lease.release()
    assert store.find("a", 2.0) is None


def test_a_text_that_a_refused_request_was_to_go_on_with_is_free() -> None:
    store = store_of("a")
    kept = found(store, "a", 1.0)
    store.hold(kept, 1.0)
    Lease(store, kept, lambda: 2.0).undo()
    assert store.find("a", 2.0) is kept
    assert not kept.in_use


def test_a_text_in_use_is_not_replaced() -> None:
    store = store_of("a")
    store.hold(found(store, "a", 1.0), 1.0)
    with pytest.raises(Conflict):
        store.begin("a", WEIGHTS, 1.0)


def test_a_text_that_never_began_is_forgotten() -> None:
    store = store_of()
    store.release(store.begin("a", WEIGHTS, 0.0), 1.0)
    assert len(store) == 0


def test_the_release_of_a_dropped_text_changes_nothing() -> None:
    store = store_of("a")
    kept = found(store, "a", 1.0)
    store.hold(kept, 1.0)
    store.drop(kept)
    again = store.begin("a", WEIGHTS, 2.0)
    store.release(kept, 3.0)
    assert store.find("a", 3.0) is again
    assert again.in_use


def test_a_lease_ends_once() -> None:
    store = store_of("a")
    kept = found(store, "a", 1.0)
    store.hold(kept, 1.0)
    lease = Lease(store, kept, lambda: 2.0)
    lease.keep(POINT)
    store.hold(kept, 3.0)
    lease.release()
    assert kept.in_use


class Texts(RuleBasedStateMachine):
    """The store against a dictionary that looks at every text at every step."""

    def __init__(self) -> None:
        super().__init__()
        self.store = SessionStore(ttl_s=TTL, capacity=3)
        self.now = 0.0
        self.idle: dict[int, float] = {}
        """Key -> last use, as the store should have it."""
        self.used: dict[int, Kept] = {}

    def expire(self) -> None:
        self.idle = {key: used for key, used in self.idle.items() if used + TTL > self.now}

    @rule(key=st.integers(0, 4))
    def begin(self, key: int) -> None:
        self.expire()
        full = key not in self.idle and len(self.idle) + len(self.used) >= 3
        if key in self.used or full:
            with pytest.raises(Conflict if key in self.used else QueueFull):
                self.store.begin(key, WEIGHTS, self.now)
            return
        self.idle.pop(key, None)
        kept = self.used[key] = self.store.begin(key, WEIGHTS, self.now)
        kept.point = POINT

    @precondition(lambda self: self.used)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.used)))
        self.store.release(self.used.pop(key), self.now)
        self.idle[key] = self.now

    @rule(key=st.integers(0, 4))
    def hold(self, key: int) -> None:
        self.expire()
        kept = self.store.find(key, self.now)
        assert (kept is not None) == (key in self.idle or key in self.used)
        if kept is not None and key in self.idle:
            self.store.hold(kept, self.now)
            del self.idle[key]
            self.used[key] = kept

    @rule(seconds=st.floats(0, 7))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def has_what_it_should(self) -> None:
        self.expire()
        self.store.expire(self.now)
        assert len(self.store) == len(self.idle) + len(self.used)
        assert all(self.store.find(key, self.now) for key in self.idle)


TestTexts = Texts.TestCase
TestTexts.settings = settings(max_examples=50, stateful_step_count=30)
