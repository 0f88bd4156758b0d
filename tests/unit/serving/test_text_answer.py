"""How answers end, and what is measured of them."""

import asyncio
from typing import Any

import pytest

from serving.errors import (
    Cancelled,
    DeadlineExceeded,
    InferenceFailed,
    ServingError,
    ShuttingDown,
)
from serving.generation_types import (
    FinishReason,
    collect,
)
from serving.tasks.text_answer import TextAnswer
from serving.token_scheduler import Job
from tests.fake_generators import Generator


@pytest.fixture
async def model() -> Generator:
    return Generator()


# --- the end -------------------------------------------------------------------------------------


class Ending:
    """What an answer says of its end."""

    def __init__(self, answer: TextAnswer) -> None:
        self.errors: list[ServingError | None] = []
        answer.on_end = self.errors.append


async def test_an_answer_that_was_read_ends_well(model: Generator) -> None:
    answer = model.start(max_tokens=8)
    ending = Ending(answer)
    await collect(answer)
    assert ending.errors == [None]
    assert model.scheduler.active_rows() == 0
    assert model.sample("texts_total", reason="length") == 1
    assert model.sample("symbols_total", kind="read") == 3
    assert model.sample("symbols_total", kind="written") == 8


async def test_closing_stops_the_rows(model: Generator) -> None:
    answer = model.start(max_tokens=1000, n=3)
    ending = Ending(answer)
    await anext(aiter(answer))
    await answer.aclose()
    assert model.scheduler.active_rows() == 0
    assert [type(error) for error in ending.errors] == [Cancelled]
    assert model.sample("texts_total", reason="cancelled") == 3
    with pytest.raises(StopAsyncIteration):
        await anext(aiter(answer))


async def test_closing_twice_or_after_the_end_changes_nothing(model: Generator) -> None:
    answer = model.start(max_tokens=4)
    ending = Ending(answer)
    await collect(answer)
    await answer.aclose()
    await answer.aclose()
    assert ending.errors == [None]


async def test_closing_behind_the_last_piece_is_a_good_end(model: Generator) -> None:
    answer = model.start(max_tokens=4)
    ending = Ending(answer)
    assert (await anext(aiter(answer))).finish_reason is FinishReason.LENGTH
    await answer.aclose()
    assert ending.errors == [None]


async def test_a_reader_that_is_cancelled_stops_the_rows(model: Generator) -> None:
    model.scheduler.paused = True
    answer = model.start(max_tokens=1000)
    ending = Ending(answer)
    reading = asyncio.create_task(collect(answer))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert model.scheduler.active_rows() == 0
    assert [type(error) for error in ending.errors] == [Cancelled]


async def test_closing_wakes_a_reader_that_waits(model: Generator) -> None:
    model.scheduler.paused = True
    answer = model.start(max_tokens=1000)
    reading = asyncio.create_task(anext(aiter(answer), None))
    await asyncio.sleep(0)
    await answer.aclose()
    assert await asyncio.wait_for(reading, 1) is None


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (DeadlineExceeded("late"), "deadline"),
        (InferenceFailed("broken"), "error"),
        (ShuttingDown("bye"), "error"),
    ],
)
async def test_a_row_that_fails_fails_the_answer(
    model: Generator, error: ServingError, reason: str
) -> None:
    answer = model.start(max_tokens=1000, n=3)
    ending = Ending(answer)
    pieces = aiter(answer)
    await anext(pieces)
    model.scheduler.fail(model.scheduler.jobs[1], error)
    # What came before the fault is given.
    assert [(await anext(pieces)).index for _ in range(2)] == [1, 2]
    with pytest.raises(type(error)):
        await anext(pieces)
    assert model.scheduler.active_rows() == 0
    assert ending.errors == [error]
    assert model.sample("texts_total", reason=reason) == 3


@pytest.mark.parametrize(
    "fields", [{"best_of": 3}, {"beam_width": 3}, {"echo": True, "logprobs": 1}]
)
async def test_a_fault_ends_an_answer_of_any_kind(model: Generator, fields: dict[str, Any]) -> None:
    model.scheduler.paused = True
    answer = model.start(max_tokens=10, **fields)
    jobs: list[Job] = model.scheduler.jobs
    model.scheduler.fail(jobs[0], InferenceFailed("broken"))
    with pytest.raises(InferenceFailed):
        await collect(answer)
    assert model.scheduler.active_rows() == 0


async def test_closing_the_scheduler_ends_all_answers(model: Generator) -> None:
    answers = [model.start(max_tokens=1000, n=2) for _ in range(3)]
    model.scheduler.close()
    for answer in answers:
        with pytest.raises(ShuttingDown):
            await collect(answer)


# --- metrics -------------------------------------------------------------------------------------


async def test_times_of_symbols_are_measured(model: Generator) -> None:
    model.scheduler.paused = True
    answer = model.start(max_tokens=12)
    times = iter((0.25, 0.65, 0.66))
    pieces = aiter(answer)
    for _ in range(3):
        model.now = next(times)
        model.scheduler.paused = False
        model.scheduler.resume()
        await anext(pieces)
        model.scheduler.paused = True
    assert model.sample("first_symbol_seconds_count") == 1
    assert model.sample("first_symbol_seconds_sum") == 0.25
    assert model.sample("symbol_interval_seconds_count") == 8
    # Two differences of the numbers above, added up in float64.
    assert model.sample("symbol_interval_seconds_sum") == pytest.approx(0.41)


async def test_a_text_of_no_symbols_has_no_first_one(model: Generator) -> None:
    await model.kept("abc", max_tokens=0)
    assert model.sample("first_symbol_seconds_count") == 0
