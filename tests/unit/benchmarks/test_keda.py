"""A ScaledObject over time; every case is worked by hand from KEDA's rules."""

from benchmarks.autoscaling.hpa import HpaSpec
from benchmarks.autoscaling.keda import Keda, ScaledObject, Trigger

QUEUE, BUSY, GATEWAY = Trigger(threshold=16), Trigger(threshold=0.7), Trigger(threshold=50)


def keda(least: int = 0, cooldown_s: float = 300.0) -> Keda:
    hpa = HpaSpec(min_replicas=least, max_replicas=8)
    return Keda(ScaledObject(triggers=(QUEUE, BUSY, GATEWAY), hpa=hpa, cooldown_s=cooldown_s))


def test_no_replica_and_no_request_stays_none() -> None:
    assert keda().poll(0, 0, [None, None, 0.0]) == 0


def test_no_replica_and_a_request_at_the_gateway_gives_one() -> None:
    assert keda().poll(0, 0, [None, None, 0.02]) == 1


def test_a_trigger_is_active_only_above_its_activation_threshold() -> None:
    trigger = Trigger(threshold=50, activation_threshold=1)
    scaled = Keda(ScaledObject(triggers=[trigger], hpa=HpaSpec(min_replicas=0, max_replicas=8)))

    assert scaled.poll(0, 0, [1.0]) == 0
    assert scaled.poll(30, 0, [1.1]) == 1


def test_from_zero_goes_to_the_least_number_if_there_is_one() -> None:
    assert keda(least=2).poll(0, 0, [None, None, 5.0]) == 2
    assert keda(least=2).poll(0, 0, [None, None, 0.0]) == 2


def test_zero_comes_after_the_cooldown() -> None:
    scaled = keda(cooldown_s=60)
    assert scaled.poll(0, 1, [0, 0, 3.0]) == 1

    assert scaled.poll(30, 1, [0, 0, 0]) == 1
    assert scaled.poll(60, 1, [0, 0, 0]) == 1
    assert scaled.poll(90, 1, [0, 0, 0]) == 0


def test_without_a_memory_of_activity_zero_comes_at_once() -> None:
    assert keda().poll(0, 3, [0, 0, 0]) == 0


def test_a_least_number_of_replicas_is_kept() -> None:
    assert keda(least=2).poll(1000, 2, [0, 0, 0]) == 2


def test_idle_replicas_differ_from_the_least_number() -> None:
    hpa = HpaSpec(min_replicas=2, max_replicas=8)
    scaled = Keda(ScaledObject(triggers=[QUEUE], hpa=hpa, idle_replicas=0, cooldown_s=60))

    assert scaled.poll(0, 0, [0.0]) == 0
    assert scaled.poll(30, 0, [1.0]) == 2
    assert scaled.poll(60, 1, [1.0]) == 2, "one of them was lost"
    assert scaled.poll(120, 3, [0.0]) == 3, "still warm"
    assert scaled.poll(121, 3, [0.0]) == 0


def test_replicas_are_the_sum_over_the_threshold() -> None:
    scaled = keda()

    assert scaled.decide(0, 2, [50.0, 1.9, 10.0]) == 4  # 50 / 16 = 3.1; 1.9 / 0.7 = 2.7; 0.2
    assert scaled.decide(15, 4, [500.0, 4.0, 10.0]) == 8  # the most


def test_the_autoscaler_keeps_one_replica() -> None:
    scaled = Keda(ScaledObject(triggers=[QUEUE], hpa=HpaSpec(min_replicas=0, max_replicas=8)))
    scaled.decide(0, 1, [0.0])

    assert scaled.decide(600, 1, [0.0]) == 1


def test_an_empty_answer_counts_as_nothing_unless_told_otherwise() -> None:
    strict = Trigger(threshold=16, ignore_null_values=False)
    spec = HpaSpec(min_replicas=1, max_replicas=8)
    scaled = Keda(ScaledObject(triggers=[strict], hpa=spec))

    assert scaled.decide(0, 4, [None]) == 4
    assert scaled.decide(600, 4, [None]) == 4
    assert not scaled.active([None])
