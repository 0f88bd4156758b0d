"""The batcher on a real event loop with real threads, in virtual time."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.batch_queue import QueueRules
from serving.dynamic_batcher import DynamicBatcher
from serving.errors import (
    DeadlineExceeded,
    InferenceFailed,
    InvalidInput,
    QueueFull,
    ShuttingDown,
)
from serving.scheduler import Finished, Work
from serving.types import Array, Timings
from tests.virtual_time import AnnouncedPool, VirtualTimeLoop, run_virtual

ResultT = TypeVar("ResultT")

RUN_S = 1.0
"""Virtual time of one run of the fake engine."""
POISON = -1


@dataclass(slots=True)
class Run:
    """One call of the engine."""

    started: float
    rows: list[int]
    shape: tuple[int, ...]
    failed: bool


class FakeEngine:
    """Doubles its rows after ``run_s`` virtual seconds; raises if any of them is POISON."""

    def __init__(self, loop: VirtualTimeLoop, *, run_s: float = RUN_S) -> None:
        self.runs: list[Run] = []
        self._loop = loop
        self._run_s = run_s
        self._lock = threading.Lock()

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        rows = inputs["x"]
        failed = bool((rows[:, 1:] == POISON).any())
        with self._lock:
            started = self._loop.time()
            self.runs.append(Run(started, rows[:, 0].tolist(), rows.shape, failed))
        if self._run_s:
            self._loop.sleep_on_thread(self._run_s)
        if failed:
            raise ValueError("poison")
        return [rows * 2 for _ in outputs]


@dataclass(slots=True)
class Recorder:
    """Remembers what the batcher reports."""

    batches: list[tuple[Timings, bool]] = field(default_factory=list)

    def batch_finished(self, timings: Timings, *, failed: bool) -> None:
        self.batches.append((timings, failed))


@dataclass(slots=True)
class Bench:
    """A batcher with all that it needs, inside a virtual loop."""

    loop: VirtualTimeLoop
    engine: FakeEngine
    observer: Recorder
    batcher: DynamicBatcher

    async def after(self, delay_s: float, work: Work) -> Finished:
        await asyncio.sleep(delay_s)
        return await self.batcher.submit(work)


def on_bench(
    scenario: Callable[[Bench], Coroutine[Any, Any, ResultT]],
    rules: QueueRules,
    *,
    instances: int = 1,
    make_engine: Callable[[VirtualTimeLoop], FakeEngine] = FakeEngine,
) -> ResultT:
    """Run ``scenario``, then drain: nothing may be left over."""
    loop = VirtualTimeLoop()
    pool = AnnouncedPool(instances, loop)
    engine, observer = make_engine(loop), Recorder()

    async def main() -> ResultT:
        batcher = DynamicBatcher(
            engine, rules, pool, instances=instances, observer=observer, clock=loop.time
        )
        result = await scenario(Bench(loop, engine, observer, batcher))
        await batcher.drain()
        assert (batcher.queued_rows(), batcher.queued_requests()) == (0, 0)
        return result

    pool.start()
    try:
        return run_virtual(main(), loop)
    finally:
        pool.stop()


def make_work(
    first: int,
    rows: int = 1,
    *,
    width: int = 2,
    poison: bool = False,
    deadline: float | None = None,
    queue_timeout_s: float | None = None,
) -> Work:
    """Rows [first], [first + 1], ... of ``width`` columns; column 0 is the row's number."""
    data = np.zeros((rows, width), np.int64)
    data[:, 0] = np.arange(first, first + rows)
    if poison:
        data[-1, 1:] = POISON
    return Work(
        inputs={"x": data},
        rows=rows,
        outputs=("y",),
        deadline=deadline,
        queue_timeout_s=queue_timeout_s,
    )


def is_answer(result: object, work: Work) -> bool:
    """Whether ``result`` is exactly what ``work`` should get."""
    return (
        isinstance(result, Finished)
        and list(result.outputs) == ["y"]
        and np.array_equal(result.outputs["y"], work.inputs["x"] * 2)
    )


async def gather(*calls: Coroutine[Any, Any, Finished]) -> list[Finished | BaseException]:
    return await asyncio.gather(*calls, return_exceptions=True)


def test_submit_joins_requests_that_arrive_together() -> None:
    works = [make_work(0, 2), make_work(2, 3), make_work(5)]

    async def scenario(bench: Bench) -> None:
        results = await gather(*(bench.batcher.submit(work) for work in works))
        assert all(map(is_answer, results, works))
        assert [run.rows for run in bench.engine.runs] == [[0, 1, 2, 3, 4, 5]]

    on_bench(scenario, QueueRules(max_rows=8))


def test_submit_waits_for_company_until_the_oldest_request_has_waited_enough() -> None:
    async def scenario(bench: Bench) -> None:
        await gather(bench.after(0.0, make_work(0)), bench.after(3.0, make_work(1)))
        assert [(run.started, run.rows) for run in bench.engine.runs] == [(4.0, [0, 1])]

    on_bench(scenario, QueueRules(max_rows=8, max_delay_s=4.0))


def test_submit_leaves_at_once_when_the_batch_is_full() -> None:
    async def scenario(bench: Bench) -> None:
        await gather(bench.after(1.0, make_work(0, 5)), bench.after(2.0, make_work(5, 3)))
        assert [(run.started, run.rows) for run in bench.engine.runs] == [(2.0, list(range(8)))]

    on_bench(scenario, QueueRules(max_rows=8, max_delay_s=100.0))


def test_submit_leaves_at_once_when_a_preferred_size_is_reached() -> None:
    async def scenario(bench: Bench) -> None:
        await gather(bench.after(1.0, make_work(0, 3)), bench.after(2.0, make_work(3, 1)))
        assert [(run.started, run.rows) for run in bench.engine.runs] == [(2.0, [0, 1, 2, 3])]

    on_bench(scenario, QueueRules(max_rows=8, preferred_rows=(4,), max_delay_s=100.0))


def test_submit_leaves_at_once_when_the_next_request_does_not_fit() -> None:
    async def scenario(bench: Bench) -> None:
        await gather(bench.after(0.0, make_work(0, 5)), bench.after(2.0, make_work(5, 4)))
        first, second = bench.engine.runs
        assert (first.started, first.rows) == (2.0, [0, 1, 2, 3, 4])
        assert (second.started, second.rows) == (12.0, [5, 6, 7, 8])

    on_bench(scenario, QueueRules(max_rows=8, max_delay_s=10.0))


def test_submit_runs_as_many_batches_at_once_as_there_are_instances() -> None:
    async def scenario(bench: Bench) -> None:
        await gather(*(bench.batcher.submit(make_work(4 * n, 4)) for n in range(3)))
        assert [run.started for run in bench.engine.runs] == [0.0, 0.0, RUN_S]

    on_bench(scenario, QueueRules(max_rows=4), instances=2)


def test_submit_fills_the_batch_with_what_arrives_while_no_instance_is_free() -> None:
    async def scenario(bench: Bench) -> None:
        await gather(*(bench.after(n / 8, make_work(n)) for n in range(5)))
        assert [run.rows for run in bench.engine.runs] == [[0], [1, 2, 3, 4]]

    on_bench(scenario, QueueRules(max_rows=8))


def test_submit_does_not_join_requests_of_different_shapes() -> None:
    works = [make_work(0, width=2), make_work(1, width=3), make_work(2, width=2)]

    async def scenario(bench: Bench) -> None:
        results = await gather(*(bench.batcher.submit(work) for work in works))
        assert all(map(is_answer, results, works))
        assert [run.shape for run in bench.engine.runs] == [(2, 2), (1, 3)]

    on_bench(scenario, QueueRules(max_rows=8))


def test_submit_does_not_join_requests_that_want_different_outputs() -> None:
    other = make_work(1)
    other.outputs = ("y", "z")

    async def scenario(bench: Bench) -> None:
        results = await gather(bench.batcher.submit(make_work(0)), bench.batcher.submit(other))
        assert [list(r.outputs) for r in results if isinstance(r, Finished)] == [["y"], ["y", "z"]]

    on_bench(scenario, QueueRules(max_rows=8))


def test_submit_answers_the_company_of_a_request_that_makes_the_engine_fail() -> None:
    works = [make_work(0, 2), make_work(2, 2, poison=True), make_work(4, 3)]

    async def scenario(bench: Bench) -> None:
        first, second, third = await gather(*(bench.batcher.submit(w) for w in works))
        assert is_answer(first, works[0])
        assert is_answer(third, works[2])
        assert isinstance(second, InferenceFailed)
        assert isinstance(second.__cause__, ValueError)
        assert [failed for _, failed in bench.observer.batches] == [False]

    on_bench(scenario, QueueRules(max_rows=8))


def test_submit_keeps_serving_when_a_batch_has_failed() -> None:
    async def scenario(bench: Bench) -> None:
        with pytest.raises(InferenceFailed, match="the engine failed"):
            await bench.batcher.submit(make_work(0, poison=True))
        assert is_answer(await bench.batcher.submit(make_work(1)), make_work(1))
        assert [failed for _, failed in bench.observer.batches] == [True, False]

    on_bench(scenario, QueueRules(max_rows=8))


class RefusingEngine(FakeEngine):
    """Refuses everything, in words meant for the client."""

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        raise InvalidInput("index 9 is out of range")


def test_submit_passes_on_the_engines_own_words_when_they_are_meant_for_the_client() -> None:
    async def scenario(bench: Bench) -> None:
        with pytest.raises(InvalidInput, match="index 9 is out of range"):
            await bench.batcher.submit(make_work(0))

    on_bench(scenario, QueueRules(max_rows=8), make_engine=RefusingEngine)


class SummingEngine(FakeEngine):
    """Its output's first axis is not the batch: one number for all rows."""

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        super().run(inputs, outputs)
        return [inputs["x"].sum(keepdims=True) * np.ones((1, 1), np.int64) for _ in outputs]


def test_submit_runs_requests_alone_and_says_why_when_an_output_has_no_batch_axis(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario(bench: Bench) -> None:
        works = [make_work(3, 2), make_work(10)]
        results = await gather(*(bench.batcher.submit(work) for work in works))
        sums = [r.outputs["y"].item() for r in results if isinstance(r, Finished)]
        assert sums == [7, 10]

    on_bench(scenario, QueueRules(max_rows=8), make_engine=SummingEngine)
    assert "output 'y' has shape [1, 1] for a batch of 3 rows" in caplog.text
    assert "set max_batch_size: 0 in config.pbtxt" in caplog.text


def test_submit_refuses_when_the_queue_is_full_and_loses_nothing() -> None:
    works = [make_work(0, 2), make_work(2, 2), make_work(4, 2)]

    async def scenario(bench: Bench) -> None:
        first, second, third = await gather(*(bench.batcher.submit(w) for w in works))
        assert is_answer(first, works[0])
        assert is_answer(second, works[1])
        assert isinstance(third, QueueFull)

    on_bench(scenario, QueueRules(max_rows=8, max_delay_s=1.0, max_queued_rows=4))


def test_submit_never_runs_a_request_whose_deadline_has_passed() -> None:
    async def scenario(bench: Bench) -> None:
        results = await gather(
            bench.batcher.submit(make_work(0)), bench.batcher.submit(make_work(1, deadline=0.5))
        )
        assert isinstance(results[0], Finished)
        assert isinstance(results[1], DeadlineExceeded)
        assert "Request timeout expired after 0.500 s in the queue" in str(results[1])
        assert [run.rows for run in bench.engine.runs] == [[0]]

    on_bench(scenario, QueueRules(max_rows=1))


def test_submit_refuses_when_the_deadline_has_passed_before() -> None:
    async def scenario(bench: Bench) -> None:
        await asyncio.sleep(3.0)
        with pytest.raises(DeadlineExceeded):
            await bench.batcher.submit(make_work(0, deadline=2.0))
        assert bench.engine.runs == []

    on_bench(scenario, QueueRules(max_rows=8))


@pytest.mark.parametrize(("deadline", "timeout"), [(9.0, 0.25), (0.25, 9.0), (None, 0.25)])
def test_submit_gives_up_at_the_earlier_of_deadline_and_queue_timeout(
    deadline: float | None, timeout: float
) -> None:
    async def scenario(bench: Bench) -> None:
        late = make_work(1, deadline=deadline, queue_timeout_s=timeout)
        with pytest.raises(DeadlineExceeded):
            await bench.batcher.submit(late)
        assert bench.loop.time() == 0.25

    on_bench(scenario, QueueRules(max_rows=8, max_delay_s=1.0))


def test_cancelling_takes_a_waiting_request_out_of_the_batch() -> None:
    works = [make_work(0), make_work(1), make_work(2)]

    async def scenario(bench: Bench) -> None:
        tasks = [asyncio.create_task(bench.batcher.submit(work)) for work in works]
        await asyncio.sleep(1.0)
        tasks[1].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert is_answer(results[0], works[0])
        assert isinstance(results[1], asyncio.CancelledError)
        assert is_answer(results[2], works[2])
        assert [run.rows for run in bench.engine.runs] == [[0, 2]]

    on_bench(scenario, QueueRules(max_rows=8, max_delay_s=4.0))


def test_cancelling_does_not_disturb_the_company_when_the_batch_runs() -> None:
    works = [make_work(0), make_work(1)]

    async def scenario(bench: Bench) -> None:
        tasks = [asyncio.create_task(bench.batcher.submit(work)) for work in works]
        await asyncio.sleep(RUN_S / 2)
        tasks[0].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError)
        assert is_answer(results[1], works[1])

    on_bench(scenario, QueueRules(max_rows=8))


def test_drain_returns_when_the_last_waiting_request_is_cancelled() -> None:
    async def scenario(bench: Bench) -> None:
        task = asyncio.create_task(bench.batcher.submit(make_work(0)))
        await asyncio.sleep(1.0)
        drained = asyncio.create_task(bench.batcher.drain())
        await asyncio.sleep(1.0)
        assert not drained.done()
        task.cancel()
        await drained
        assert bench.loop.time() == 2.0

    on_bench(scenario, QueueRules(max_rows=8, max_delay_s=9.0))


def test_drain_waits_for_what_runs() -> None:
    async def scenario(bench: Bench) -> None:
        task = asyncio.create_task(bench.batcher.submit(make_work(0)))
        await asyncio.sleep(0)
        await bench.batcher.drain()
        assert bench.loop.time() == RUN_S
        await task

    on_bench(scenario, QueueRules(max_rows=8))


def test_close_fails_what_waits_and_lets_finish_what_runs() -> None:
    works = [make_work(0), make_work(1)]

    async def scenario(bench: Bench) -> None:
        tasks = [asyncio.create_task(bench.batcher.submit(work)) for work in works]
        await asyncio.sleep(RUN_S / 2)
        bench.batcher.close()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert is_answer(results[0], works[0])
        assert isinstance(results[1], ShuttingDown)
        with pytest.raises(ShuttingDown):
            await bench.batcher.submit(make_work(2))
        assert [run.rows for run in bench.engine.runs] == [[0]]

    on_bench(scenario, QueueRules(max_rows=1))


def test_timings_say_what_became_of_the_time() -> None:
    async def scenario(bench: Bench) -> None:
        results = await gather(bench.after(0.0, make_work(0, 2)), bench.after(1.0, make_work(2)))
        timings = [result.timings for result in results if isinstance(result, Finished)]
        assert [t.queue_s for t in timings] == [3.0, 2.0]
        assert {t.compute_infer_s for t in timings} == {RUN_S}
        assert {t.batch_rows for t in timings} == {3}
        assert bench.observer.batches == [(timings[0], False)]

    on_bench(scenario, QueueRules(max_rows=8, max_delay_s=3.0))


# --- any mix of requests -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Plan:
    """One request of a scenario; times in ticks of an eighth of a virtual second."""

    arrives: int
    rows: int
    width: int
    poison: bool
    cancelled_after: int | None
    deadline_after: int | None
    queue_timeout: int | None


TICK_S = 1 / 8

plans = st.builds(
    Plan,
    arrives=st.integers(0, 24),
    rows=st.integers(1, 8),
    width=st.sampled_from([2, 2, 3]),
    poison=st.sampled_from([False] * 5 + [True]),
    cancelled_after=st.none() | st.none() | st.integers(0, 20),
    deadline_after=st.none() | st.none() | st.integers(0, 20),
    queue_timeout=st.none() | st.none() | st.integers(1, 20),
)


@st.composite
def scenarios(draw: st.DrawFn) -> list[Plan]:
    """Requests, in half of the scenarios all of them healthy."""
    requests = draw(st.lists(plans, min_size=1, max_size=14))
    poisonous = draw(st.booleans())
    return [replace(plan, poison=plan.poison and poisonous) for plan in requests]


@st.composite
def queue_rules(draw: st.DrawFn) -> QueueRules:
    max_rows = draw(st.integers(1, 8))
    return QueueRules(
        max_rows=max_rows,
        preferred_rows=tuple(draw(st.lists(st.integers(1, max_rows), max_size=2, unique=True))),
        max_delay_s=draw(st.sampled_from([0, 1, 8])) * TICK_S,
        max_queued_rows=draw(st.sampled_from([4, 12, 1000])),
        join=draw(st.sampled_from([True, True, True, False])),
    )


@dataclass(slots=True)
class Told:
    """What one caller was told."""

    plan: Plan
    work: Work
    result: Finished | BaseException
    submitted: int
    """Position in the order of submission."""
    cancelled_at: float | None
    """Virtual time at which the caller gave up, if its request was not done by then."""

    @property
    def rows(self) -> list[int]:
        return [int(row) for row in self.work.inputs["x"][:, 0]]


async def call(bench: Bench, number: int, plan: Plan, rules: QueueRules, order: list[int]) -> Told:
    await asyncio.sleep(plan.arrives * TICK_S)
    now = bench.loop.time()
    deadline = None if plan.deadline_after is None else now + plan.deadline_after * TICK_S
    work = make_work(
        100 * number,
        min(plan.rows, rules.max_rows),
        width=plan.width,
        poison=plan.poison,
        deadline=deadline,
        queue_timeout_s=None if plan.queue_timeout is None else plan.queue_timeout * TICK_S,
    )
    position = len(order)
    order.append(number)
    task = asyncio.ensure_future(bench.batcher.submit(work))
    if plan.cancelled_after is not None:
        bench.loop.call_later(plan.cancelled_after * TICK_S, task.cancel)
    (result,) = await asyncio.gather(task, return_exceptions=True)
    gave_up = bench.loop.time() if isinstance(result, asyncio.CancelledError) else None
    return Told(plan, work, result, position, gave_up)


def run_scenario(
    requests: list[Plan], rules: QueueRules, instances: int, closes: int | None
) -> tuple[list[Told], Bench]:
    async def scenario(bench: Bench) -> tuple[list[Told], Bench]:
        if closes is not None:
            bench.loop.call_later(closes * TICK_S, bench.batcher.close)
        order: list[int] = []
        told = await asyncio.gather(
            *(call(bench, n, plan, rules, order) for n, plan in enumerate(requests))
        )
        return list(told), bench

    return on_bench(scenario, rules, instances=instances)


def check_outcome(told: Told, closes: int | None) -> None:
    """The caller has its own rows, or an error that its own request gives reason for."""
    plan, result = told.plan, told.result
    limits = [limit for limit in (plan.deadline_after, plan.queue_timeout) if limit is not None]
    match result:
        case Finished():
            assert is_answer(result, told.work)
            assert not plan.poison
            assert not limits or result.timings.queue_s < min(limits) * TICK_S
        case InferenceFailed():
            assert plan.poison
        case DeadlineExceeded():
            assert limits
        case asyncio.CancelledError():
            assert plan.cancelled_after is not None
        case ShuttingDown():
            assert closes is not None
        case _:
            assert isinstance(result, QueueFull)


def check_runs(told: list[Told], runs: list[Run], rules: QueueRules) -> None:
    """What ran: whole requests, in limits, once; and nothing that was refused or given up."""
    first_run = {row: n for n, run in reversed(list(enumerate(runs))) for row in run.rows}
    answered = [row for run in runs if not run.failed for row in run.rows]
    assert len(answered) == len(set(answered))
    assert all(len(run.rows) <= rules.max_rows for run in runs)
    for one in told:
        ran_in = {first_run.get(row) for row in one.rows}
        assert len(ran_in) == 1, "a request was torn apart"
        if isinstance(one.result, DeadlineExceeded | QueueFull | ShuttingDown):
            assert ran_in == {None}, "a refused request was run"
        if isinstance(one.result, Finished):
            assert answered.count(one.rows[0]) == 1
        (run_number,) = ran_in
        if one.cancelled_at is not None and run_number is not None:
            assert runs[run_number].started <= one.cancelled_at, "it had left the queue"
    for run in runs:
        if not rules.join:
            assert len({row // 100 for row in run.rows}) == 1


def check_order(told: list[Told], runs: list[Run]) -> None:
    """Requests of one shape begin in the order in which they were submitted."""
    first_run = {row: n for n, run in reversed(list(enumerate(runs))) for row in run.rows}
    for width in (2, 3):
        line = sorted((t for t in told if t.plan.width == width), key=lambda t: t.submitted)
        begun = [first_run[t.rows[0]] for t in line if t.rows[0] in first_run]
        assert begun == sorted(begun)


@given(
    requests=scenarios(),
    rules=queue_rules(),
    instances=st.integers(1, 3),
    closes=st.none() | st.none() | st.integers(0, 30),
)
@settings(max_examples=150, deadline=None)
def test_every_caller_gets_exactly_its_rows_or_its_error_whatever_happens(
    requests: list[Plan], rules: QueueRules, instances: int, closes: int | None
) -> None:
    told, bench = run_scenario(requests, rules, instances, closes)
    for one in told:
        check_outcome(one, closes)
    check_runs(told, bench.engine.runs, rules)
    if instances == 1:  # else the threads' order of starting is not the batches' order of leaving
        check_order(told, bench.engine.runs)
    if not any(plan.poison for plan in requests):
        ran = [len(run.rows) for run in bench.engine.runs]
        assert sorted(ran) == sorted(t.batch_rows for t, _ in bench.observer.batches)
    rows_run = sum(timings.batch_rows for timings, _ in bench.observer.batches)
    assert rows_run == len({row for run in bench.engine.runs for row in run.rows})


@given(requests=scenarios(), rules=queue_rules())
@settings(max_examples=50, deadline=None)
def test_every_healthy_request_is_answered_when_the_queue_has_room(
    requests: list[Plan], rules: QueueRules
) -> None:
    roomy = QueueRules(
        max_rows=rules.max_rows,
        preferred_rows=rules.preferred_rows,
        max_delay_s=rules.max_delay_s,
        join=rules.join,
    )
    told, _ = run_scenario(requests, roomy, 1, None)
    for one in told:
        plan = one.plan
        if plan.cancelled_after is plan.deadline_after is plan.queue_timeout is None:
            assert is_answer(one.result, one.work) != plan.poison
