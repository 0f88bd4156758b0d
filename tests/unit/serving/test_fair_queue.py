"""Turns of clients, and what the queue holds at most."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import QueueFull
from serving.fair_queue import FairQueue


@dataclass(frozen=True, eq=False)
class Item:
    """Client "a"'s second item is named "a2"."""

    name: str
    width: int = 1

    @property
    def client(self) -> str:
        return self.name[0]


def make_queue(*names: str, max_rows: int = 100) -> FairQueue[Item]:
    queue: FairQueue[Item] = FairQueue(max_rows)
    queue.push([Item(name) for name in names])
    return queue


def popped(queue: FairQueue[Item]) -> list[str]:
    names = []
    while (item := queue.pop()) is not None:
        names.append(item.name)
    return names


def test_pop_serves_clients_in_turns_when_one_has_sent_much() -> None:
    assert popped(make_queue("a1", "a2", "a3", "b1", "c1", "b2")) == [
        "a1", "b1", "c1", "a2", "b2", "a3",
    ]  # fmt: skip


def test_pop_gives_a_newcomer_its_turn_after_those_who_wait() -> None:
    queue = make_queue("a1", "a2", "b1")
    assert queue.pop() is not None
    queue.push([Item("c1")])
    assert popped(queue) == ["b1", "a2", "c1"]


def test_pop_passes_a_client_over_when_its_head_does_not_fit() -> None:
    queue: FairQueue[Item] = FairQueue(100)
    wide = Item("a1", width=4)
    queue.push([wide, Item("a2"), Item("b1"), Item("c1")])
    first = queue.pop(lambda item: item.width == 1)
    assert first is not None
    assert first.name == "b1"
    assert popped(queue) == ["a1", "c1", "a2"]


def test_pop_returns_none_when_no_head_fits() -> None:
    queue = make_queue("a1", "b1")
    assert queue.pop(lambda _: False) is None
    assert queue.rows == 2


def test_remove_takes_an_item_from_the_middle_of_its_line() -> None:
    queue: FairQueue[Item] = FairQueue(100)
    items = [Item("a1"), Item("a2", width=3), Item("a3")]
    queue.push(items)
    assert queue.remove(items[1])
    assert queue.rows == 2
    assert not queue.remove(items[1])
    assert popped(queue) == ["a1", "a3"]


def test_push_takes_all_or_none_when_not_all_find_room() -> None:
    queue = make_queue("a1", "a2", max_rows=3)
    with pytest.raises(QueueFull, match="Exceeds maximum queue size: 2 rows wait, 3 may"):
        queue.push([Item("b1"), Item("b2")])
    assert popped(queue) == ["a1", "a2"]


def test_push_counts_rows_not_items() -> None:
    queue = make_queue("a1", max_rows=4)
    with pytest.raises(QueueFull):
        queue.push([Item("b1", width=4)])
    queue.push([Item("b1", width=3)])
    assert queue.rows == 4


def test_push_takes_any_number_when_nobody_waits() -> None:
    assert make_queue("a1", "a2", "a3", max_rows=2).rows == 3


def test_push_does_not_count_rows_that_leave_at_once() -> None:
    queue = make_queue("a1", "a2", max_rows=2)
    queue.push([Item("b1")], spare=1)
    with pytest.raises(QueueFull):
        queue.push([Item("b2")], spare=1)


def test_push_counts_rows_that_wait_elsewhere() -> None:
    queue: FairQueue[Item] = FairQueue(2)
    with pytest.raises(QueueFull, match="1 rows wait"):
        queue.push([Item("a1"), Item("a2")], spare=-1)


@given(st.lists(st.sampled_from("abcd"), max_size=30))
def test_pop_serves_everyone_who_waits_before_it_serves_a_client_again(clients: str) -> None:
    queue: FairQueue[Item] = FairQueue(100)
    queue.push([Item(f"{client}{place:02}") for place, client in enumerate(clients)])
    names = popped(queue)
    assert sorted(names) == sorted(f"{client}{place:02}" for place, client in enumerate(clients))
    served = [name[0] for name in names]
    for place, client in enumerate(served):
        assert client not in served[:place] or names[place] > max(
            name for name in names[:place] if name[0] == client
        )
        if client in served[place + 1 :]:
            again = served.index(client, place + 1)
            assert set(served[place + 1 :]) - {client} <= set(served[place + 1 : again])
