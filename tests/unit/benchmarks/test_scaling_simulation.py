"""Simulated clusters: what is scraped, how requests spread, and counts that loads need."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.autoscaling.arrivals import Trace, burst, day, slower
from benchmarks.autoscaling.balancing import share_out
from benchmarks.autoscaling.manifests import parse_quantity
from benchmarks.autoscaling.replicas import Replicas, Shape
from benchmarks.autoscaling.scraping import Scraper
from benchmarks.autoscaling.service import Service
from benchmarks.autoscaling.simulation import Outcome, Plan, Simulation, ideal_replica_s
from benchmarks.autoscaling.strategies import Strategy, fixed, shipped

SLOW = Service(
    name="slow",
    description="a request costs 50 ms",
    max_batch=4,
    sizes=[1, 4],
    run_s=[0.05, 0.2],
    instances=1,
    loop_s=0.001,
    cpu_share=0.5,
    beyond_s=0,
    cpu_limit=2,
)


def steady(rate: float, lasts_s: float = 120.0) -> Trace:
    return Trace("steady", "", lasts_s, lambda _: rate, lambda _: 1.0)


def simulate(strategy: Strategy, trace: Trace, initial: int = 2) -> Outcome:
    plan = Plan(
        service=SLOW, trace=trace, strategies=[strategy], initial=initial, most=20, start_s=1.0
    )
    return Simulation(plan).run()[0]


def test_a_scrape_says_what_the_server_would() -> None:
    replicas = Replicas(Shape(1, 2), SLOW, 0.05, (0.25, 0.5, 1.0))
    scraper = Scraper(replicas)
    for second in range(1, 91):
        for step in range(20):
            replicas.step(np.array([1, step % 2]), 1.0)
        scraper.tick(second)

    assert scraper.samples["utilization"] == pytest.approx([1, 0.5])
    assert scraper.samples["requests"] == pytest.approx([20, 10])
    # In runs of one as in runs of four a request takes 50 ms.
    assert scraper.samples["load"] == pytest.approx([1, 0.5])
    assert scraper.samples["loop"] == pytest.approx([0.02, 0.01])
    assert scraper.samples["cpu"] == pytest.approx([(0.5 + 0.02) / 2, (0.25 + 0.01) / 2])


def test_each_replica_is_scraped_at_its_own_second() -> None:
    scraper = Scraper(Replicas(Shape(1, 3), SLOW, 0.05, (0.25, 0.5, 1.0)), interval_s=15)
    for second in range(1, 17):
        scraper.tick(second)

    assert scraper.scraped_s.tolist() == [15.0, 16.0, 2.0]


def test_a_new_process_is_not_known_until_it_is_scraped() -> None:
    scraper = Scraper(Replicas(Shape(1, 1), SLOW, 0.05, (0.25, 0.5, 1.0)), interval_s=15)
    scraper.start(np.array([0]), ready_s=16.0)
    scraper.tick(15)
    assert scraper.scraped_s[0] < 0

    scraper.tick(30)
    assert scraper.scraped_s[0] == 30


def test_random_balancing_spreads_over_ready_replicas_alone() -> None:
    draws = np.random.default_rng(0).random((2, 4000))

    spread = share_out(draws, np.array([2, 4]), Shape(2, 4), None)

    assert spread.sum() == 8000
    assert spread[:2] == pytest.approx([2000, 2000], rel=0.1)
    assert spread[2:4].tolist() == [0, 0]
    assert spread[4:] == pytest.approx([1000] * 4, rel=0.1)


def test_the_emptier_of_two_replicas_is_chosen() -> None:
    draws = np.array([[0.0, 0.6, 0.0], [0.6, 0.0, 0.0]])

    spread = share_out(draws, np.array([2]), Shape(1, 2), np.array([5, 1]))

    # Both, in either order: the second; the first twice: the first.
    assert spread.tolist() == [1, 2]


def test_a_load_gets_the_replicas_that_it_needs() -> None:
    # 20 requests a second of 50 ms are one replica's; five replicas' need 5 / 0.7 = 7.1 of them.
    outcome = simulate(shipped(), steady(100.0), initial=6)

    assert set(outcome.replicas[-30:]) <= {7, 8, 9}
    assert outcome.missed(0.5) < 0.01


def test_too_few_fixed_replicas_miss_the_target() -> None:
    outcome = simulate(fixed(2), steady(60.0))

    assert outcome.missed(0.5) > 0.8
    assert outcome.replica_s == pytest.approx(2 * 120)


def test_enough_fixed_replicas_do_not() -> None:
    assert simulate(fixed(6), steady(60.0)).missed(0.5) < 0.01


def test_cpu_that_the_engine_hardly_uses_adds_no_replica() -> None:
    outcome = simulate(Strategy("cpu", "0.7", [("cpu", 0.7)]), steady(100.0))

    assert outcome.replicas.max() == 2


def test_replicas_that_start_late_are_paid_for_and_help_late() -> None:
    plan = Plan(
        service=SLOW,
        trace=steady(60.0, 60.0),
        strategies=[shipped()],
        initial=2,
        most=8,
        start_s=1.0,
    )
    quick, late = (Simulation(replace(plan, pod_s=pod_s)).run()[0] for pod_s in (1.0, 30.0))

    assert late.missed(0.5) > quick.missed(0.5) + 0.1


def test_simulations_with_one_seed_are_equal() -> None:
    one, other = (simulate(shipped(), steady(60.0)) for _ in range(2))

    assert one.replicas.tolist() == other.replicas.tolist()
    assert one.late.tolist() == other.late.tolist()


def test_traces_have_the_greatest_load_that_is_asked_for() -> None:
    for make, greatest in ((burst, 100.0), (day, 100.0), (slower, 50.0)):
        trace = make(100.0)
        rates = [trace.rate(s) for s in range(int(trace.lasts_s))]
        assert max(rates) == pytest.approx(greatest, rel=1e-3)


def test_the_burst_is_tenfold() -> None:
    trace = burst(100.0)

    assert [trace.rate(s) for s in (0.0, 299.0, 310.0, 899.0, 911.0)] == [10, 10, 100, 100, 10]


def test_the_ideal_counts_what_requests_cost() -> None:
    ideal = ideal_replica_s(SLOW, slower(100.0))

    # 50 a second of 20 a replica; then each costs twice as much.
    assert ideal[0] == 3
    assert ideal[-1] == 5


@pytest.mark.parametrize(("text", "value"), [("16", 16.0), ("700m", 0.7), ("2k", 2000.0), (3, 3.0)])
def test_quantities_are_read(text: str | int, value: float) -> None:
    assert parse_quantity(text) == pytest.approx(value)
