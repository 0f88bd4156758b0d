from hypothesis import given
from hypothesis import strategies as st

from serving.deadlines import Deadlines


class SweepingDeadlines(Deadlines[str]):
    """Sweeps at the first chance."""

    sweep_from = 1

    def kept(self) -> int:
        """Places that the heap really holds."""
        return len(self._heap)


def test_next_is_the_earliest_and_none_when_empty() -> None:
    deadlines: Deadlines[str] = Deadlines()
    assert deadlines.next() is None
    deadlines.add("late", 5.0)
    deadlines.add("soon", 2.0)
    assert deadlines.next() == 2.0


def test_pop_due_takes_the_earliest_first_and_leaves_the_rest() -> None:
    deadlines: Deadlines[str] = Deadlines()
    for name, time in (("c", 3.0), ("a", 1.0), ("b", 2.0)):
        deadlines.add(name, time)
    assert deadlines.pop_due(2.0) == ["a", "b"]
    assert deadlines.next() == 3.0


def test_add_again_replaces_the_time() -> None:
    deadlines: Deadlines[str] = Deadlines()
    deadlines.add("a", 1.0)
    deadlines.add("a", 4.0)
    assert deadlines.pop_due(3.0) == []
    assert deadlines.pop_due(4.0) == ["a"]
    assert len(deadlines) == 0


def test_discarded_items_are_not_kept_in_memory() -> None:
    deadlines = SweepingDeadlines()
    for number in range(100):
        deadlines.add(str(number), 1e9)
        deadlines.discard(str(number))
    assert (len(deadlines), deadlines.kept()) == (0, 0)


@given(
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.none() | st.integers(0, 9)),
        max_size=40,
    ),
    st.integers(0, 9),
)
def test_agrees_with_a_plain_dictionary(steps: list[tuple[str, int | None]], now: int) -> None:
    deadlines, model = SweepingDeadlines(), dict[str, int]()
    for item, time in steps:
        if time is None:
            deadlines.discard(item)
            model.pop(item, None)
        else:
            deadlines.add(item, time)
            model[item] = time
        assert deadlines.next() == min(model.values(), default=None)
    due = deadlines.pop_due(now)
    assert [model[item] for item in due] == sorted(t for t in model.values() if t <= now)
    assert set(due) == {item for item, time in model.items() if time <= now}
