"""The simulated replica against the server's own batcher and meters, in virtual time.

Both get the same arrivals and the same lengths of runs. They differ in that the simulation counts
requests as arrived when their step begins, and in that the batcher may wait up to a millisecond for
company; the bounds below are what that makes.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pytest

from benchmarks.autoscaling.replicas import Replicas, Shape
from benchmarks.autoscaling.service import Service
from serving.batch_queue import QueueRules
from serving.busy_meter import BusyMeter
from serving.dynamic_batcher import DynamicBatcher
from serving.scheduler import Work
from serving.types import Array, Timings
from tests.virtual_time import VirtualTimeLoop, run_virtual

ResultT = TypeVar("ResultT")

STEP_S = 0.01
BOUNDS_S = (0.1, 0.2, 0.5, 1.0)
LASTS_S = 20.0
LINEAR = Service(
    name="linear",
    description="a row costs 20 ms",
    instances=1,
    max_batch=8,
    sizes=[1, 8],
    run_s=[0.02, 0.16],
    loop_s=0,
    cpu_share=1,
    beyond_s=0,
    cpu_limit=1,
)
FLAT = LINEAR.model_copy(update={"max_batch": 64, "sizes": [1, 64], "run_s": [0.032, 0.08]})
TWO = FLAT.model_copy(update={"instances": 2})


@dataclass
class Real:
    """What the batcher did."""

    latencies_s: list[float] = field(default_factory=list)
    queue: list[int] = field(default_factory=list)
    """Rows that wait, at the end of every tenth of a second."""
    utilization: float = 0.0
    """Over the last 15 s."""


class Observer:
    """Takes the batcher's reports."""

    def batch_finished(self, timings: Timings, *, failed: bool) -> None:
        assert not failed


class TimedEngine:
    """Rows as they are; remembers how many the last run had."""

    rows = 0

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        self.rows = len(inputs["x"])
        return [inputs["x"] for _ in outputs]


class TimedPool:
    """Runs at once, and reports when the run's time has passed."""

    def __init__(self, engine: TimedEngine, service: Service, meter: BusyMeter) -> None:
        self._engine, self._curve, self._meter = engine, service.curve(), meter

    def submit(
        self,
        run: Callable[[], ResultT],
        done: Callable[[ResultT], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        def ended() -> None:
            self._meter.end()
            done(result)

        self._meter.begin()
        result = run()
        loop.call_later(float(self._curve[self._engine.rows]), ended)


def serve(service: Service, times_s: npt.NDArray[np.float64]) -> Real:
    """The batcher's life with requests at ``times_s``."""
    loop, real, engine = VirtualTimeLoop(), Real(), TimedEngine()
    meter = BusyMeter(service.instances, loop.time)
    pool = TimedPool(engine, service, meter)

    async def request(batcher: DynamicBatcher) -> None:
        began = loop.time()
        await batcher.submit(Work(inputs={"x": np.zeros((1, 1))}, outputs=("y",), rows=1))
        real.latencies_s.append(loop.time() - began)

    async def main() -> None:
        rules = QueueRules(max_rows=service.max_batch, gather_s=0.001)
        batcher = DynamicBatcher(
            engine,
            rules,
            pool,
            instances=service.instances,
            observer=Observer(),
            clock=loop.time,
        )
        tasks = []
        for at_s in times_s:
            loop.call_at(float(at_s), lambda: tasks.append(loop.create_task(request(batcher))))
        for tenth in range(int(LASTS_S * 10)):
            await asyncio.sleep((tenth + 1) / 10 - loop.time())
            real.queue.append(batcher.queued_rows())
        real.utilization = meter.utilization()
        await batcher.drain()
        await asyncio.gather(*tasks)

    run_virtual(main(), loop)
    return real


@dataclass
class Simulated:
    """What the simulation says of the same."""

    late: list[float]
    queue: list[int]
    utilization: float


def simulate(service: Service, times_s: npt.NDArray[np.float64]) -> Simulated:
    """One simulated replica with requests at ``times_s``."""
    replicas = Replicas(Shape(1, 1), service, STEP_S, BOUNDS_S)
    steps = round(LASTS_S / STEP_S)
    counts = np.bincount((times_s / STEP_S).astype(np.int64), minlength=steps)
    queue, window_s = [], 0.0
    for step, count in enumerate(counts):
        replicas.step(np.array([count]), 1.0)
        if (step + 1) % round(0.1 / STEP_S) == 0:
            queue.append(int(replicas.queue[0]))
        if step + 1 == round((LASTS_S - 15) / STEP_S):
            window_s = float(replicas.busy_until(replicas.now_s)[0])
    busy_s = float(replicas.busy_until(replicas.now_s)[0]) - window_s
    while replicas.queue[0]:
        replicas.step(np.zeros(1, np.int64), 1.0)
    late = (replicas.late[:, 0] / len(times_s)).tolist()
    return Simulated(late, queue, busy_s / 15 / service.instances)


@pytest.mark.parametrize(
    ("service", "load"),
    [
        pytest.param(LINEAR, 0.5, id="linear, half of what it can"),
        pytest.param(LINEAR, 0.9, id="linear, 0.9"),
        pytest.param(FLAT, 0.1, id="flat, runs of few rows"),
        pytest.param(FLAT, 0.7, id="flat, runs of many"),
        pytest.param(TWO, 0.5, id="two instances"),
    ],
)
def test_a_replica_is_as_late_and_as_busy_as_the_servers_batcher(
    service: Service, load: float
) -> None:
    rate = service.capacity * load
    times_s = arrivals(rate)
    real, simulated = serve(service, times_s), simulate(service, times_s)

    latencies = np.array(real.latencies_s)
    late = [float(np.mean(latencies > bound)) for bound in BOUNDS_S]
    assert simulated.late == pytest.approx(late, abs=0.05)
    assert simulated.utilization == pytest.approx(real.utilization, abs=0.03)
    # A run that begins within a step takes what comes in the rest of it.
    assert np.mean(simulated.queue) == pytest.approx(np.mean(real.queue), abs=1 + rate * STEP_S)


def test_a_queue_grows_as_the_servers_does_when_more_comes_than_it_can() -> None:
    times_s = arrivals(LINEAR.capacity * 1.1)
    real, simulated = serve(LINEAR, times_s), simulate(LINEAR, times_s)

    assert simulated.queue[-1] > 50
    assert simulated.queue == pytest.approx(real.queue, abs=16)  # two runs
    assert simulated.utilization == pytest.approx(1, abs=1e-9)
    assert real.utilization == pytest.approx(1, abs=1e-9)


def test_every_request_of_a_backlog_is_as_late_as_its_run() -> None:
    replicas = Replicas(Shape(1, 1), LINEAR, STEP_S, (0.5, 1.0))
    replicas.step(np.array([100]), 1.0)
    for _ in range(300):
        replicas.step(np.zeros(1, np.int64), 1.0)

    # Runs of 8 take 0.16 s: the third ends at 0.48 s, the sixth at 0.96 s.
    assert replicas.late[:, 0].tolist() == [100 - 24, 100 - 48]
    assert replicas.answered().tolist() == [100]
    assert replicas.busy_s.tolist() == pytest.approx([12 * 0.16 + 0.08])


def test_more_than_the_queue_holds_is_refused() -> None:
    small = LINEAR.model_copy(update={"queue_limit": 10})
    replicas = Replicas(Shape(1, 2), small, STEP_S, BOUNDS_S)
    replicas.step(np.array([15, 5]), 1.0)

    assert replicas.rejected.tolist() == [5]
    assert replicas.queue.tolist() == [2, 0]


def test_the_oldest_that_waits_is_found() -> None:
    replicas = Replicas(Shape(1, 2), LINEAR, STEP_S, BOUNDS_S)
    for step in range(10):
        replicas.step(np.array([4, 0 if step else 1]), 1.0)

    # 4 of step 0 run until 0.08 s, then 8 of steps 1 and 2: those of step 3 wait.
    assert replicas.waiting_since(np.array([0])).tolist() == pytest.approx([3 * STEP_S])


def arrivals(rate: float) -> npt.NDArray[np.float64]:
    """Times of a Poisson process over ``LASTS_S``, sorted."""
    generator = np.random.default_rng(0)
    return np.sort(generator.uniform(0, LASTS_S, generator.poisson(rate * LASTS_S)))
