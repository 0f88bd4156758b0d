"""What Prometheus reads of generators, by its own parser."""

import pytest
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.parser import text_string_to_metric_families

from serving.generation_metrics import BulkHistogram, GenerationMetrics
from serving.metrics import Metrics

MODEL = {"model": "t", "version": "2"}
BOUNDS = (0.1, 0.2, 1.0)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry())


@pytest.fixture
def generator(metrics: Metrics) -> GenerationMetrics:
    return metrics.generation.for_model("t", "2")


def value(metrics: Metrics, name: str, **labels: str) -> float:
    """The sample of that name and those labels; fails if there is none."""
    (found,) = [
        sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
        if sample.name == f"quartet_generation_{name}" and sample.labels == {**MODEL, **labels}
    ]
    return found


def test_rows_exist_with_zero_as_soon_as_a_generator_is_loaded(
    metrics: Metrics, generator: GenerationMetrics
) -> None:
    for name in ("first_symbol_seconds_count", "symbol_interval_seconds_count"):
        assert value(metrics, name) == 0
    for kind in ("read", "written"):
        assert value(metrics, "symbols_total", kind=kind) == 0
    for reason in ("stop", "length", "cancelled", "error", "deadline"):
        assert value(metrics, "texts_total", reason=reason) == 0
    for kind in ("prefill", "decode"):
        assert value(metrics, "run_duration_seconds_count", kind=kind) == 0
        assert value(metrics, "run_rows_count", kind=kind) == 0
        assert value(metrics, "row_steps_total", kind=kind) == 0


def test_gauges_are_read_from_their_owner_when_scraped(
    metrics: Metrics, generator: GenerationMetrics
) -> None:
    rows = {"active": 3, "waiting": 5}
    generator.watch(lambda: rows["active"], lambda: rows["waiting"], lambda: 12)
    assert value(metrics, "rows", state="active") == 3
    assert value(metrics, "rows", state="waiting") == 5
    assert value(metrics, "slots") == 12
    assert value(metrics, "slot_utilization") == 0.25
    rows["active"] = 12
    assert value(metrics, "slot_utilization") == 1


def test_the_time_between_pieces_is_spread_over_their_symbols(
    metrics: Metrics, generator: GenerationMetrics
) -> None:
    generator.next_symbols(16, 0.016)
    generator.next_symbols(4, 0.4)
    generator.next_symbols(0, 9.0)
    assert value(metrics, "symbol_interval_seconds_count") == 20
    assert value(metrics, "symbol_interval_seconds_sum") == pytest.approx(0.416)
    assert value(metrics, "symbol_interval_seconds_bucket", le="0.001") == 16
    assert value(metrics, "symbol_interval_seconds_bucket", le="0.1") == 20


def test_texts_and_symbols_are_counted(metrics: Metrics, generator: GenerationMetrics) -> None:
    generator.first_symbol(0.3)
    generator.symbols(prompt=7, written=40)
    generator.symbols(prompt=1, written=2)
    for reason in ("stop", "stop", "cancelled"):
        generator.text_finished(reason)
    assert value(metrics, "first_symbol_seconds_sum") == 0.3
    assert value(metrics, "symbols_total", kind="read") == 8
    assert value(metrics, "symbols_total", kind="written") == 42
    assert value(metrics, "texts_total", reason="stop") == 2
    assert value(metrics, "texts_total", reason="cancelled") == 1


def test_runs_are_counted_by_kind(metrics: Metrics, generator: GenerationMetrics) -> None:
    generator.run_finished("decode", 32, 16, 0.01)
    generator.run_finished("decode", 1, 16, 0.002)
    generator.run_finished("prefill", 2, 64, 0.03)
    assert value(metrics, "run_duration_seconds_sum", kind="decode") == 0.012
    assert value(metrics, "run_rows_sum", kind="decode") == 33
    assert value(metrics, "row_steps_total", kind="decode") == 33 * 16
    assert value(metrics, "row_steps_total", kind="prefill") == 128


def test_generators_are_told_apart(metrics: Metrics, generator: GenerationMetrics) -> None:
    metrics.generation.for_model("other", "1").next_symbols(5, 1.0)
    generator.next_symbols(1, 1.0)
    assert value(metrics, "symbol_interval_seconds_count") == 1


@pytest.mark.parametrize("number", [0.0, 0.05, 0.1, 0.11, 0.2, 1.0, 1.5])
def test_bulk_histogram_reads_as_the_librarys_own_does(number: float) -> None:
    bulk, library = CollectorRegistry(), CollectorRegistry()
    ours = BulkHistogram("h", "Text.", BOUNDS)
    bulk.register(ours)
    theirs = Histogram("h", "Text.", ["model", "version"], buckets=BOUNDS, registry=library)
    ours.labels("t", "2").observe(number, 3)
    for _ in range(3):
        theirs.labels("t", "2").observe(number)

    def samples(registry: CollectorRegistry) -> dict[tuple[str, str], float]:
        return {
            (sample.name, sample.labels.get("le", "")): sample.value
            for family in registry.collect()
            for sample in family.samples
            if not sample.name.endswith("_created")
        }

    assert samples(bulk) == pytest.approx(samples(library))
