import pytest

from quartet.monitoring import queries


@pytest.mark.parametrize(("selector", "braces"), [("", ""), ('job="q"', '{job="q"}')])
def test_selector_narrows_the_metric(selector: str, braces: str) -> None:
    assert queries.waiting_rows(selector) == f"sum(quartet_queue_size{braces})"


def test_replicas_are_the_demand_over_what_one_takes() -> None:
    assert queries.replicas_by_queue() == "ceil(sum(quartet_queue_size) / 16)"
    assert queries.replicas_by_engine() == "ceil(sum(quartet_utilization) / 0.7)"
    assert queries.replicas_by_loop() == "ceil(sum(quartet_loop_utilization) / 0.7)"


def test_quantile_keeps_the_bounds_of_buckets_besides_its_labels() -> None:
    assert queries.quantile(0.99, "h", 'a="b"', "model", "5m") == (
        'histogram_quantile(0.99, sum by (model, le) (rate(h_bucket{a="b"}[5m])))'
    )
    assert "sum by (le)" in queries.quantile(0.5, "h", "", "", "5m")


def test_mean_divides_the_sum_by_the_count() -> None:
    assert queries.mean("h", "", "model", "5m") == (
        "sum by (model) (rate(h_sum[5m])) / sum by (model) (rate(h_count[5m]))"
    )


def test_gateway_is_asked_for_one_listener() -> None:
    assert queries.gateway_requests('port="80"', "2m") == (
        'sum(rate(envoy_http_downstream_rq_total{port="80"}[2m]))'
    )
