"""What Prometheus reads, by its own parser."""

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from serving.metrics import Metrics, ModelMetrics
from serving.triton_metrics import Totals, render_totals
from serving.types import Timings

MODEL = {"model": "m", "version": "1"}


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry())


@pytest.fixture
def model(metrics: Metrics) -> ModelMetrics:
    return metrics.for_model("m", "1", "CPUExecutionProvider")


def read(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample that the parser finds, by name and labels.

    The parser calls each counter ``..._total``, though Triton's are not called so in the text.
    """
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        (_name_in_text(sample.name), frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def _name_in_text(name: str) -> str:
    return name.removesuffix("_total") if name.startswith("nv_") else name


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return read(metrics).get((name, frozenset({**MODEL, **labels}.items())))


def test_rows_exist_with_zero_as_soon_as_a_model_is_loaded(
    metrics: Metrics, model: ModelMetrics
) -> None:
    for name in (
        "nv_inference_request_success",
        "nv_inference_count",
        "nv_inference_exec_count",
        "nv_inference_request_duration_us",
        "nv_inference_queue_duration_us",
        "nv_inference_compute_input_duration_us",
        "nv_inference_compute_infer_duration_us",
        "nv_inference_compute_output_duration_us",
        "nv_inference_pending_request_count",
        "quartet_queue_duration_seconds_count",
        "quartet_execution_duration_seconds_count",
        "quartet_batch_size_count",
        "quartet_queue_size",
    ):
        assert value(metrics, name) == 0, name
    for reason in ("REJECTED", "CANCELED", "BACKEND", "OTHER"):
        assert value(metrics, "nv_inference_request_failure", reason=reason) == 0
    for protocol in ("http", "grpc"):
        for outcome in ("ok", "error", "invalid", "rejected"):
            labels = {"protocol": protocol, "outcome": outcome}
            assert value(metrics, "quartet_requests_total", **labels) == 0
        assert value(metrics, "quartet_request_duration_seconds_count", protocol=protocol) == 0


def test_request_finished_counts_an_answered_request(metrics: Metrics, model: ModelMetrics) -> None:
    model.request_finished("grpc", "ok", 0.5, Timings(0.1, 0.01, 0.2, 0.02, 4))
    assert value(metrics, "quartet_requests_total", protocol="grpc", outcome="ok") == 1
    assert value(metrics, "quartet_request_duration_seconds_sum", protocol="grpc") == 0.5
    assert value(metrics, "quartet_queue_duration_seconds_sum") == 0.1
    assert value(metrics, "nv_inference_request_success") == 1
    assert value(metrics, "nv_inference_request_duration_us") == 500_000
    assert value(metrics, "nv_inference_queue_duration_us") == 100_000
    assert value(metrics, "nv_inference_compute_input_duration_us") == 10_000
    assert value(metrics, "nv_inference_compute_infer_duration_us") == 200_000
    assert value(metrics, "nv_inference_compute_output_duration_us") == 20_000


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        ("rejected", "REJECTED"),
        ("deadline", "REJECTED"),
        ("cancelled", "CANCELED"),
        ("error", "BACKEND"),
        ("invalid", "OTHER"),
        ("unavailable", "OTHER"),
    ],
)
def test_request_finished_counts_a_failure_by_its_reason(
    metrics: Metrics, model: ModelMetrics, outcome: str, reason: str
) -> None:
    model.request_finished("http", outcome, 0.5, None)
    assert value(metrics, "quartet_requests_total", protocol="http", outcome=outcome) == 1
    assert value(metrics, "nv_inference_request_failure", reason=reason) == 1
    assert value(metrics, "nv_inference_request_success") == 0


def test_batch_finished_counts_runs_and_rows(metrics: Metrics, model: ModelMetrics) -> None:
    model.batch_finished(Timings(compute_infer_s=0.2, batch_rows=3), failed=False)
    model.batch_finished(Timings(compute_infer_s=0.2, batch_rows=5), failed=True)
    assert value(metrics, "nv_inference_exec_count") == 2
    assert value(metrics, "nv_inference_count") == 3
    assert value(metrics, "quartet_batch_size_sum") == 8
    assert value(metrics, "quartet_execution_duration_seconds_count") == 2


def test_watch_queue_reads_the_queue_when_scraped(metrics: Metrics, model: ModelMetrics) -> None:
    rows, requests, age_s = [5], [2], [0.25]
    model.watch_queue(lambda: rows[0], lambda: requests[0], lambda: age_s[0], 1024)
    rows[0], requests[0], age_s[0] = 7, 3, 0.5
    assert value(metrics, "quartet_queue_age_seconds") == 0.5
    assert value(metrics, "quartet_queue_limit") == 1024
    assert value(metrics, "quartet_queue_size") == 7
    assert value(metrics, "nv_inference_pending_request_count") == 3


def test_unrouted_counts_without_labels_of_the_clients_making(metrics: Metrics) -> None:
    metrics.unrouted("http", "not_found")
    labels = {"model": "", "version": "", "protocol": "http", "outcome": "not_found"}
    assert value(metrics, "quartet_requests_total", **labels) == 1


def test_render_totals_escapes_model_names_as_prometheus_reads_them() -> None:
    name = 'a"b\\c\nd'
    text = render_totals({(name, "1"): Totals(success=3)})
    families = {f.name: f for f in text_string_to_metric_families(text)}
    (sample,) = families["nv_inference_request_success"].samples
    assert (sample.labels, sample.value) == ({"model": name, "version": "1"}, 3)


def test_counters_under_tritons_names_have_no_suffix(model: ModelMetrics, metrics: Metrics) -> None:
    text = metrics.render().decode()
    assert '\nnv_inference_request_success{model="m",version="1"} 0\n' in text
    assert "nv_inference_request_success_total" not in text


def test_every_family_is_described_once(metrics: Metrics, model: ModelMetrics) -> None:
    metrics.for_model("n", "2", "CPUExecutionProvider")
    headers = [
        line.split()[2] for line in metrics.render().decode().splitlines() if "# TYPE" in line
    ]
    assert len(headers) == len(set(headers))
