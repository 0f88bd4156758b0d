"""The rules of continuous batching, one by one; ``test_slots_crowd`` has any mixture of them."""

import logging
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from serving.errors import (
    DeadlineExceeded,
    InferenceFailed,
    InvalidInput,
    QueueFull,
    ShuttingDown,
)
from serving.generation_types import Sampling
from serving.slots import PlannedRead, PlannedRun
from serving.token_scheduler import DecodeRun, Move, Run, RunResult
from tests.generation_sinks import RecordingSearch, RecordingSink
from tests.slot_driver import (
    SlotDriver,
    is_whole,
    make_row,
    make_rows,
    make_search,
    search_sink_of,
    sink_of,
    text_of,
)
from tests.step_engines import (
    STOPS,
    HashEngine,
    initial_state,
    read_symbols,
    search_alone,
    write_alone,
)

POISON = Sampling(top_k=13)


def poison(driver: SlotDriver) -> None:
    """Let the engine fail at every run that draws with ``POISON``."""

    def fault(run: Run) -> Exception | None:
        poisoned = isinstance(run, DecodeRun) and POISON in run.sampling
        return InferenceFailed("poison") if poisoned else None

    driver.engine = HashEngine(driver.rules.slots, fault=fault)


# Admission and retirement


def test_plan_needs_no_prefill_when_the_prompt_is_one_symbol() -> None:
    driver = SlotDriver(slots=2, steps=4)
    row = make_row((7,), 4)
    driver.submit(row)
    run = driver.decode()
    assert run.moves == (Move(slot=0),)
    assert run.token.tolist() == [7]
    assert is_whole(row)


def test_plan_reads_all_but_the_last_symbol_of_a_prompt_before_it_writes() -> None:
    driver = SlotDriver(slots=1, prefill_chunk=8)
    row = make_row((7, 8, 9), 4)
    driver.submit(row)
    read = driver.prefill()
    assert (read.tokens.tolist(), read.lengths.tolist()) == ([[7, 8]], [2])
    assert not read.score
    assert driver.decode().token.tolist() == [9]
    assert is_whole(row)


def test_plan_reads_long_prompts_in_chunks() -> None:
    driver = SlotDriver(slots=1, prefill_chunk=3)
    row = make_row(tuple(range(8)), 2)
    driver.submit(row)
    assert [driver.prefill().lengths.tolist() for _ in range(3)] == [[3], [3], [1]]
    driver.run_all()
    assert is_whole(row)


def test_plan_admits_a_waiting_row_right_after_the_run_in_which_another_ended() -> None:
    driver = SlotDriver(slots=2, steps=4)
    rows = [make_row(max_tokens=4), make_row(max_tokens=12), make_row(max_tokens=4)]
    for row in rows:
        driver.submit(row)
    assert (driver.core.active_rows, driver.core.waiting_rows) == (2, 1)
    driver.decode()
    assert is_whole(rows[0])
    assert driver.decode().slots == (1, 0)
    assert is_whole(rows[2])
    driver.run_all()
    assert is_whole(rows[1])


def test_plan_admits_row_by_row_when_a_request_has_more_rows_than_slots() -> None:
    driver = SlotDriver(slots=3, steps=2)
    blocker, rows = make_row(max_tokens=6), make_rows(8, max_tokens=2)
    driver.submit(blocker)
    driver.submit(*rows)
    assert (driver.core.active_rows, driver.core.waiting_rows) == (3, 6)
    driver.decode()
    assert [is_whole(row) for row in rows] == [True] * 2 + [False] * 6
    driver.run_all()
    assert all(map(is_whole, [blocker, *rows]))


def test_oldest_waiting_is_the_job_without_a_slot_that_came_first() -> None:
    driver = SlotDriver(slots=1, steps=4)
    for now in (1.0, 2.0, 3.0):
        driver.now = now
        driver.submit(make_row(max_tokens=4))
    driver.now = 9.0
    assert driver.core.oldest_waiting == 2.0
    driver.run_all()
    assert driver.core.oldest_waiting is None


def test_plan_gives_slots_to_clients_in_turns() -> None:
    driver = SlotDriver(slots=1, steps=4)
    order: list[str] = []
    for name in ("a1", "a2", "a3", "b1"):
        row = make_row(client=name[0])
        sink_of(row).on_accept = lambda name=name: order.append(name)
        driver.submit(row)
    driver.run_all()
    assert order == ["a1", "a2", "b1", "a3"]


def test_submit_refuses_all_rows_when_too_many_would_wait() -> None:
    driver = SlotDriver(slots=1, max_waiting_rows=2)
    driver.submit(make_row())
    driver.submit(make_row())
    refused = make_rows(2)
    with pytest.raises(QueueFull, match="1 rows wait, 2 may") as caught:
        driver.submit(*refused)
    assert caught.value.retry_after_s == 1.0
    driver.run_all()
    assert not any(sink_of(row).pieces for row in refused)


def test_submit_says_when_to_retry_from_how_long_texts_take() -> None:
    driver = SlotDriver(slots=2, steps=4, max_waiting_rows=3)
    for _ in range(300):
        driver.submit(make_row())
        planned = driver.plan()
        driver.now += 2.0
        driver.finish(planned)
    driver.submit(*make_rows(2))
    driver.submit(*make_rows(3))
    with pytest.raises(QueueFull) as caught:
        driver.submit(make_row())
    # Three rows wait for two slots that each text holds for 2 s.
    assert caught.value.retry_after_s == pytest.approx(3.0, rel=1e-3)


@pytest.mark.parametrize(
    "job",
    [
        make_row(()),
        make_row(seed=2**64),
        make_row(stream=-1),
        make_row(position=-1),
        make_search(0),
    ],
)
def test_submit_refuses_a_job_that_could_stop_the_others(job: Any) -> None:
    driver = SlotDriver(slots=2)
    good = make_row()
    with pytest.raises(ValueError, match=r"prompt|random numbers|beams"):
        driver.submit(good, job)
    assert driver.core.idle


# Which rows run together


def test_plan_divides_the_rows_between_the_lanes() -> None:
    driver = SlotDriver(slots=8, lanes=2, steps=2)
    rows = make_rows(7, max_tokens=6)
    driver.submit(*rows)
    first, second = driver.plan(), driver.plan()
    assert isinstance(first, PlannedRun)
    assert isinstance(second, PlannedRun)
    assert (first.run.slots, second.run.slots) == ((0, 1, 2, 3), (4, 5, 6))
    assert driver.plan() is None
    driver.finish(first)
    third = driver.plan()
    assert isinstance(third, PlannedRun)
    assert third.run.slots == (0, 1, 2, 3)
    driver.finish(second)
    driver.finish(third)
    driver.run_all()
    assert all(map(is_whole, rows))


def test_plan_takes_those_who_have_waited_longest_first() -> None:
    driver = SlotDriver(slots=4, steps=2, max_rows=3)
    rows = make_rows(4, max_tokens=6)
    driver.submit(*rows)
    assert [driver.decode().slots for _ in range(4)] == [
        (0, 1, 2), (3, 0, 1), (2, 3, 0), (1, 2, 3),
    ]  # fmt: skip


def test_plan_makes_no_more_steps_than_the_longest_row_wants() -> None:
    driver = SlotDriver(slots=2, steps=16)
    rows = [make_row(max_tokens=3), make_row(max_tokens=21)]
    driver.submit(*rows)
    assert driver.decode().uniform.shape == (2, 16)
    assert driver.decode().uniform.shape == (1, 5)
    assert all(map(is_whole, rows))


def test_plan_keeps_texts_from_waiting_for_two_prefill_runs_in_a_row() -> None:
    driver = SlotDriver(slots=8, steps=2, prefill_chunk=2, prefill_rows=2)
    writer, readers = make_row(max_tokens=10), [make_row((2,) * 9, 2) for _ in range(6)]
    driver.submit(writer)
    driver.decode()
    for reader in readers:
        driver.submit(reader)
    kinds = [driver.run().kind for _ in range(8)]
    assert kinds == ["prefill", "decode"] * 4


def test_plan_keeps_one_lane_for_texts_while_prompts_are_read() -> None:
    driver = SlotDriver(slots=8, lanes=2, steps=2, prefill_chunk=2, prefill_rows=2)
    driver.submit(make_row(max_tokens=100))
    for _ in range(6):
        driver.submit(make_row((2,) * 99, 2))
    reading, writing = driver.plan(), driver.plan()
    for _ in range(5):
        assert isinstance(reading, PlannedRun)
        assert isinstance(writing, PlannedRun)
        assert {reading.run.kind, writing.run.kind} == {"prefill", "decode"}
        driver.finish(writing)
        writing = driver.plan()
    driver.finish(reading)
    again = driver.plan()
    assert isinstance(again, PlannedRun)
    assert again.run.kind == "prefill"


def test_plan_reads_prompts_on_all_lanes_when_nobody_writes() -> None:
    driver = SlotDriver(slots=4, lanes=2)
    driver.submit(*[make_row((n, n), 2) for n in range(4)])
    first, second = driver.plan(), driver.plan()
    assert isinstance(first, PlannedRun)
    assert isinstance(second, PlannedRun)
    assert (first.run.kind, first.run.slots) == ("prefill", (0, 1))
    assert (second.run.kind, second.run.slots) == ("prefill", (2, 3))


# Random numbers


def test_plan_draws_numbers_by_seed_stream_and_position() -> None:
    driver = SlotDriver(slots=2, steps=4)
    whole = make_row(max_tokens=12)
    driver.submit(whole)
    driver.run_all()
    state = read_symbols(initial_state(), (1, *text_of(whole)[:4]))
    rest = make_row((text_of(whole)[4],), 7, position=5, state=state)
    driver.submit(make_row(seed=9), rest)
    driver.run_all()
    assert sink_of(whole).tokens == text_of(whole)
    assert sink_of(rest).tokens == text_of(whole)[5:]


# One prompt for several rows


def test_plan_reads_a_prompt_once_for_all_rows_of_a_request() -> None:
    driver = SlotDriver(slots=4, steps=2)
    rows = make_rows(4, prompt=(3, 4, 5), max_tokens=4)
    driver.submit(*rows)
    assert driver.prefill().slots == (0,)
    fork = driver.decode()
    assert fork.slots == (0, 1, 2, 3)
    assert fork.moves == tuple(Move(slot=slot, source=0) for slot in (1, 2, 3))
    assert fork.snapshots == ()
    driver.run_all()
    assert all(map(is_whole, rows))


def test_plan_keeps_a_copy_of_the_prompts_state_for_rows_that_have_no_slot_yet() -> None:
    driver = SlotDriver(slots=2, steps=2)
    rows = make_rows(5, prompt=(3, 4, 5), max_tokens=2)
    driver.submit(*rows)
    assert driver.prefill().slots == (0,)
    assert driver.decode().snapshots == (0,)
    driver.run_all()
    assert [run.kind for run in driver.engine.runs] == ["prefill"] + ["decode"] * 3
    assert all(map(is_whole, rows))


def test_plan_reads_apart_what_differs_in_prompt_or_state() -> None:
    driver = SlotDriver(slots=4, lanes=1)
    state = read_symbols(initial_state(), (9,))
    rows = [make_row((3, 4)), make_row((3, 5)), make_row((3, 4), state=state)]
    driver.submit(*rows)
    assert len(driver.prefill().slots) == 3
    driver.run_all()
    assert all(map(is_whole, rows))


@pytest.mark.parametrize("slots", [1, 3])
def test_cancel_passes_the_reading_on_when_the_reader_leaves(slots: int) -> None:
    driver = SlotDriver(slots=slots, prefill_chunk=2)
    rows = make_rows(3, prompt=(3, 4, 5, 6, 7), max_tokens=2)
    driver.submit(*rows)
    driver.prefill()
    driver.core.cancel(rows[0])
    sink_of(rows[0]).deaf = True
    assert driver.prefill().tokens.tolist() == [[5, 6]]
    driver.run_all()
    assert all(map(is_whole, rows[1:]))


@pytest.mark.parametrize("slots", [1, 3])
def test_cancel_passes_the_initial_state_on_when_the_reader_leaves_before_it_reads(
    slots: int,
) -> None:
    driver = SlotDriver(slots=slots)
    state = read_symbols(initial_state(), (9, 9))
    rows = make_rows(3, prompt=(3, 4, 5), state=state)
    driver.submit(*rows)
    driver.core.cancel(rows[0])
    sink_of(rows[0]).deaf = True
    driver.run_all()
    assert all(map(is_whole, rows[1:]))


def test_cancel_passes_the_reading_on_when_the_readers_run_is_under_way() -> None:
    driver = SlotDriver(slots=3, prefill_chunk=2)
    rows = make_rows(3, prompt=(3, 4, 5, 6, 7), max_tokens=2)
    driver.submit(*rows)
    planned = driver.plan()
    driver.core.cancel(rows[0])
    sink_of(rows[0]).deaf = True
    driver.finish(planned)
    assert driver.prefill().tokens.tolist() == [[5, 6]]
    driver.run_all()
    assert all(map(is_whole, rows[1:]))


def test_apply_gives_prompt_scores_to_every_row_that_wants_them() -> None:
    driver = SlotDriver(slots=1, prefill_chunk=2)
    rows = make_rows(2, prompt=(3, 4, 5, 6), max_tokens=1, score_prompt=True)
    rows.append(make_row((3, 4, 5, 6), 1))
    driver.submit(*rows)
    assert [driver.prefill().score for _ in range(2)] == [True, True]
    heard = [sink_of(row).prompt_scores for row in rows]
    assert [[len(part) for part in parts] for parts in heard] == [[2, 1], [2, 1], []]
    np.testing.assert_array_equal(np.concatenate(heard[0]), np.concatenate(heard[1]))
    driver.run_all()


# What a model of pictures needs beside


def test_plan_forbids_stop_symbols_until_a_row_has_its_least() -> None:
    driver = SlotDriver(slots=2, steps=4)
    row, other = make_row(max_tokens=12, min_tokens=6), make_row(seed=6, max_tokens=12)
    assert STOPS & set(text_of(replace(row, min_tokens=0))[:6])
    driver.submit(row, other)
    runs = [driver.decode().minimum for _ in range(3)]
    assert [None if one is None else one.tolist() for one in runs] == [[6, 0], [2, 0], None]
    assert is_whole(row)
    assert not STOPS & set(sink_of(row).tokens[:6])
    assert is_whole(other)


def test_apply_gives_attention_to_rows_that_want_it() -> None:
    driver = SlotDriver(slots=2, steps=4, prefill_chunk=2)
    rows = make_rows(2, prompt=(3, 4, 5, 6), max_tokens=6, score_prompt=True)
    rows[1].attention = True
    driver.submit(*rows)
    assert [driver.prefill().attention for _ in range(2)] == [True, True]
    assert [driver.decode().attention for _ in range(2)] == [True, True]
    without, with_attention = map(sink_of, rows)
    assert without.attention == []
    assert without.prompt_attention == [None, None]
    alone = write_alone(rows[1]).attention
    assert alone is not None
    assert with_attention.attention == alone.tolist()
    assert [len(part) for part in with_attention.prompt_attention if part is not None] == [2, 1]


def test_plan_asks_for_no_attention_that_nobody_wants() -> None:
    driver = SlotDriver(slots=1)
    driver.submit(make_row((3, 4), attention=True), make_row((4, 5), score_prompt=True))
    assert [driver.run().attention for _ in range(4)] == [False, True, False, False]


def test_apply_gives_no_attention_when_the_model_has_none() -> None:
    driver = SlotDriver(slots=3)
    row, search = (
        make_row((3, 4), attention=True, score_prompt=True),
        make_search(2, attention=True),
    )
    driver.submit(row, search)
    while isinstance(planned := driver.plan(), PlannedRun):
        result = replace(driver.engine.end(planned.run), attention=None)
        driver.core.apply(planned, result, driver.now)
    assert is_whole(row)
    assert sink_of(row).attention == []
    assert sink_of(row).prompt_attention == [None]
    assert {seen for _, _, seen in search_sink_of(search).shown} == {None}


def test_settle_gives_the_constants_back_with_the_state() -> None:
    driver = SlotDriver(slots=2, steps=4)
    row = make_row((2, 3), 7, keep_state=True, state={"key": initial_state(9)["key"]})
    driver.submit(row, make_row(stream=1, max_tokens=9))
    driver.run_all()
    state = sink_of(row).state
    assert state is not None
    assert state["key"].tolist() == [9]
    assert is_whole(row)


def test_plan_furnishes_every_row_of_a_request_with_its_constants() -> None:
    driver = SlotDriver(slots=3, steps=2)
    state = {"key": initial_state(5)["key"]}
    rows = make_rows(5, prompt=(3, 4, 5), max_tokens=3, state=state)
    others = make_rows(2, prompt=(3, 4, 5), max_tokens=3)
    driver.submit(*rows)
    driver.submit(*others)
    driver.run_all()
    assert all(map(is_whole, [*rows, *others]))


# Rows that write nothing


def test_apply_ends_rows_that_only_read_when_their_prompt_is_read() -> None:
    driver = SlotDriver(slots=1)
    rows = make_rows(3, prompt=(3, 4), max_tokens=0, score_prompt=True)
    driver.submit(*rows)
    driver.prefill()
    assert driver.core.idle
    assert all(sink_of(row).pieces == [0] for row in rows)


def test_apply_ends_rows_that_only_read_beside_rows_of_the_same_prompt_that_write() -> None:
    driver = SlotDriver(slots=4)
    rows = [make_row((3, 4), length) for length in (0, 5, 0, 5)]
    driver.submit(*rows)
    driver.run_all()
    assert [sink_of(row).pieces for row in rows] == [[0], [5], [0], [5]]
    assert all(map(is_whole, rows))


@pytest.mark.parametrize("prompt", [(3,), (3, 4, 5)])
@pytest.mark.parametrize("read_before", [(), (8, 9)])
def test_settle_gives_the_state_of_a_row_that_only_reads(
    prompt: tuple[int, ...], read_before: tuple[int, ...]
) -> None:
    driver = SlotDriver(slots=1)
    state = read_symbols(initial_state(), read_before) if read_before else None
    row = make_row(prompt, 0, keep_state=True, state=state)
    driver.submit(row)
    driver.run_all()
    sink = sink_of(row)
    assert sink.state is not None
    expected = read_symbols(initial_state(), (*read_before, *prompt[:-1]))
    assert sink.state["hash"].tolist() == expected["hash"].tolist()
    assert sink.last == prompt[-1]


# Kept states


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 8])
def test_settle_gives_the_state_before_the_last_symbol(length: int) -> None:
    driver = SlotDriver(slots=2, steps=4, prefill_chunk=2)
    stop = text_of(make_row(max_tokens=length))[-1]
    sink = RecordingSink(limit=20, stop=stop, keeps_state=True)
    row = make_row(max_tokens=20, keep_state=True, sink=sink)
    driver.submit(row, make_row(stream=1, max_tokens=30))
    driver.run_all()
    symbols = (1, *sink.tokens)
    assert sink.state is not None
    expected = read_symbols(initial_state(), symbols[:-1])
    assert sink.state["hash"].tolist() == expected["hash"].tolist()
    assert sink.last == symbols[-1] == stop


def test_settle_needs_no_run_when_no_symbol_of_the_last_run_belongs_to_the_text() -> None:
    driver = SlotDriver(slots=1, steps=2)
    text = text_of(make_row(max_tokens=3))
    sink = RecordingSink(limit=9, stop=text[2], stop_counts=False, keeps_state=True)
    driver.submit(make_row(max_tokens=9, keep_state=True, sink=sink))
    driver.run_all()
    assert len(driver.engine.runs) == 2
    assert sink.state is not None
    assert sink.state["hash"].tolist() == (
        read_symbols(initial_state(), (1, text[0]))["hash"].tolist()
    )
    assert sink.last == text[1]


def test_settle_gives_a_state_that_goes_on_as_the_uninterrupted_text() -> None:
    driver = SlotDriver(slots=1, steps=4)
    whole = make_row((2, 3), 20)
    sink = RecordingSink(limit=7, keeps_state=True)
    driver.submit(make_row((2, 3), 7, keep_state=True, sink=sink))
    driver.run_all()
    assert sink.last is not None
    rest = make_row((sink.last,), 13, state=sink.state, position=7)
    driver.submit(rest)
    driver.run_all()
    assert sink.tokens + sink_of(rest).tokens == text_of(whole)


def test_settle_holds_the_slot_until_the_state_is_read() -> None:
    driver = SlotDriver(slots=1, steps=4)
    driver.submit(make_row(keep_state=True))
    driver.decode()
    assert driver.core.active_rows == 1
    planned = driver.plan()
    assert isinstance(planned, PlannedRead)
    assert planned.slots == (0,)
    driver.finish(planned)
    assert (driver.core.active_rows, driver.core.idle) == (0, True)


# Ends that come from outside


def test_cancel_frees_the_slot_at_once_when_no_run_has_it() -> None:
    driver = SlotDriver(slots=1)
    row = make_row()
    driver.submit(row)
    driver.core.cancel(row)
    assert (driver.core.active_rows, driver.core.idle) == (0, True)
    assert driver.plan() is None


def test_cancel_frees_the_slot_after_the_run_that_is_under_way() -> None:
    driver = SlotDriver(slots=1, steps=2)
    row, next_row = make_row(max_tokens=9), make_row(max_tokens=2)
    driver.submit(row)
    driver.submit(next_row)
    planned = driver.plan()
    driver.core.cancel(row)
    sink_of(row).deaf = True
    assert driver.core.active_rows == 1
    driver.finish(planned)
    assert driver.decode().slots == (0,)
    assert is_whole(next_row)
    assert driver.core.idle


def test_cancel_takes_a_waiting_row_out_of_the_queue() -> None:
    driver = SlotDriver(slots=1, steps=4)
    rows = make_rows(3)
    driver.submit(*rows)
    driver.core.cancel(rows[1])
    sink_of(rows[1]).deaf = True
    assert driver.core.waiting_rows == 1
    driver.run_all()
    assert is_whole(rows[2])


def test_cancel_is_ignored_when_the_job_is_finished_or_unknown() -> None:
    driver = SlotDriver(slots=1, steps=4)
    row = make_row()
    driver.submit(row)
    driver.run_all()
    driver.core.cancel(row)
    driver.core.cancel(make_search(2))
    assert driver.core.idle


def test_cancel_of_any_row_works_from_within_a_sink() -> None:
    driver = SlotDriver(slots=3, steps=2)
    rows = make_rows(3, max_tokens=6)

    def cancel_all() -> None:
        for row in rows:
            driver.core.cancel(row)
            sink_of(row).deaf = True

    sink_of(rows[1]).on_accept = cancel_all
    driver.submit(*rows)
    driver.decode()
    assert [len(sink_of(row).pieces) for row in rows] == [1, 1, 0]
    assert (driver.core.active_rows, driver.core.idle) == (0, True)


def test_expire_fails_waiting_and_running_rows_when_their_time_is_over() -> None:
    driver = SlotDriver(slots=1, steps=2)
    running, waiting = make_row(max_tokens=9, deadline=3.0), make_row(deadline=2.0)
    patient = make_row()
    for row in (running, waiting, patient):
        driver.submit(row)
    planned = driver.plan()
    assert driver.core.next_expiry() == 2.0
    driver.core.expire(2.0)
    assert isinstance(sink_of(waiting).error, DeadlineExceeded)
    assert sink_of(running).error is None
    driver.core.expire(3.0)
    assert isinstance(sink_of(running).error, DeadlineExceeded)
    assert driver.core.next_expiry() is None
    driver.finish(planned)
    assert sink_of(running).pieces == []
    driver.run_all()
    assert is_whole(patient)


def test_apply_ends_a_row_at_max_tokens_when_its_sink_does_not() -> None:
    driver = SlotDriver(slots=1, steps=4)
    row = make_row(max_tokens=6, sink=RecordingSink(limit=None))
    driver.submit(row)
    driver.run_all()
    assert sink_of(row).tokens[:6] == text_of(row)


# Faults


def test_fail_repeats_the_run_row_by_row_so_that_the_culprit_fails_alone() -> None:
    driver = SlotDriver(slots=4, steps=2)
    poison(driver)
    rows = make_rows(3, max_tokens=4)
    culprit = make_row(sampling=POISON)
    driver.submit(*rows[:2], culprit, rows[2])
    driver.run_all()
    assert all(map(is_whole, rows))
    assert isinstance(sink_of(culprit).error, InferenceFailed)
    sizes = [len(run.slots) for run in driver.engine.runs]
    assert sizes == [4, 1, 1, 1, 1, 3]


def test_fail_repeats_forks_and_beams_when_their_moves_were_made_already() -> None:
    driver = SlotDriver(slots=8, steps=1)
    rows = make_rows(3, prompt=(2, 3), max_tokens=5)
    search = make_search(4, steps=6, prompt=(4, 5))
    driver.submit(*rows, search)
    error = InferenceFailed("once")
    while (planned := driver.plan()) is not None:
        if isinstance(planned, PlannedRun) and len(planned.units) > 1:
            with pytest.raises(InferenceFailed, match="once"):
                driver.engine.end(planned.run, fail=error)
            driver.core.fail(planned, error)
        else:
            driver.finish(planned)
    assert all(map(is_whole, rows))
    alone = RecordingSearch(width=4, steps=6)
    search_alone(search, alone)
    assert search_sink_of(search).shown == alone.shown


def test_fail_ends_all_rows_at_once_when_the_engine_is_shut_down() -> None:
    driver = SlotDriver(slots=2)
    rows = make_rows(2)
    driver.submit(*rows)
    planned = driver.plan()
    assert planned is not None
    driver.core.fail(planned, ShuttingDown("closed"))
    assert all(isinstance(sink_of(row).error, ShuttingDown) for row in rows)
    assert (driver.core.active_rows, driver.core.idle) == (0, True)


@pytest.mark.parametrize("method", ["read", "accept", "settled"])
def test_apply_fails_a_row_when_its_sink_raises(
    method: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(RecordingSink):
        pass

    def explode(*_: object) -> None:
        raise ZeroDivisionError("sink")

    setattr(Broken, method, explode)
    driver = SlotDriver(slots=3, steps=2)
    sink = Broken(limit=4, keeps_state=True)
    broken = make_row((2, 3), sink=sink, keep_state=True, score_prompt=True)
    others = make_rows(2, prompt=(2, 3))
    driver.submit(broken, *others)
    with caplog.at_level(logging.ERROR):
        driver.run_all()
    assert "ZeroDivisionError" in caplog.text
    assert isinstance(sink.error, InferenceFailed)
    assert all(map(is_whole, others))


def test_fail_goes_on_when_a_sink_raises_at_being_told(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(RecordingSink):
        def failed(self, error: Exception) -> None:
            raise ZeroDivisionError("sink")

    driver = SlotDriver(slots=2)
    other = make_row()
    driver.submit(make_row(sink=Broken(limit=4)), other)
    driver.core.give_up_all(ShuttingDown("closed"))
    assert "ZeroDivisionError" in caplog.text
    assert isinstance(sink_of(other).error, ShuttingDown)
    assert driver.core.idle


def test_apply_fails_a_search_when_its_sink_chooses_what_is_not_there() -> None:
    class Confused(RecordingSearch):
        def choose(self, top_tokens: Any, top_log_probabilities: Any, attention: Any) -> Any:
            beams = RecordingSearch.choose(self, top_tokens, top_log_probabilities, attention)
            assert beams is not None
            return type(beams)((len(top_tokens),), (0,))

    driver = SlotDriver(slots=3, steps=2)
    search, other = make_search(2), make_row()
    search.sink = Confused(width=2, steps=4)
    driver.submit(search, other)
    driver.run_all()
    assert isinstance(search.sink.error, InferenceFailed)
    assert is_whole(other)


def test_abandon_gives_up_those_whose_slots_are_in_an_unknown_state() -> None:
    driver = SlotDriver(slots=3, prefill_chunk=2)
    rows, other = make_rows(2, prompt=(2, 3, 4, 5)), make_row()
    driver.submit(*rows)
    planned = driver.plan()
    driver.submit(other)
    assert isinstance(planned, PlannedRun)
    driver.engine.end(planned.run)
    driver.core.abandon(planned, InferenceFailed("rubbish"))
    assert all(isinstance(sink_of(row).error, InferenceFailed) for row in rows)
    driver.run_all()
    assert is_whole(other)


# Beam search


def test_plan_steps_a_search_one_symbol_at_a_time() -> None:
    driver = SlotDriver(slots=4, steps=16)
    search = make_search(3, steps=5)
    driver.submit(search)
    driver.run_all()
    runs = [run for run in driver.engine.runs if isinstance(run, DecodeRun)]
    assert [run.uniform.shape[1] for run in runs] == [1] * 5
    assert all(set(run.alternatives.tolist()) == {3} for run in runs)
    assert {sampling for run in runs for sampling in run.sampling} == {Sampling(temperature=0.0)}
    alone = RecordingSearch(width=3, steps=5)
    search_alone(search, alone)
    assert search_sink_of(search).shown == alone.shown


def test_plan_takes_all_searches_in_one_run_and_texts_in_another() -> None:
    driver = SlotDriver(slots=8, steps=4)
    driver.submit(make_search(2, prompt=(1,)))
    driver.submit(make_search(2, prompt=(2,)))
    driver.submit(make_row((3,), 8))
    assert [driver.decode().token.tolist() for _ in range(2)] == [[3], [1, 2]]
    driver.run_all()


def test_plan_takes_texts_and_searches_together_when_all_make_one_step() -> None:
    driver = SlotDriver(slots=4, steps=1)
    driver.submit(make_search(2), make_row((3,), 1))
    assert driver.decode().token.tolist() == [3, 1]
    driver.run_all()


def test_plan_serves_searches_when_texts_alone_would_fill_every_run() -> None:
    driver = SlotDriver(slots=4, steps=1, max_rows=2)
    search = make_search(2, steps=3)
    driver.submit(*make_rows(2, max_tokens=50), search)
    for _ in range(6):
        driver.decode()
    assert search_sink_of(search).over
    driver.run_all()


def test_plan_moves_only_beams_that_share_a_parent() -> None:
    driver = SlotDriver(slots=4)
    search = make_search(4, steps=30)
    driver.submit(search)
    driver.run_all()
    moves = [move for run in driver.engine.runs[1:] for move in run.moves]
    assert moves
    for run in driver.engine.runs[1:]:
        sources = {move.source for move in run.moves}
        assert None not in sources
        assert not sources & {move.slot for move in run.moves}


def test_plan_moves_constants_once_to_each_slot_of_a_search() -> None:
    driver = SlotDriver(slots=8)
    searches = [
        make_search(4, steps=30, prompt=(key,), state=initial_state(key), attention=True)
        for key in (1, 2)
    ]
    driver.submit(*searches)
    driver.run_all()
    moves = [move for run in driver.engine.runs[1:] for move in run.moves]
    furnished = [move.slot for move in moves if move.constants]
    assert len(furnished) == len(set(furnished)) == 6
    assert len(moves) > len(furnished)
    for search in searches:
        alone = RecordingSearch(width=4, steps=30)
        search_alone(search, alone)
        assert search_sink_of(search).shown == alone.shown


@pytest.mark.parametrize("moved", [False, True])
def test_fail_leaves_searches_their_constants_whether_moves_were_made_or_not(moved: bool) -> None:
    driver = SlotDriver(slots=8)
    searches = [make_search(3, steps=12, state=initial_state(key)) for key in (3, 4)]
    driver.submit(*searches)
    error = InferenceFailed("now and then")
    while (planned := driver.plan()) is not None:
        if isinstance(planned, PlannedRun) and len(planned.units) > 1:
            with pytest.raises(InferenceFailed, match="now and then"):
                driver.engine.end(planned.run, fail=error, moved=moved)
            driver.core.fail(planned, error)
        else:
            driver.finish(planned)
    for search in searches:
        alone = RecordingSearch(width=3, steps=12)
        search_alone(search, alone)
        assert search_sink_of(search).shown == alone.shown


def test_plan_collects_slots_for_a_search_without_starving_rows() -> None:
    driver = SlotDriver(slots=4, steps=4)
    for count in (4, 8, 12, 16):
        driver.submit(make_row(max_tokens=count))
    search, later = make_search(4, client="b", steps=2), make_rows(8, client="c", max_tokens=16)
    driver.submit(search)
    driver.submit(*later)
    holders = []
    while not search_sink_of(search).over:
        driver.run()
        holders.append(sum(bool(sink_of(row).pieces) for row in later))
    # Rows that came after the search took about every other slot that came free.
    assert 2 <= holders[-1] <= 4
    driver.run_all()
    assert all(map(is_whole, later))


def test_plan_reads_the_prompt_of_a_search_while_it_collects_its_slots() -> None:
    driver = SlotDriver(slots=3, steps=2)
    rows = [make_row(max_tokens=8), make_row(max_tokens=8)]
    driver.submit(*rows)
    search = make_search(3, prompt=(4, 5, 6), steps=2)
    driver.submit(search)
    assert (driver.core.active_rows, driver.core.waiting_rows) == (3, 2)
    assert driver.prefill().tokens.tolist() == [[4, 5]]
    driver.run_all()
    assert search_sink_of(search).over
    assert all(map(is_whole, rows))


def test_plan_lets_only_one_search_collect_slots_at_a_time() -> None:
    driver = SlotDriver(slots=4, steps=1)
    rows = make_rows(2, max_tokens=3)
    driver.submit(*rows)
    searches = [make_search(3, client=client, steps=3) for client in "ab"]
    driver.submit(*searches)
    assert (driver.core.active_rows, driver.core.waiting_rows) == (4, 4)
    driver.run_all()
    assert all(map(is_whole, rows))
    assert [len(search_sink_of(search).shown) for search in searches] == [3, 3]


def test_cancel_returns_the_slots_that_a_search_has_collected() -> None:
    driver = SlotDriver(slots=3, steps=4)
    row = make_row(max_tokens=12)
    driver.submit(row)
    search = make_search(3)
    driver.submit(search)
    driver.submit(*make_rows(2, max_tokens=4))
    driver.core.cancel(search)
    search_sink_of(search).deaf = True
    assert driver.decode().slots == (0, 1, 2)
    driver.run_all()


def test_submit_refuses_a_search_that_never_fits() -> None:
    driver = SlotDriver(slots=8, max_rows=4)
    with pytest.raises(InvalidInput, match="width 5 exceeds the 4 rows"):
        driver.submit(make_row(), make_search(5))
    assert driver.core.idle


def test_apply_hands_out_views_and_no_copies() -> None:
    driver = SlotDriver(slots=1, steps=4)
    seen = []

    class Looking(RecordingSink):
        def accept(self, drawn: Any) -> int | None:
            seen.append(drawn)
            return RecordingSink.accept(self, drawn)

    driver.submit(make_row(sink=Looking(limit=4), alternatives=2))
    planned = driver.plan()
    assert isinstance(planned, PlannedRun)
    result = driver.engine.end(planned.run)
    driver.core.apply(planned, result, 0.0)
    assert isinstance(result, RunResult)
    assert result.tokens is not None
    assert result.top_tokens is not None
    assert np.shares_memory(seen[0].tokens, result.tokens)
    assert np.shares_memory(seen[0].top_tokens, result.top_tokens)
    assert seen[0].top_tokens.shape == (4, 2)
