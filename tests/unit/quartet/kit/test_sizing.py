from collections.abc import Sequence

import pytest

from quartet.kit.errors import KitError
from quartet.kit.model_sizing import ModelSizing, load_for, queue_target, size_model
from quartet.kit.sizing import (
    busy_targets,
    mixed_capacity,
    replica_range,
    request_shares,
    size,
    startup_time,
    time_shares,
)
from tests.unit.quartet.kit.figures import measurements, model, options


def test_load_is_the_measured_one_where_its_p99_keeps_the_objective() -> None:
    assert load_for(0.010, 0.030, 0.7, objective_s=0.030) == 0.7


def test_load_follows_the_curve_back_to_the_objective() -> None:
    # 30 ms at half the capacity: 10 + 20 * r/(1-r). 20 ms is reached where r/(1-r) = 1/2.
    assert load_for(0.010, 0.030, 0.5, objective_s=0.020) == pytest.approx(1 / 3)


def test_load_is_the_least_where_one_request_alone_misses_the_objective() -> None:
    assert load_for(0.010, 0.030, 0.5, objective_s=0.005) == 0.1


def test_load_is_the_least_where_latency_is_the_same_at_any_load_and_too_long() -> None:
    assert load_for(0.030, 0.030, 0.5, objective_s=0.020) == 0.1


def test_queue_target_is_capacity_times_queue_time() -> None:
    # 1000 rows a second for 20 ms (Little).
    assert queue_target(model(capacity=1000), 0.020) == 20


def test_queue_target_is_twice_the_queue_that_a_replica_has_anyway() -> None:
    assert queue_target(model(capacity=1000, mean_waiting_rows=30.0), 0.020) == 60


def test_queue_target_counts_rows_not_requests() -> None:
    assert queue_target(model(capacity=1000, rows_per_request=4), 0.020) == 80


def test_objective_is_the_bound_above_twice_the_measured_p99() -> None:
    sized = size_model(model(steady_p99_s=0.030), measurements(), options())
    assert (sized.objective_s, sized.alert_s) == (0.1, 0.1)


def test_stated_objective_holds_and_alerts_take_the_bound_above_it() -> None:
    given = options(latency_objective_ms={"m": 60.0})
    sized = size_model(model(steady_p99_s=0.030), measurements(), given)
    assert (sized.objective_s, sized.alert_s) == (0.06, 0.1)


def test_objective_is_no_longer_than_clients_wait() -> None:
    slow = model(kind="text", steady_p99_s=20.0, first_symbol_p99_s=10.0)
    sized = size_model(slow, measurements(), options(queue_timeout_s=4.0))
    assert (sized.objective_s, sized.alert_s) == (5.0, 5.0)


def test_objective_beyond_all_bounds_raises_no_alert() -> None:
    given = options(latency_objective_ms={"m": 90_000.0})
    assert size_model(model(), measurements(), given).alert_s is None


def test_text_is_alerted_by_its_first_symbol() -> None:
    text = model(kind="text", steady_p99_s=0.9, first_symbol_p99_s=0.02)
    sized = size_model(text, measurements(), options())
    assert (sized.objective_s, sized.alert_s, sized.of_first_symbol) == (2.0, 0.05, True)


def test_pictures_have_no_latency_alert() -> None:
    assert size_model(model(kind="pictures"), measurements(), options()).alert_s is None


def test_busy_fractions_fall_with_the_load() -> None:
    # p99 of 10 + 20 * r/(1-r) ms keeps 20 ms at a load of 1/3, two thirds of the measured half.
    figures = model(capacity=100, steady_load=0.5, unloaded_p99_s=0.010, steady_p99_s=0.030)
    sized = size_model(figures, measurements(), options(latency_objective_ms={"m": 20.0}))
    assert sized.load == pytest.approx(1 / 3)
    assert sized.utilization == pytest.approx(0.6 * 2 / 3)
    assert sized.loop_utilization == pytest.approx(0.3 * 2 / 3)
    assert sized.cpu_cores == pytest.approx(0.9 * 2 / 3)


def test_mixed_capacity_adds_the_time_of_each_request() -> None:
    # Three of four requests take 10 ms, one takes 50 ms: 80 ms for four.
    shares = request_shares(["a", "b"], {"a": 3, "b": 1})
    assert mixed_capacity({"a": 100.0, "b": 20.0}, shares) == pytest.approx(50.0)


def test_models_outside_the_mix_take_no_requests() -> None:
    assert request_shares(["a", "b"], {"b": 2}) == {"a": 0.0, "b": 1.0}


def test_mix_of_an_unknown_model_is_refused() -> None:
    with pytest.raises(KitError, match="--mix c: measured were a, b"):
        request_shares(["a", "b"], {"c": 1})


def test_each_busy_target_is_the_least_of_the_models_that_fill_it_more() -> None:
    # A mix of one of them is that model alone, which passes the engine's target.
    big = sized_model("big", utilization=0.6, loop_utilization=0.6)
    other = sized_model("other", utilization=0.7, loop_utilization=0.1)
    small = sized_model("small", utilization=0.2, loop_utilization=0.5)
    assert busy_targets([big, other, small], {"big": 1, "other": 0, "small": 0}) == (0.6, 0.5)


def test_busy_targets_fall_until_a_mix_passes_one() -> None:
    # Half the time each: the engine is busy 0.35 of its 0.6, the loop 0.25 of its 0.4.
    engine = sized_model("engine", utilization=0.6, loop_utilization=0.1)
    loop = sized_model("loop", utilization=0.1, loop_utilization=0.4)
    models = [engine, loop]
    targets = busy_targets(models, time_shares(models, shares_of(models)))
    assert targets == (0.37, 0.25)


def test_busy_target_is_never_near_one() -> None:
    models = [sized_model("m", utilization=0.97, loop_utilization=0.2)]
    assert busy_targets(models, {"m": 1.0})[0] == 0.8


def test_start_may_take_ten_times_the_measured_one() -> None:
    assert (startup_time(7.3), startup_time(1.0), startup_time(None)) == (80, 60, 300)


def test_replicas_carry_the_load_at_their_share_of_capacity() -> None:
    # 1000 over 0.7 * 200 is 7.1; twice the load wants 14.3, and one more.
    wanted = options(requests_per_second=1000.0)
    assert replica_range(wanted, capacity_rps=200.0, load=0.7) == (8, 16)


def test_small_load_leaves_room_above_the_replicas_that_always_run() -> None:
    assert replica_range(options(requests_per_second=1.0), capacity_rps=200.0, load=0.7) == (1, 3)


def test_replicas_are_not_computed_without_a_load() -> None:
    assert replica_range(options(), capacity_rps=200.0, load=0.7) == (None, 8)


def test_max_replicas_below_the_need_is_refused() -> None:
    wanted = options(requests_per_second=1000.0, max_replicas=7)
    with pytest.raises(KitError, match="--max-replicas 7: the load needs 8"):
        replica_range(wanted, capacity_rps=200.0, load=0.7)


def test_memory_and_cpu_follow_the_peak_with_margins() -> None:
    mib = 1024 * 1024
    sizing = size(measurements(peak_bytes=900 * mib, server_cpus=2.0), options())
    # 900 * 1.1 = 990, up to 1024; * 1.5 = 1536. 0.9 busy CPUs at the measured load.
    assert (sizing.memory_request_mib, sizing.memory_limit_mib) == (1024, 1536)
    assert (sizing.cpu_request_milli, sizing.cpu_limit_milli) == (900, 2000)


def test_small_servers_have_room_for_a_few_large_bodies() -> None:
    sizing = size(measurements(peak_bytes=100 * 1024 * 1024), options())
    assert (sizing.memory_request_mib, sizing.memory_limit_mib) == (128, 384)


def test_cpu_request_never_exceeds_the_limit() -> None:
    sizing = size(measurements(model(cpu_cores=1.04), server_cpus=1.0), options())
    assert sizing.cpu_request_milli == sizing.cpu_limit_milli == 1000


def test_queue_holds_what_the_fastest_model_serves_in_time() -> None:
    slow, fast = model("slow", capacity=10), model("fast", capacity=100)
    assert size(measurements(slow, fast), options()).max_queue_rows == 500
    assert size(measurements(slow), options()).max_queue_rows == 64
    assert size(measurements(model(capacity=5000)), options()).max_queue_rows == 1024


def test_models_without_a_share_do_not_limit_the_replica() -> None:
    slow = model("slow", capacity=10, steady_p99_s=0.4, unloaded_p99_s=0.39)
    fast = model("fast", capacity=1000)
    both = size(measurements(fast, slow), options())
    alone = size(measurements(fast, slow), options(mix={"fast": 1}))
    assert alone.capacity_rps == pytest.approx(1000)
    assert both.capacity_rps == pytest.approx(2 / (1 / 10 + 1 / 1000))


def test_objective_of_an_unknown_model_is_refused() -> None:
    with pytest.raises(KitError, match="--latency-objective-ms x: measured were m"):
        size(measurements(), options(latency_objective_ms={"x": 1.0}))


def sized_model(name: str, *, utilization: float, loop_utilization: float) -> ModelSizing:
    figures = model(
        name,
        utilization=utilization,
        loop_utilization=loop_utilization,
    )
    return size_model(figures, measurements(), options())


def shares_of(models: Sequence[ModelSizing]) -> dict[str, float]:
    return request_shares([one.name for one in models], {})
