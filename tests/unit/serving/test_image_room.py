import asyncio

import pytest

from serving.tasks.image_room import RowRoom
from tests.virtual_time import VirtualTimeLoop, run_virtual


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_rows_come_in_while_there_is_room() -> None:
    room = RowRoom(8)
    await room.enter(5)
    await room.enter(3)
    assert room.inside == 8
    waiting = asyncio.ensure_future(room.enter(1))
    await settle()
    assert not waiting.done()
    room.leave(3)
    await waiting
    assert room.inside == 6


async def test_who_waits_comes_in_as_he_came() -> None:
    room, order = RowRoom(4), []

    async def come(name: str, rows: int) -> None:
        await room.enter(rows)
        order.append(name)

    await room.enter(4)
    tasks = [asyncio.ensure_future(come(name, rows)) for name, rows in (("wide", 4), ("thin", 1))]
    await settle()
    room.leave(2)
    await settle()
    # The second would fit, but it is the first one's turn.
    assert order == []
    room.leave(2)
    await settle()
    assert order == ["wide"]
    room.leave(4)
    await asyncio.gather(*tasks)
    assert order == ["wide", "thin"]


async def test_who_is_wider_than_the_room_comes_in_alone() -> None:
    room = RowRoom(2)
    await room.enter(1)
    wide = asyncio.ensure_future(room.enter(5))
    await settle()
    assert not wide.done()
    room.leave(1)
    await wide
    assert room.inside == 5


async def test_who_gives_up_leaves_his_place_to_the_next() -> None:
    room = RowRoom(2)
    await room.enter(1)
    wide, thin = (asyncio.ensure_future(room.enter(rows)) for rows in (2, 1))
    await settle()
    wide.cancel()
    await thin
    assert room.inside == 2


async def test_who_is_let_in_and_cancelled_at_once_is_not_inside() -> None:
    room = RowRoom(1)
    await room.enter(1)
    waiting = asyncio.ensure_future(room.enter(1))
    await settle()
    room.leave(1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert room.inside == 0


def test_waiting_ends_with_the_time_it_may_take() -> None:
    loop = VirtualTimeLoop()

    async def main() -> None:
        room = RowRoom(1)
        await room.enter(1)
        with pytest.raises(TimeoutError):
            await room.enter(1, 3.0)
        assert loop.time() == 3.0
        room.leave(1)
        assert room.inside == 0

    run_virtual(main(), loop)
