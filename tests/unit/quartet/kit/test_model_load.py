from collections.abc import Awaitable, Callable, Sequence

import pytest
from prometheus_client.samples import Sample

from quartet.kit import model_load
from quartet.kit.connection import Address
from quartet.kit.load import Tally, Window
from quartet.kit.measurements import ModelFigures
from quartet.kit.model_load import load_model
from quartet.kit.samples import Plan
from quartet.kit.scrape import Scrape

ADDRESS = Address("127.0.0.1", 1)
PLAN = Plan(
    name="m",
    version="1",
    kind="tensors",
    sample="a row",
    requests=(b"x",),
    rows_per_request=2,
    instances=1,
    max_batch_rows=8,
)


def tally(rate: float, *, latency_s: float = 0.01, lateness_s: float = 0.0) -> Tally:
    """One second at ``rate``."""
    answers = round(rate)
    return Tally(
        latencies_s=(latency_s,) * answers,
        answered=answers,
        rejected=0,
        window_s=1.0,
        sent=answers,
        client_cpu=0.1,
        lateness_s=(lateness_s,) * answers,
    )


class Loads:
    """Stands in for the load generator: says what came of each load."""

    def __init__(self, rates: dict[int, float], steady: Sequence[Tally]) -> None:
        self.rates = rates
        self.steady = list(steady)
        self.clients: list[int] = []
        self.offered: list[float] = []

    async def closed(self, _: Address, __: object, clients: int, window: Window) -> Tally:
        assert window.least == 2 * clients
        self.clients.append(clients)
        return tally(self.rates[clients])

    async def open(self, _: Address, __: object, rate: float, ___: Window) -> Tally:
        self.offered.append(rate)
        return self.steady.pop(0)


NAMES = (
    "quartet_engine_threads",
    "quartet_engine_busy_seconds_total",
    "quartet_loop_cpu_seconds_total",
    "process_cpu_seconds_total",
    "quartet_execution_duration_seconds_sum",
    "quartet_generation_run_duration_seconds_sum",
    "quartet_queue_duration_seconds_sum",
)


async def idle_counters(_: Address) -> Scrape:
    return Scrape({name: (Sample(name, {}, 1.0),) for name in NAMES})


async def memory() -> int:
    return 1000


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Callable[[Loads], Awaitable[ModelFigures]]:
    """Loads the model of ``PLAN`` with what ``Loads`` says."""

    def run(loads: Loads) -> Awaitable[ModelFigures]:
        monkeypatch.setattr(model_load, "run_closed_loop", loads.closed)
        monkeypatch.setattr(model_load, "run_open_loop", loads.open)
        monkeypatch.setattr(model_load, "scrape", idle_counters)
        return load_model(ADDRESS, PLAN, 1.0, memory)

    return run


Load = Callable[[Loads], Awaitable[ModelFigures]]


async def test_capacity_is_the_highest_rate_and_the_search_ends_two_steps_later(load: Load) -> None:
    loads = Loads({1: 100, 4: 300, 16: 310, 64: 290}, [tally(217)])
    figures = await load(loads)
    assert loads.clients == [1, 4, 16, 64]
    assert figures.capacity_rps == 310
    assert figures.capacity_rows == 620
    assert loads.offered == [pytest.approx(217)]


async def test_one_dip_does_not_end_the_search(load: Load) -> None:
    loads = Loads({1: 100, 4: 80, 16: 400, 64: 500, 256: 900}, [tally(630)])
    assert (await load(loads)).capacity_rps == 900
    assert loads.clients == [1, 4, 16, 64, 256]


@pytest.mark.parametrize(
    "bad",
    [tally(50, latency_s=0.5), tally(70, latency_s=0.5, lateness_s=0.4)],
    ids=["server behind", "client late"],
)
async def test_steady_load_that_is_not_to_be_trusted_is_tried_again(load: Load, bad: Tally) -> None:
    loads = Loads({1: 100, 4: 90, 16: 90}, [bad, tally(70)])
    figures = await load(loads)
    assert len(loads.offered) == 2
    assert figures.steady.p99_s == 0.01


async def test_least_disturbed_of_three_tries_counts(load: Load) -> None:
    tries = [tally(10, latency_s=s) for s in (0.3, 0.1, 0.2)]
    figures = await load(Loads({1: 100, 4: 90, 16: 90}, tries))
    assert figures.steady.p99_s == 0.1
    assert not figures.steady.kept_up
