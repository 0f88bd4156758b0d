"""An autoscaler over time; every case is worked by hand from the rules of Kubernetes 1.33."""

import pytest

from benchmarks.autoscaling.hpa import (
    ExternalMetric,
    Hpa,
    HpaSpec,
    PodsMetric,
    Policy,
    Rules,
    replicas_for_metrics,
)
from benchmarks.autoscaling.replica_calculator import NoMetricError, PodValues

SHIPPED_UP = Rules((Policy("Percent", 100, 15), Policy("Pods", 4, 15)), 0)
SHIPPED_DOWN = Rules((Policy("Percent", 25, 60), Policy("Pods", 1, 60)), 300)
AT_ONCE = Rules((Policy("Percent", 100, 15), Policy("Pods", 100, 15)), 0)


def asking(replicas: int) -> list[ExternalMetric]:
    """A metric that asks for so many replicas."""
    return [ExternalMetric(float(replicas), 1.0)]


def spec(least: int = 1, most: int = 100, up: Rules = AT_ONCE, down: Rules = AT_ONCE) -> HpaSpec:
    return HpaSpec(min_replicas=least, max_replicas=most, up=up, down=down)


def run(hpa: Hpa, current: int, asked: list[int], period_s: float = 15.0) -> list[int]:
    """Replicas after each decision, one a period."""
    replicas = []
    for number, count in enumerate(asked):
        current = hpa.decide(number * period_s, current, asking(count))
        replicas.append(current)
    return replicas


def test_the_metric_that_asks_for_most_decides() -> None:
    queue = PodsMetric(PodValues(values=[64, 64]), 16)
    busy = PodsMetric(PodValues(values=[1, 1]), 0.7)

    assert replicas_for_metrics(2, [busy, queue], 0.1) == 8


def test_a_metric_without_a_value_does_not_hinder_growth() -> None:
    metrics = [ExternalMetric(None, 1.0), ExternalMetric(4.0, 1.0)]

    assert replicas_for_metrics(2, metrics, 0.1) == 4


def test_a_metric_without_a_value_forbids_shrinking() -> None:
    metrics = [ExternalMetric(None, 1.0), ExternalMetric(1.0, 1.0)]

    with pytest.raises(NoMetricError, match="1 of 2"):
        replicas_for_metrics(2, metrics, 0.1)
    assert Hpa(spec()).decide(0, 2, metrics) == 2


def test_bounds_hold() -> None:
    assert run(Hpa(spec(least=2, most=8)), 4, [50, 50, 0]) == [8, 8, 2]


def test_replicas_outside_the_bounds_are_brought_in_whatever_the_metrics_say() -> None:
    assert Hpa(spec(least=2, most=8)).decide(0, 20, asking(20)) == 8
    assert Hpa(spec(least=2, most=8)).decide(0, 1, asking(1)) == 2


def test_zero_replicas_switch_it_off() -> None:
    assert Hpa(spec()).decide(0, 0, asking(5)) == 0


def test_growth_doubles_or_adds_four_in_15_seconds() -> None:
    hpa = Hpa(spec(up=SHIPPED_UP))

    # max(2 x 1, 1 + 4) = 5, max(10, 9), 20, 40, 80, then the most.
    assert run(hpa, 1, [1000] * 6) == [5, 10, 20, 40, 80, 100]


def test_what_was_added_within_the_period_counts() -> None:
    hpa = Hpa(spec(up=SHIPPED_UP))

    # At 5 s and 10 s the period began with 1 replica, so 5 are all; at 15 s the period after the
    # first step began with 5.
    assert run(hpa, 1, [1000] * 4, period_s=5) == [5, 5, 5, 10]


def test_percentages_are_rounded_up_on_the_way_up() -> None:
    hpa = Hpa(spec(up=Rules((Policy("Percent", 10, 15),), 0)))

    assert run(hpa, 1, [100, 100, 100]) == [2, 3, 4]


def test_the_narrower_policy_may_be_chosen() -> None:
    policies = (Policy("Percent", 100, 15), Policy("Pods", 4, 15))

    assert Hpa(spec(up=Rules(policies, 0, "Min"))).decide(0, 10, asking(100)) == 14


def test_a_direction_may_be_switched_off() -> None:
    hpa = Hpa(spec(up=AT_ONCE, down=Rules((Policy("Percent", 100, 15),), 0, "Disabled")))

    assert run(hpa, 4, [1, 8, 1]) == [4, 8, 8]


def test_shrinking_waits_for_the_window() -> None:
    hpa = Hpa(spec(down=Rules((Policy("Percent", 100, 15),), 300)))

    # 8 replicas were asked for at 0 s; at 300 s that is no longer within the last 300 s.
    replicas = run(hpa, 8, [8] + [2] * 21)

    assert replicas[:20] == [8] * 20
    assert replicas[20] == 2


def test_one_greater_recommendation_keeps_replicas_for_a_whole_window() -> None:
    hpa = Hpa(spec(down=Rules((Policy("Percent", 100, 15),), 60)))

    assert run(hpa, 8, [2, 2, 6, 2, 2, 2, 2]) == [8, 8, 8, 8, 6, 6, 2]


def test_a_window_may_hold_growth_back_too() -> None:
    hpa = Hpa(spec(up=Rules((Policy("Percent", 900, 15),), 30)))

    # The first two decisions remember the 2 replicas there were.
    assert run(hpa, 2, [6, 6, 9, 9]) == [2, 2, 6, 9]


def test_shipped_rules_take_a_quarter_a_minute() -> None:
    down = Rules(SHIPPED_DOWN.policies, 0)
    hpa = Hpa(spec(down=down))

    # min(int(0.75 x 20), 19) = 15; 11; 8; 6; 4; 3; 2; min(int(1.5), 1) = 1.
    assert run(hpa, 20, [1] * 8, period_s=60) == [15, 11, 8, 6, 4, 3, 2, 1]


def test_what_was_removed_within_the_period_counts() -> None:
    hpa = Hpa(spec(down=Rules(SHIPPED_DOWN.policies, 0)))

    assert run(hpa, 20, [1] * 5, period_s=15) == [15, 15, 15, 15, 11]


def test_what_was_added_within_the_period_may_be_removed_at_once() -> None:
    down = Rules((Policy("Pods", 1, 60),), 0)
    hpa = Hpa(spec(down=down))

    # 10 are added at 0 s; at 15 s the minute began with 10, and one less is 9.
    assert run(hpa, 10, [20, 1, 1], period_s=15) == [20, 9, 9]
