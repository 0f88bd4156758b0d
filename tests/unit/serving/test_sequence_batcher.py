"""Steps of sequences on a real event loop with real threads, in virtual time."""

import asyncio
import itertools
import random
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.errors import (
    DeadlineExceeded,
    InferenceFailed,
    InvalidInput,
    QueueFull,
    ServingError,
    ShuttingDown,
)
from serving.scheduler import Finished, SequenceStep, Work
from serving.sequence_batcher import SequenceBatcher
from serving.sequence_life import SequenceRules
from serving.sequence_plan import ControlSpec, SequencePlan
from serving.sequences import Sequences
from serving.state_table import HostStateTable, StateSpec
from serving.stateful_engine import StatefulEngine
from serving.types import Array, Datatype, Timings
from tests.virtual_time import AnnouncedPool, VirtualTimeLoop, run_virtual

ResultT = TypeVar("ResultT")

RUN_S = 1.0
"""Virtual time of one run of the fake engine."""
POISON = -1
INITIAL = 7
MODULUS = 1_000_003

PLAN = SequencePlan(
    states=(
        StateSpec(input="sum", output="sum_next", dtype=np.dtype(np.int64), shape=(1,)),
        StateSpec(input="count", output="count_next", dtype=np.dtype(np.int64), shape=(2,)),
    ),
    initial={},
    controls=(
        ControlSpec(
            input="begins",
            kind="start",
            datatype=Datatype.INT32,
            shape=(1,),
            false_true=(-1, 1),
        ),
        ControlSpec(input="id", kind="id", datatype=Datatype.INT64, shape=(1,), false_true=(0, 1)),
    ),
    rules=SequenceRules(slots=4, max_rows=4),
)


class Folding:
    """Folds each x into the state of its row: the order and number of steps cannot be mistaken."""

    def __init__(self, loop: VirtualTimeLoop, run_s: Callable[[], float] = lambda: RUN_S) -> None:
        self.runs: list[list[int]] = []
        """The x of each run."""
        self.ids: list[list[int]] = []
        self._loop = loop
        self._run_s = run_s
        self._lock = threading.Lock()

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        x = inputs["x"]
        with self._lock:
            self.runs.append(x[:, 0].tolist())
            self.ids.append(inputs["id"][:, 0].tolist())
            run_s = self._run_s()
        if run_s:
            self._loop.sleep_on_thread(run_s)
        if (x == POISON).any():
            raise ValueError("poison")
        folded = (inputs["sum"] * 31 + x) % MODULUS
        results = {
            "sum_next": folded,
            "count_next": inputs["count"] + 1,
            "y": np.concatenate([folded, inputs["count"], inputs["begins"]], axis=1),
        }
        return [results[name] for name in outputs]


def alone(xs: Sequence[int]) -> list[list[int]]:
    """The answers of one sequence of steps, one by one."""
    answers, total = [], INITIAL
    for count, x in enumerate(xs):
        total = (total * 31 + x) % MODULUS
        answers.append([total, count, count, 1 if count == 0 else -1])
    return answers


@dataclass(slots=True)
class Recorder:
    batches: list[tuple[Timings, bool]] = field(default_factory=list)

    def batch_finished(self, timings: Timings, *, failed: bool) -> None:
        self.batches.append((timings, failed))


def make_work(x: int, id: int | str = 1, flags: str = "", **more: Any) -> Work:  # noqa: A002
    return Work(
        inputs={"x": np.array([[x]], np.int64)},
        rows=1,
        outputs=("y",),
        sequence=SequenceStep(id=id, start="s" in flags, end="e" in flags),
        **more,
    )


@dataclass(slots=True)
class Bench:
    loop: VirtualTimeLoop
    engine: Folding
    observer: Recorder
    batcher: SequenceBatcher

    async def step(self, x: int, id: int | str = 1, flags: str = "", **more: Any) -> list[int]:  # noqa: A002
        finished: Finished = await self.batcher.submit(make_work(x, id, flags, **more))
        answer: list[int] = finished.outputs["y"][0].tolist()
        return answer

    def begin(self, x: int, id: int | str = 1, flags: str = "", **more: Any) -> Any:  # noqa: A002
        return asyncio.ensure_future(self.step(x, id, flags, **more))


def on_bench(
    scenario: Callable[[Bench], Coroutine[Any, Any, ResultT]],
    *,
    instances: int = 1,
    run_s: Callable[[], float] = lambda: RUN_S,
    closes: bool = False,
    **rules: Any,
) -> ResultT:
    """Run ``scenario``, then drain: nothing may be left over, and every slot comes back.

    ``closes`` says that the scenario closes the batcher, whose slots are no matter then.
    """
    loop = VirtualTimeLoop()
    pool = AnnouncedPool(instances, loop)
    engine, observer = Folding(loop, run_s), Recorder()
    limits = SequenceRules(**{"slots": 4, "max_rows": 4, "max_idle_s": 100.0, **rules})

    async def main() -> ResultT:
        batcher = SequenceBatcher(
            StatefulEngine(
                engine,
                PLAN,
                HostStateTable(PLAN.states, limits.slots),
                {"sum": np.array([INITIAL]), "count": np.zeros(2, np.int64)},
                batches=True,
            ),
            Sequences("m", limits),
            pool,
            instances=instances,
            observer=observer,
            clock=loop.time,
        )
        result = await scenario(Bench(loop, engine, observer, batcher))
        await batcher.drain()
        assert (batcher.queued_rows(), batcher.queued_requests()) == (0, 0)
        await asyncio.sleep(limits.max_idle_s + 1)
        assert closes or batcher.live_sequences() == 0
        return result

    pool.start()
    try:
        return run_virtual(main(), loop)
    finally:
        pool.stop()


def test_submit_carries_the_state_from_step_to_step() -> None:
    async def scenario(bench: Bench) -> None:
        answers = [await bench.step(x, 5, "s" if x == 1 else "") for x in (1, 2, 3)]
        assert answers == alone([1, 2, 3])
        assert bench.engine.ids == [[5], [5], [5]]

    on_bench(scenario)


def test_submit_runs_pipelined_steps_of_one_sequence_in_order() -> None:
    async def scenario(bench: Bench) -> None:
        steps = [bench.begin(x, 5, "s" if x == 1 else "") for x in (1, 2, 3)]
        assert await asyncio.gather(*steps) == alone([1, 2, 3])
        assert bench.engine.runs == [[1], [2], [3]]

    on_bench(scenario, instances=2)


def test_submit_joins_steps_of_different_sequences() -> None:
    async def scenario(bench: Bench) -> None:
        first = [bench.begin(number, number, "s") for number in (1, 2, 3)]
        await asyncio.gather(*first)
        second = await asyncio.gather(*(bench.step(10 + n, n) for n in (3, 1, 2)))
        assert second == [alone([n, 10 + n])[1] for n in (3, 1, 2)]
        assert bench.engine.runs == [[1, 2, 3], [13, 11, 12]]
        assert [timings.batch_rows for timings, _ in bench.observer.batches] == [3, 3]

    on_bench(scenario)


def test_submit_begins_anew_when_the_id_is_started_again() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.step(1, 5, "s")
        assert await bench.step(2, 5, "s") == alone([2])[0]
        assert await bench.step(3, 5) == alone([2, 3])[1]

    on_bench(scenario)


def test_submit_waits_in_the_backlog_until_a_sequence_ends() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.step(1, 1, "s")
        waiting = bench.begin(2, 2, "s")
        await asyncio.sleep(10)
        assert not waiting.done()
        await bench.step(3, 1, "e")
        assert await waiting == alone([2])[0]

    on_bench(scenario, slots=1)


def test_idle_sequence_is_forgotten_at_its_time() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.step(1, 1, "s")  # done at 1.0
        await asyncio.sleep(1.75)
        await bench.step(2, 1)  # 2.75 to 3.75
        await asyncio.sleep(1.75)
        assert bench.batcher.live_sequences() == 1
        await asyncio.sleep(0.5)
        assert bench.batcher.live_sequences() == 0
        with pytest.raises(InvalidInput, match="must specify the START flag"):
            await bench.step(3, 1)

    on_bench(scenario, max_idle_s=2.0)


def test_backlog_goes_on_when_an_idle_sequence_is_forgotten() -> None:
    async def scenario(bench: Bench) -> float:
        await bench.step(1, 1, "s")
        await bench.step(2, 2, "s")
        return bench.loop.time()

    assert on_bench(scenario, slots=1, max_idle_s=5.0) == 7.0


def test_failed_step_leaves_its_state_and_its_company_alone() -> None:
    async def scenario(bench: Bench) -> None:
        await asyncio.gather(*(bench.step(n, n, "s") for n in (1, 2, 3)))
        steps = [bench.begin(x, number) for x, number in ((10, 1), (POISON, 2), (30, 3))]
        results = await asyncio.gather(*steps, return_exceptions=True)
        assert (results[0], results[2]) == (alone([1, 10])[1], alone([3, 30])[1])
        assert isinstance(results[1], InferenceFailed)
        assert await bench.step(20, 2) == alone([2, 20])[1]

    on_bench(scenario)


def test_failed_start_refuses_the_steps_behind_it() -> None:
    async def scenario(bench: Bench) -> None:
        steps = [bench.begin(POISON, 1, "s"), bench.begin(2, 1)]
        first, second = await asyncio.gather(*steps, return_exceptions=True)
        assert isinstance(first, InferenceFailed)
        assert isinstance(second, InvalidInput)

    on_bench(scenario)


def test_cancelled_step_that_waits_never_happens() -> None:
    async def scenario(bench: Bench) -> None:
        steps = [bench.begin(x, 1, "s" if x == 1 else "") for x in (1, 2, 3)]
        await asyncio.sleep(0.5)
        steps[1].cancel()
        assert [await steps[0], await steps[2]] == alone([1, 3])
        assert bench.engine.runs == [[1], [3]]

    on_bench(scenario)


def test_cancelled_step_that_runs_has_happened() -> None:
    async def scenario(bench: Bench) -> None:
        first = bench.begin(1, 1, "s")
        await asyncio.sleep(0.5)
        first.cancel()
        assert await bench.step(2, 1) == alone([1, 2])[1]

    on_bench(scenario)


def test_cancelled_start_lets_the_backlog_go_on() -> None:
    async def scenario(bench: Bench) -> float:
        await bench.step(0, 9, "s")
        waiting = bench.begin(1, 1, "s")
        behind = bench.begin(2, 1)
        await asyncio.sleep(0.5)
        waiting.cancel()
        with pytest.raises(InvalidInput, match="START"):
            await behind
        return bench.loop.time()

    assert on_bench(scenario, slots=1) == 1.5


def test_step_that_waits_too_long_never_happens() -> None:
    async def scenario(bench: Bench) -> None:
        first = bench.begin(1, 1, "s")
        late = bench.begin(2, 1, queue_timeout_s=0.5)
        with pytest.raises(DeadlineExceeded, match=r"timeout expired after 0\.500 s"):
            await late
        await first
        assert await bench.step(3, 1) == alone([1, 3])[1]

    on_bench(scenario)


def test_queue_is_bounded_and_tells_when_to_come_again() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.step(1, 1, "s")
        steps = [bench.begin(x, 1) for x in (2, 3)]
        await asyncio.sleep(0)
        with pytest.raises(QueueFull) as caught:
            await bench.step(4, 1)
        assert caught.value.retry_after_s is not None
        assert caught.value.retry_after_s > 0
        await asyncio.gather(*steps)

    on_bench(scenario, max_queued_steps=2)


def test_close_fails_what_waits_and_lets_run_what_runs() -> None:
    async def scenario(bench: Bench) -> None:
        steps = [bench.begin(x, 1, "s" if x == 1 else "") for x in (1, 2)]
        await asyncio.sleep(0.5)
        bench.batcher.close()
        with pytest.raises(ShuttingDown):
            await bench.step(3, 2, "s")
        ran, waited = await asyncio.gather(*steps, return_exceptions=True)
        assert ran == alone([1])[0]
        assert isinstance(waited, ShuttingDown)

    on_bench(scenario, closes=True)


@dataclass(frozen=True, slots=True)
class Script:
    """One client: its steps, and when it takes each of them."""

    xs: tuple[int, ...]
    waits: tuple[float, ...]
    pipelined: bool


scripts = st.lists(
    st.integers(1, 9).flatmap(
        lambda n: st.builds(
            Script,
            xs=st.tuples(*[st.integers(0, 999)] * n),
            waits=st.tuples(*[st.sampled_from([0.0, 0.0, 0.5, 3.0])] * n),
            pipelined=st.booleans(),
        )
    ),
    min_size=1,
    max_size=12,
)


@given(
    clients=scripts,
    slots=st.integers(1, 5),
    max_rows=st.integers(1, 4),
    instances=st.integers(1, 3),
    delay=st.sampled_from([0.0, 0.4]),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=30, deadline=None)
def test_any_crowd_gets_the_answers_of_each_sequence_alone(
    clients: list[Script], slots: int, max_rows: int, instances: int, delay: float, seed: int
) -> None:
    durations = random.Random(seed)

    async def scenario(bench: Bench) -> None:
        async def live(number: int, script: Script) -> list[list[int]]:
            steps = []
            for place, (x, wait) in enumerate(zip(script.xs, script.waits, strict=True)):
                await asyncio.sleep(wait)
                flags = "s" * (place == 0) + "e" * (place == len(script.xs) - 1)
                steps.append(bench.begin(x, number, flags))
                if not script.pipelined:
                    await steps[-1]
            return list(await asyncio.gather(*steps))

        answers = await asyncio.gather(*(live(n + 1, s) for n, s in enumerate(clients)))
        assert answers == [alone(script.xs) for script in clients]

    on_bench(
        scenario,
        instances=instances,
        run_s=lambda: durations.choice([0.0, 0.3, 1.0]),
        slots=slots,
        max_rows=max_rows,
        enough_rows=max_rows,
        max_delay_s=delay,
    )


async def _chaotic_client(bench: Bench, id: str, chance: random.Random) -> int:  # noqa: A002
    """Steps that are given up at any moment, poisoned or late; the number of answers proved.

    A step that is given up may have run or not, so the next one proves which: its answer must be
    that of one of the histories that are possible.
    """
    histories: list[list[int]] = []
    proved = 0
    for x in itertools.count(1):
        if x > 40:
            return proved
        starts = not histories or chance.random() < 0.1
        bad = chance.random() < 0.1
        step = bench.begin(POISON if bad else x, id, "s" if starts else "")
        if chance.random() < 0.3:
            await asyncio.sleep(chance.choice([0.0, 0.1, 0.7]))
            step.cancel()
        before = [[]] if starts else histories
        after = [[*history, x] for history in before]
        try:
            answer = await step
        except asyncio.CancelledError:
            histories = [] if starts else [*before, *([] if bad else after)]
        except InvalidInput:
            assert not starts
            histories = []
        except ServingError:
            histories = [] if starts else before
        else:
            histories = [h for h in after if alone(h)[-1] == answer]
            assert histories, "an answer that no history explains"
            proved += 1
    raise AssertionError("the loop ends by returning")


@pytest.mark.parametrize("seed", range(5))
def test_chaos_of_cancels_and_failures_mixes_no_states(seed: int) -> None:
    durations = random.Random(seed)

    async def scenario(bench: Bench) -> None:
        clients = [
            _chaotic_client(bench, str(number), random.Random(f"{seed}-{number}"))
            for number in range(12)
        ]
        assert min(await asyncio.gather(*clients)) > 5

    on_bench(
        scenario,
        instances=2,
        run_s=lambda: durations.choice([0.0, 0.2, 0.5]),
        slots=5,
        max_idle_s=3.0,
    )
