"""Replicas restarted one after the other behind real load balancers: no call fails."""

import contextlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deploy.balancers import ENVOY, HAPROXY, NGINX, Changes, Kind, started_balancer
from tests.deploy.rolling import COUNT, Replicas, started, write_rolling_models
from tests.deploy.rolling_load import Grpc, Load, Rest, always, running_load
from tests.deploy.tools import require

logger = logging.getLogger(__name__)

FLAGS = ("--drain-delay-s", "3", "--listen-when-loaded")
"""What the examples tell to give replicas. The first is for those who ask whether a replica is
ready, the second for nginx, which does not."""
ENVOY_RETRIES = 'retry_policy: { retry_on: "connect-failure,refused-stream", num_retries: 2 }'
ALONE: Mapping[Kind, Changes] = {
    HAPROXY: {"retries 3": "retries 0", "option redispatch": ""},
    ENVOY: {ENVOY_RETRIES: ""},
    NGINX: {},
}
"""Those who ask do not try another replica here, so that only the drain saves a call."""
LATE: Mapping[Kind, Changes] = {
    HAPROXY: {**ALONE[HAPROXY], "inter 1s fastinter 250ms": "inter 600s"},
    ENVOY: {**ALONE[ENVOY], "interval: 1s": "interval: 600s"},
    NGINX: {
        "proxy_next_upstream error timeout http_503 non_idempotent": "proxy_next_upstream off",
        "grpc_next_upstream error timeout non_idempotent": "grpc_next_upstream off",
    },
}
"""None knows that a replica ends, and none tries another one."""


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return write_rolling_models(tmp_path)


@dataclass(frozen=True)
class Fleet:
    """Replicas behind balancers, each of which has clients of every kind."""

    replicas: Replicas
    load: Load


@contextlib.contextmanager
def fleet(
    balancers: Mapping[Kind, Changes], folder: Path, models: Path, *flags: str
) -> Iterator[Fleet]:
    """Three replicas, and each program with its changes before all of them."""
    for kind in balancers:
        require(kind.program)
    with contextlib.ExitStack() as stack:
        replicas = stack.enter_context(started(models, *flags))
        clients: list[tuple[str, Rest, Grpc]] = []
        for kind, changes in balancers.items():
            balancer = stack.enter_context(started_balancer(kind, replicas, folder, changes))
            requests = stack.enter_context(contextlib.closing(Rest(always(balancer.http_address))))
            calls = stack.enter_context(contextlib.closing(Grpc(balancer.grpc_address)))
            clients.append((kind.program, requests, calls))
        load = stack.enter_context(running_load())
        for name, requests, calls in clients:
            requests.add_to(load, f"{name} ")
            calls.add_to(load, f"{name} ")
        load.wait_each(1)
        yield Fleet(replicas, load)


def test_no_call_fails_when_replicas_are_restarted_in_turn(
    models: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with fleet(ALONE, tmp_path_factory.mktemp("balancers"), models, *FLAGS) as running:
        for number in range(COUNT):
            running.replicas.restart(number)
            running.replicas.wait_served(number)
    logger.info("%s", running.load.report())
    assert running.load.failures == []
    assert running.replicas.ended == [0] * COUNT


def test_calls_fail_when_no_balancer_knows_that_a_replica_ends(
    models: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The negative control of the test above: each kind of call can fail behind each of them."""
    with fleet(LATE, tmp_path_factory.mktemp("balancers"), models) as running:
        running.replicas.end(0)
        running.load.wait_failures(
            [f"{kind.program} {protocol}" for kind in LATE for protocol in ("rest", "grpc")]
        )
