from prometheus_client import CollectorRegistry

from serving.busy_meter import BusyMeter, LoopMeter
from serving.engine_metrics import EngineFamilies


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_utilization_is_that_of_the_fullest_part() -> None:
    clock, registry = Clock(), CollectorRegistry()
    families = EngineFamilies(registry)
    engine, narrow, wide = (BusyMeter(places, clock) for places in (4, 1, 4))
    families.watch_engine(engine)
    families.watch_model("narrow", "1", narrow)
    families.watch_model("wide", "2", wide)
    engine.begin()
    narrow.begin()
    clock.now = 20.0
    assert registry.get_sample_value("quartet_utilization") == 1.0
    assert registry.get_sample_value("quartet_engine_threads") == 4
    assert registry.get_sample_value("quartet_engine_busy_seconds_total") == 20.0
    labels = {"model": "wide", "version": "2"}
    assert registry.get_sample_value("quartet_model_utilization", labels) == 0.0
    labels = {"model": "narrow", "version": "1"}
    assert registry.get_sample_value("quartet_model_utilization", labels) == 1.0


def test_threads_that_are_all_busy_are_a_full_engine() -> None:
    clock, registry = Clock(), CollectorRegistry()
    families = EngineFamilies(registry)
    engine, model = BusyMeter(1, clock), BusyMeter(4, clock)
    families.watch_engine(engine)
    families.watch_model("model", "1", model)
    engine.begin()
    model.begin()
    clock.now = 20.0
    assert registry.get_sample_value("quartet_utilization") == 1.0


def test_rows_exist_before_anything_is_watched() -> None:
    registry = CollectorRegistry()
    EngineFamilies(registry)
    for name in ("quartet_utilization", "quartet_loop_utilization"):
        assert registry.get_sample_value(name) == 0.0


def test_the_loop_s_thread_is_measured() -> None:
    clock, cpu, registry = Clock(), Clock(), CollectorRegistry()
    families = EngineFamilies(registry)
    families.watch_loop(LoopMeter(clock, cpu))
    clock.now, cpu.now = 10.0, 2.5
    assert registry.get_sample_value("quartet_loop_utilization") == 0.25
    assert registry.get_sample_value("quartet_loop_cpu_seconds_total") == 2.5
