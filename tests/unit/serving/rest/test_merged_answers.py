"""Pieces of several answers in one stream."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from serving.errors import InferenceFailed
from serving.generation_types import GenerateRequest, Piece
from serving.rest.merged_answers import MAX_UNREAD, close_all, merged
from tests.fake_generation import FakeAnswer, FakeGeneration, written


def answers(count: int, service: FakeGeneration, **fields: int) -> list[FakeAnswer]:
    request = GenerateRequest(model_name="m", max_tokens=10, **fields)  # type: ignore[arg-type]
    return [FakeAnswer(request, service) for _ in range(count)]


class CountedAnswer(FakeAnswer):
    """Counts what is taken from it."""

    given = 0

    async def __aiter__(self) -> AsyncIterator[Piece]:
        async for piece in super().__aiter__():
            self.given += 1
            yield piece


async def texts(pieces: AsyncIterator[Piece]) -> dict[int, str]:
    found: dict[int, str] = {}
    async for piece in pieces:
        found[piece.index] = found.get(piece.index, "") + piece.text
    return found


async def test_one_answer_is_passed_on() -> None:
    assert await texts(merged(answers(1, FakeGeneration(), n=2), 2)) == {
        0: written(7, 0, 10),
        1: written(7, 1, 10),
    }


async def test_indices_count_through_the_prompts() -> None:
    assert await texts(merged(answers(3, FakeGeneration(), n=2), 2)) == {
        prompt * 2 + index: written(7, index, 10) for prompt in range(3) for index in range(2)
    }


async def test_pieces_come_as_they_are_made_not_prompt_by_prompt() -> None:
    seen = [piece.index async for piece in merged(answers(2, FakeGeneration()), 1)]
    assert seen == [0, 1] * 3


async def test_fault_of_one_answer_ends_the_stream_at_once() -> None:
    quiet = FakeGeneration(gate=asyncio.Semaphore(0))
    broken = FakeGeneration(fault=InferenceFailed("broke"))
    with pytest.raises(InferenceFailed, match="broke"):
        await asyncio.wait_for(texts(merged([*answers(1, quiet), *answers(1, broken)], 1)), 5)


async def test_leaving_the_stream_leaves_no_task_behind() -> None:
    gate = asyncio.Semaphore(1)
    pieces = merged(answers(2, FakeGeneration(gate=gate)), 1)
    before = asyncio.all_tasks()
    await anext(pieces)
    assert len(asyncio.all_tasks() - before) == 2
    await pieces.aclose()  # type: ignore[attr-defined]  # it is a generator
    assert not asyncio.all_tasks() - before


async def test_what_nobody_reads_waits_in_the_answers() -> None:
    request = GenerateRequest(model_name="m", max_tokens=10 * MAX_UNREAD)
    service = FakeGeneration()
    both = [CountedAnswer(request, service), CountedAnswer(request, service)]
    pieces = merged(both, 1)
    await anext(pieces)
    for _ in range(4 * MAX_UNREAD):
        await asyncio.sleep(0)
    assert sum(answer.given for answer in both) <= MAX_UNREAD + 2 * len(both)
    rest = await texts(pieces)
    assert len(rest[0]) + len(rest[1]) > 19 * MAX_UNREAD


async def test_close_all_closes_every_answer() -> None:
    several = answers(3, FakeGeneration())
    await close_all(several)
    assert all(answer.closed for answer in several)
