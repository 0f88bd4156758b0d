"""The loop around the rules: real threads, virtual time."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.continuous_batcher import ContinuousBatcher
from serving.errors import DeadlineExceeded, InferenceFailed, QueueFull, ShuttingDown
from serving.slots import SlotRules
from serving.token_scheduler import Row, RowState, Run, RunResult
from tests.generation_sinks import RecordingSink
from tests.slot_driver import (
    is_whole,
    make_row,
    make_rows,
    make_search,
    search_sink_of,
    sink_of,
    text_of,
)
from tests.step_engines import HashEngine
from tests.virtual_time import AnnouncedPool, VirtualTimeLoop, run_virtual

RUN_S = 1.0
"""Virtual time of one run."""


class SlowEngine(HashEngine):
    """Takes ``run_s`` virtual seconds a run."""

    def __init__(
        self,
        slots: int,
        loop: VirtualTimeLoop,
        *,
        run_s: Callable[[], float] = lambda: RUN_S,
        fault: Callable[[Run], Exception | None] | None = None,
    ) -> None:
        super().__init__(slots, fault=fault)
        self._loop = loop
        self._run_s = run_s

    def execute(self, run: Run) -> RunResult:
        """See ``StepEngine.execute``."""
        self.begin(run)
        self._loop.sleep_on_thread(self._run_s())
        return self.end(run)


@dataclass(slots=True)
class Recorder:
    """Remembers what the batcher reports."""

    runs: list[tuple[str, int, int]] = field(default_factory=list)

    def run_finished(
        self, kind: Literal["prefill", "decode"], rows: int, steps: int, seconds: float
    ) -> None:
        assert seconds > 0
        self.runs.append((kind, rows, steps))


@dataclass(slots=True)
class Bench:
    """A batcher with all that it needs, inside a virtual loop."""

    loop: VirtualTimeLoop
    engine: SlowEngine
    observer: Recorder
    batcher: ContinuousBatcher


def on_bench(
    scenario: Callable[[Bench], Coroutine[Any, Any, None]],
    *,
    engine_options: Any = None,
    **rules: Any,
) -> None:
    """Run ``scenario``, then drain: nothing may be left over."""
    loop = VirtualTimeLoop()
    slot_rules = SlotRules(**rules)
    pool = AnnouncedPool(slot_rules.lanes, loop)
    engine, observer = SlowEngine(slot_rules.slots, loop, **(engine_options or {})), Recorder()

    async def main() -> None:
        batcher = ContinuousBatcher(engine, pool, slot_rules, observer, loop.time)
        await scenario(Bench(loop, engine, observer, batcher))
        await batcher.drain()
        assert (batcher.active_rows(), batcher.waiting_rows()) == (0, 0)

    pool.start()
    try:
        run_virtual(main(), loop)
    finally:
        pool.stop()


def test_submit_joins_texts_that_arrive_together() -> None:
    async def scenario(bench: Bench) -> None:
        rows = make_rows(3)
        for row in rows:
            bench.batcher.submit([row])
        await bench.batcher.drain()
        assert all(map(is_whole, rows))
        assert bench.observer.runs == [("decode", 3, 4)]

    on_bench(scenario, slots=4)


def test_submit_lets_a_text_join_others_that_are_under_way() -> None:
    async def scenario(bench: Bench) -> None:
        first, second = make_row(max_tokens=12), make_row(max_tokens=4)
        bench.batcher.submit([first])
        await asyncio.sleep(0.5)
        bench.batcher.submit([second])
        await asyncio.sleep(1.6)
        assert is_whole(second)
        assert len(sink_of(first).tokens) == 8
        await bench.batcher.drain()
        assert is_whole(first)
        assert [rows for _, rows, _ in bench.observer.runs] == [1, 2, 1]

    on_bench(scenario, slots=4, steps=4)


def test_submit_runs_on_all_lanes_at_once() -> None:
    async def scenario(bench: Bench) -> None:
        bench.batcher.submit(make_rows(4, max_tokens=8))
        await bench.batcher.drain()
        assert bench.loop.time() == 2 * RUN_S
        assert bench.observer.runs == [("decode", 2, 4)] * 4

    on_bench(scenario, slots=4, steps=4, lanes=2)


def test_submit_refuses_when_the_queue_is_full_and_says_when_to_retry() -> None:
    async def scenario(bench: Bench) -> None:
        for _ in range(3):
            bench.batcher.submit([make_row()])
        with pytest.raises(QueueFull) as caught:
            bench.batcher.submit([make_row()])
        assert caught.value.retry_after_s == 1.0
        assert bench.batcher.waiting_rows() == 2
        assert bench.batcher.active_rows() == 1

    on_bench(scenario, slots=1, max_waiting_rows=2)


def test_cancel_lets_the_next_text_in_before_the_next_run() -> None:
    async def scenario(bench: Bench) -> None:
        gone, waiting = make_row(max_tokens=100), make_row(max_tokens=4)
        bench.batcher.submit([gone])
        bench.batcher.submit([waiting])
        await asyncio.sleep(1.5)
        bench.batcher.cancel(gone)
        sink_of(gone).deaf = True
        await bench.batcher.drain()
        assert bench.loop.time() == 3 * RUN_S
        assert is_whole(waiting)

    on_bench(scenario, slots=1, steps=4)


def test_cancel_ends_the_drain_when_it_takes_the_last_text() -> None:
    async def scenario(bench: Bench) -> None:
        row = make_row()
        bench.batcher.submit([row])
        bench.batcher.cancel(row)
        await bench.batcher.drain()
        assert bench.engine.runs == []

    on_bench(scenario, slots=1)


def test_deadline_fails_a_waiting_text_by_time_alone() -> None:
    async def scenario(bench: Bench) -> None:
        blocker, row = make_row(), make_row(deadline=2.0)
        bench.batcher.submit([blocker])
        bench.batcher.submit([row])
        await asyncio.sleep(1.9)
        assert sink_of(row).error is None
        await asyncio.sleep(0.2)
        assert isinstance(sink_of(row).error, DeadlineExceeded)
        assert not is_whole(blocker)

    on_bench(scenario, slots=1, engine_options={"run_s": lambda: 10.0})


def test_deadline_fails_a_running_text_in_the_midst_of_its_run() -> None:
    async def scenario(bench: Bench) -> None:
        row = make_row(max_tokens=8, deadline=1.5)
        bench.batcher.submit([row])
        await asyncio.sleep(1.6)
        assert isinstance(sink_of(row).error, DeadlineExceeded)
        assert len(sink_of(row).tokens) == 4

    on_bench(scenario, slots=1, steps=4)


def test_state_is_kept_and_goes_on_where_it_ended() -> None:
    async def scenario(bench: Bench) -> None:
        whole = make_row((2, 3), 20)
        first = make_row((2, 3), 6, keep_state=True)
        bench.batcher.submit([first])
        await bench.batcher.drain()
        sink = sink_of(first)
        assert sink.last is not None
        rest = make_row((sink.last,), 14, state=sink.state, position=6)
        bench.batcher.submit([rest])
        await bench.batcher.drain()
        assert sink.tokens + sink_of(rest).tokens == text_of(whole)

    on_bench(scenario, slots=2, steps=4)


def test_failure_of_the_engine_reaches_only_its_cause(caplog: pytest.LogCaptureFixture) -> None:
    def fault(run: Run) -> Exception | None:
        return ValueError("secret") if run.kind == "decode" and 13 in run.token else None

    async def scenario(bench: Bench) -> None:
        rows, culprit = make_rows(3), make_row((13,))
        bench.batcher.submit([*rows, culprit])
        await bench.batcher.drain()
        assert all(map(is_whole, rows))
        error = sink_of(culprit).error
        assert isinstance(error, InferenceFailed)
        assert "secret" not in error.message
        assert "secret" in caplog.text

    with caplog.at_level(logging.WARNING):
        on_bench(scenario, slots=4, engine_options={"fault": fault})


def test_unusable_result_ends_the_texts_that_were_to_have_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Careless(SlowEngine):
        def execute(self, run: Run) -> RunResult:
            result = super().execute(run)
            return RunResult(seconds=1.0) if run.kind == "decode" else result

    async def scenario(bench: Bench) -> None:
        bench.batcher._engine = Careless(2, bench.loop)
        rows = make_rows(2)
        bench.batcher.submit(rows)
        await bench.batcher.drain()
        assert all(isinstance(sink_of(row).error, InferenceFailed) for row in rows)
        assert "could not be used" in caplog.text
        bench.batcher._engine = bench.engine
        row = make_row()
        bench.batcher.submit([row])
        await bench.batcher.drain()
        assert is_whole(row)

    on_bench(scenario, slots=2)


def test_failure_to_read_a_state_fails_its_row() -> None:
    class Forgetful(SlowEngine):
        def read_state(self, slot: int) -> RowState:
            raise MemoryError

    async def scenario(bench: Bench) -> None:
        bench.batcher._engine = Forgetful(2, bench.loop)
        kept, other = make_row(keep_state=True), make_row(max_tokens=8)
        bench.batcher.submit([kept, other])
        await bench.batcher.drain()
        assert isinstance(sink_of(kept).error, InferenceFailed)
        assert is_whole(other)

    on_bench(scenario, slots=2, steps=4)


def test_close_fails_every_text_and_refuses_new_ones() -> None:
    async def scenario(bench: Bench) -> None:
        running, waiting = make_row(max_tokens=100, deadline=1000.0), make_row()
        bench.batcher.submit([running])
        bench.batcher.submit([waiting])
        await asyncio.sleep(0.5)
        bench.batcher.close()
        assert isinstance(sink_of(running).error, ShuttingDown)
        assert isinstance(sink_of(waiting).error, ShuttingDown)
        with pytest.raises(ShuttingDown):
            bench.batcher.submit([make_row()])
        await bench.batcher.drain()
        # The run that was under way had to end; the deadline's timer did not.
        assert bench.loop.time() == RUN_S

    on_bench(scenario, slots=1)


def test_close_needs_no_loop_when_nothing_runs() -> None:
    loop = VirtualTimeLoop()
    engine = SlowEngine(1, loop)
    pool = AnnouncedPool(1, loop)
    batcher = ContinuousBatcher(engine, pool, SlotRules(slots=1), Recorder(), loop.time)
    batcher.close()
    loop.close()


def test_batcher_refuses_more_slots_than_the_engine_has() -> None:
    loop = VirtualTimeLoop()
    with pytest.raises(ValueError, match="3 slots over an engine that has 2"):
        ContinuousBatcher(
            SlowEngine(2, loop), AnnouncedPool(1, loop), SlotRules(slots=3), Recorder()
        )
    loop.close()


def test_submit_works_from_within_a_sink() -> None:
    async def scenario(bench: Bench) -> None:
        second = make_row(stream=1)
        first = make_row()
        sink_of(first).on_accept = lambda: bench.batcher.submit([second])
        bench.batcher.submit([first])
        await bench.batcher.drain()
        assert is_whole(first)
        assert is_whole(second)

    on_bench(scenario, slots=1)


@settings(max_examples=25, deadline=None)
@given(
    arrivals=st.lists(
        st.tuples(
            st.integers(0, 20),
            st.integers(1, 5),
            st.lists(st.integers(0, 22), min_size=1, max_size=9),
            st.integers(1, 20),
        ),
        min_size=1,
        max_size=12,
    ),
    slots=st.integers(1, 6),
    lanes=st.integers(1, 3),
    steps=st.integers(1, 5),
    durations=st.lists(st.sampled_from((0.25, 1.0, 3.5)), min_size=1, max_size=7),
)
def test_any_crowd_gets_what_each_gets_alone(
    arrivals: list[tuple[int, int, list[int], int]],
    slots: int,
    lanes: int,
    steps: int,
    durations: list[float],
) -> None:
    """Threads, timers and runs of different lengths included; ``test_slots_crowd`` has the rest."""
    order = iter(range(10**9))

    def run_s() -> float:
        return durations[next(order) % len(durations)]

    async def scenario(bench: Bench) -> None:
        requests: list[list[Row]] = []
        search = make_search(min(slots, 3), steps=5)
        bench.batcher.submit([search])
        for number, (arrival, count, prompt, length) in enumerate(sorted(arrivals)):
            await asyncio.sleep(max(0.0, arrival / 2 - bench.loop.time()))
            requests.append(
                [
                    make_row(
                        tuple(prompt),
                        length,
                        seed=number,
                        stream=stream,
                        sink=RecordingSink(limit=length),
                    )
                    for stream in range(count)
                ]
            )
            bench.batcher.submit(requests[-1])
        await bench.batcher.drain()
        assert all(is_whole(row) for rows in requests for row in rows)
        assert len(search_sink_of(search).shown) == 5

    on_bench(scenario, slots=slots, lanes=lanes, steps=steps, engine_options={"run_s": run_s})
