"""Replicas restarted one after the other behind real load balancers: no call fails."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deploy.balancers import HAPROXY, Kind, started_balancer
from tests.deploy.rolling import COUNT, Replicas, started, write_rolling_models
from tests.deploy.rolling_load import Grpc, Load, Rest, running_load

ALONE = {HAPROXY.program: {"retries 3": "retries 0", "option redispatch": ""}}
"""Nothing but the drain saves a call: the balancer does not try another replica."""
DELAY = ("--drain-delay-s", "3")


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return write_rolling_models(tmp_path)


@dataclass(frozen=True)
class Fleet:
    """Replicas behind a balancer under load."""

    replicas: Replicas
    load: Load


@contextlib.contextmanager
def fleet(kind: Kind, models: Path, folder: Path, *flags: str) -> Iterator[Fleet]:
    """Three replicas with ``flags``, which serve every kind of call."""
    with (
        started(models, *flags) as replicas,
        started_balancer(kind, replicas, folder, ALONE[kind.program]) as balancer,
        contextlib.closing(Rest(balancer.http_address)) as requests,
        contextlib.closing(Grpc(balancer.grpc_address)) as calls,
        running_load() as load,
    ):
        requests.add_to(load)
        calls.add_to(load)
        load.wait_each(1)
        yield Fleet(replicas, load)


@pytest.mark.parametrize("kind", [HAPROXY], ids=lambda kind: kind.program)
def test_no_call_fails_when_replicas_are_restarted_in_turn(
    models: Path, tmp_path_factory: pytest.TempPathFactory, kind: Kind
) -> None:
    folder = tmp_path_factory.mktemp(kind.program)
    with fleet(kind, models, folder, *DELAY) as running:
        for number in range(COUNT):
            running.replicas.restart(number)
            running.replicas.wait_served(number)
        running.load.wait_each(1)
    assert running.load.failures == []
    assert running.replicas.ended == [0] * COUNT


@pytest.mark.parametrize("kind", [HAPROXY], ids=lambda kind: kind.program)
def test_calls_fail_when_the_port_closes_without_the_drain_delay(
    models: Path, tmp_path_factory: pytest.TempPathFactory, kind: Kind
) -> None:
    """The negative control of the test above: it can fail."""
    folder = tmp_path_factory.mktemp(kind.program)
    with fleet(kind, models, folder) as running:
        running.replicas.restart(0)
    assert any(failure.startswith("rest") for failure in running.load.failures)
    assert any(failure.startswith("grpc") for failure in running.load.failures)
    assert running.replicas.ended == [0]
