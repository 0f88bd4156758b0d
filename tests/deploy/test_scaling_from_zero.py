"""From zero and back: the gateway's requests, as a real Prometheus counts those of a real Envoy."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.autoscaling.hpa import HpaSpec
from benchmarks.autoscaling.keda import Keda, ScaledObject, Trigger
from quartet.monitoring.queries import busy_engines, busy_loops, gateway_requests, waiting_rows
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

MODELS = 'job="quartet"'
REQUESTS = gateway_requests(f'envoy_http_conn_manager_prefix="{LISTENER}"')
SOON = gateway_requests(f'envoy_http_conn_manager_prefix="{LISTENER}"', window="5s")
"""The same, forgotten sooner."""
CLUSTER_REQUESTS = (
    f'sum(rate(envoy_cluster_upstream_rq_total{{envoy_cluster_name="{CLUSTER}"}}[1m]))'
)
TRIGGERS = [Trigger(threshold=16), Trigger(threshold=0.7), Trigger(threshold=1000)]
Empty = tuple[Gateway, Prometheus]


def make_keda() -> Keda:
    hpa = HpaSpec(min_replicas=0, max_replicas=8)
    return Keda(ScaledObject(triggers=TRIGGERS, hpa=hpa, cooldown_s=300))


def trigger_values(prometheus: Prometheus, requests: str = REQUESTS) -> list[float | None]:
    """Of the triggers, as KEDA reads them: no sample is no value."""
    found = [prometheus.query(q) for q in (waiting_rows(MODELS), busy_engines(MODELS), requests)]
    return [samples[0][1] if samples else None for samples in found]


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
    keda = make_keda()
    assert keda.poll(0, 0, trigger_values(prometheus)) == 0, "nobody asked"

    assert gateway.get("/v2/models/mnist") == 503
    prometheus.wait_query(REQUESTS, lambda value: value > 0)

    assert keda.poll(30, 0, trigger_values(prometheus)) == 1


def test_the_counter_of_the_cluster_would_not_have(empty: Empty) -> None:
    gateway, prometheus = empty

    assert gateway.get("/v2/models/mnist") == 503
    prometheus.wait_query(REQUESTS, lambda value: value > 0)

    values = [value for _, value in prometheus.query(CLUSTER_REQUESTS)]
    assert values in ([], [0.0])


def test_replicas_without_requests_go_after_the_cooldown(tmp_path: Path) -> None:
    write_model(tmp_path / "models", "plus", plus(1))
    with (
        started_replicas(tmp_path / "models", 1) as servers,
        started_gateway(tmp_path / "envoy", TO_CLUSTER, servers[0].http_port) as gateway,
        started_prometheus(
            tmp_path / "prometheus", [*as_targets(servers), gateway.as_target()]
        ) as prometheus,
    ):
        prometheus.wait_scraped()
        keda = make_keda()
        assert gateway.get("/v2/models/plus") == 200
        prometheus.wait_query(SOON, lambda value: value > 0)
        assert keda.poll(0, 1, trigger_values(prometheus, SOON)) == 1

        prometheus.wait_query(SOON, lambda value: value == 0)
        # The runs that prove a model when it is loaded count for 15 s.
        prometheus.wait_query(busy_engines(MODELS), lambda value: value == 0)

        idle = trigger_values(prometheus, SOON)
        assert keda.poll(60, 1, idle) == 1, "within the cooldown"
        assert keda.poll(301, 1, idle) == 0


def test_an_idle_event_loop_is_not_quite_idle(tmp_path: Path) -> None:
    """Why the loop's trigger needs an activation threshold: being scraped takes time."""
    write_model(tmp_path / "models", "plus", plus(1))
    with (
        started_replicas(tmp_path / "models", 1) as servers,
        started_prometheus(tmp_path / "prometheus", as_targets(servers)) as prometheus,
    ):
        loop = prometheus.wait_query(busy_loops(MODELS), lambda value: value > 0)

    scaled = ScaledObject(
        triggers=[Trigger(threshold=0.7)], hpa=HpaSpec(min_replicas=0, max_replicas=8)
    )
    assert Keda(scaled).active([loop])
