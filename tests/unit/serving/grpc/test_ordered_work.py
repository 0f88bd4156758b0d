import asyncio
from collections.abc import AsyncIterator

import pytest

from serving.grpc.ordered_work import in_order


class Numbers:
    """0, 1, 2 ... up to ``count``, and how many were read."""

    def __init__(self, count: int, fault_at: int | None = None) -> None:
        self.read = 0
        self._count = count
        self._fault_at = fault_at

    async def __aiter__(self) -> AsyncIterator[int]:
        for number in range(self._count):
            if number == self._fault_at:
                raise ValueError(f"no {number}")
            self.read += 1
            yield number


class Work:
    """Squares a number once told to, or at once."""

    def __init__(self, *, held: bool = False) -> None:
        self.begun: list[int] = []
        self.cancelled: list[int] = []
        self._held = held
        self._gates: dict[int, asyncio.Event] = {}

    async def __call__(self, number: int) -> int:
        self.begun.append(number)
        if self._held:
            try:
                await self._gates.setdefault(number, asyncio.Event()).wait()
            except asyncio.CancelledError:
                self.cancelled.append(number)
                raise
        return number * number

    def finish(self, number: int) -> None:
        self._gates.setdefault(number, asyncio.Event()).set()


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.parametrize("ahead", [1, 2, 7, 100])
async def test_results_come_in_the_order_of_the_items(ahead: int) -> None:
    results = [result async for result in in_order(Numbers(20), Work(), ahead)]
    assert results == [number * number for number in range(20)]


async def test_nothing_comes_of_nothing() -> None:
    assert [result async for result in in_order(Numbers(0), Work(), 3)] == []


async def test_result_that_is_early_waits_for_those_before_it() -> None:
    work = Work(held=True)
    results = in_order(Numbers(2), work, 4)
    first = asyncio.ensure_future(anext(results))
    await settle()
    work.finish(1)
    await settle()
    assert not first.done()
    work.finish(0)
    assert await first == 0
    assert await anext(results) == 1


async def test_result_is_given_before_the_next_item_is_there() -> None:
    gate = asyncio.Event()

    async def late() -> AsyncIterator[int]:
        yield 3
        await gate.wait()
        yield 4

    results = in_order(late(), Work(), 8)
    assert await anext(results) == 9
    gate.set()
    assert await anext(results) == 16


@pytest.mark.parametrize("ahead", [1, 3])
async def test_items_are_read_no_further_than_there_is_room(ahead: int) -> None:
    numbers = Numbers(100)
    results = in_order(numbers, Work(), ahead)
    for taken in range(1, 6):
        await anext(results)
        await settle()
        # The one just taken is not yet done with: whoever takes it may still be sending it.
        assert numbers.read <= taken + ahead - 1
    await results.aclose()


async def test_closing_cancels_what_is_in_work() -> None:
    work = Work(held=True)
    results = in_order(Numbers(9), work, 3)
    work.finish(0)
    assert await anext(results) == 0
    await settle()
    await results.aclose()
    assert work.begun == [0, 1, 2]
    assert sorted(work.cancelled) == [1, 2]


async def test_cancelling_the_reader_cancels_what_is_in_work() -> None:
    work = Work(held=True)

    async def read() -> None:
        async for _ in in_order(Numbers(9), work, 3):
            pass

    reader = asyncio.create_task(read())
    await settle()
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert sorted(work.cancelled) == [0, 1, 2]


async def test_fault_of_the_items_comes_behind_the_results_before_it() -> None:
    results = in_order(Numbers(9, fault_at=3), Work(), 8)
    assert [await anext(results) for _ in range(3)] == [0, 1, 4]
    with pytest.raises(ValueError, match="no 3"):
        await anext(results)


async def test_fault_of_the_work_comes_in_its_place_and_ends_the_rest() -> None:
    cancelled = []

    async def work(number: int) -> int:
        if number == 1:
            raise ValueError("one")
        if number > 1:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(number)
                raise
        return number

    results = in_order(Numbers(9), work, 4)
    assert await anext(results) == 0
    await settle()
    with pytest.raises(ValueError, match="one"):
        await anext(results)
    assert sorted(cancelled) == [2, 3]
