"""From zero and back by the shipped ScaledObject, with the requests of a real Envoy."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.autoscaling.keda import Keda
from quartet.monitoring.queries import gateway_requests
from tests.deploy.autoscalers import shipped_scaled_object
from tests.deploy.gateways import (
    CLUSTER,
    DIRECT_ANSWER,
    LISTENER,
    TO_CLUSTER,
    Gateway,
    started_gateway,
)
from tests.deploy.prometheus import Prometheus, started_prometheus
from tests.deploy.replicas import as_targets, started_replicas
from tests.e2e.graphs import plus, write_model

NAMESPACE = "models"
REQUESTS = gateway_requests(f'envoy_http_conn_manager_prefix="{LISTENER}"')
CLUSTER_REQUESTS = (
    f'sum(rate(envoy_cluster_upstream_rq_total{{envoy_cluster_name="{CLUSTER}"}}[1m]))'
)
SOON = gateway_requests(f'envoy_http_conn_manager_prefix="{LISTENER}"', window="5s")
"""Like the trigger's query, forgotten sooner."""
Empty = tuple[Gateway, Prometheus]


def trigger_values(prometheus: Prometheus) -> list[float | None]:
    return shipped_scaled_object().values(prometheus, NAMESPACE)


@pytest.fixture(params=[TO_CLUSTER, DIRECT_ANSWER], ids=["route to cluster", "direct answer"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Empty]:
    """A gateway in front of no replica, scraped twice, so that a rate can be told."""
    with (
        started_gateway(tmp_path / "envoy", request.param) as gateway,
        started_prometheus(tmp_path / "prometheus", [gateway.as_target()]) as prometheus,
    ):
        prometheus.wait_scraped()
        yield gateway, prometheus


def test_a_request_at_the_gateway_wakes_the_service(empty: Empty) -> None:
    gateway, prometheus = empty
    shipped = shipped_scaled_object().scaled
    keda = Keda(shipped)
    assert keda.poll(0, 0, trigger_values(prometheus)) == 0, "nobody asked"

    assert gateway.get("/v2/models/mnist") == 503
    prometheus.wait_query(REQUESTS, lambda value: value > 0)

    assert keda.poll(5, 0, trigger_values(prometheus)) == shipped.hpa.min_replicas


def test_the_counter_of_the_cluster_would_not_have(empty: Empty) -> None:
    gateway, prometheus = empty

    assert gateway.get("/v2/models/mnist") == 503
    prometheus.wait_query(REQUESTS, lambda value: value > 0)

    assert [value for _, value in prometheus.query(CLUSTER_REQUESTS)] in ([], [0.0])


def test_replicas_without_requests_go_after_the_cooldown(tmp_path: Path) -> None:
    write_model(tmp_path / "models", "plus", plus(1))
    with (
        started_replicas(tmp_path / "models", 1) as servers,
        started_gateway(tmp_path / "envoy", TO_CLUSTER, servers[0].http_port) as gateway,
        started_prometheus(
            tmp_path / "prometheus",
            [*as_targets(servers, namespace=NAMESPACE), gateway.as_target()],
        ) as prometheus,
    ):
        prometheus.wait_scraped()
        assert gateway.get("/v2/models/plus") == 200
        prometheus.wait_query(SOON, lambda value: value > 0)
        asked = trigger_values(prometheus)
        prometheus.wait_query(SOON, lambda value: value == 0)
        # The runs that prove a model when it is loaded count for 15 s.
        prometheus.wait_query("sum(quartet_utilization)", lambda value: value == 0)
        quiet = trigger_values(prometheus)

    shipped = shipped_scaled_object().scaled
    keda = Keda(shipped)
    assert keda.poll(0, 2, asked) == 2
    # The trigger's minute is longer than this test: its value then is what the last 5 s gave.
    quiet[-1] = 0.0
    assert keda.poll(shipped.cooldown_s, 2, quiet) == 2, "within the cooldown"
    assert keda.poll(shipped.cooldown_s + 1, 2, quiet) == 0
