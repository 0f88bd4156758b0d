"""Replicas restarted one after the other behind real load balancers: no call fails."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deploy.balancers import ENVOY, HAPROXY, NGINX, Changes, Kind, started_balancer
from tests.deploy.rolling import COUNT, Replicas, started, write_rolling_models
from tests.deploy.rolling_load import Grpc, Load, Rest, running_load

DELAY = ("--drain-delay-s", "3")


@dataclass(frozen=True)
class Case:
    """A balancer, how it differs from the example, and how the replicas are started."""

    kind: Kind
    changes: Changes
    flags: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.kind.program


ALONE = (
    Case(HAPROXY, {"retries 3": "retries 0", "option redispatch": ""}, DELAY),
    Case(
        ENVOY,
        {'retry_policy: { retry_on: "connect-failure,refused-stream", num_retries: 2 }': ""},
        DELAY,
    ),
)
"""Balancers that ask for readiness, and do not try another replica: only the drain saves a call."""
LATE = (
    Case(HAPROXY, {**ALONE[0].changes, "inter 1s fastinter 250ms": "inter 600s"}),
    Case(ENVOY, {**ALONE[1].changes, "interval: 1s": "interval: 600s"}),
)
"""The same, but the port closes at once, before they ask again."""
PASSIVE = Case(NGINX, {}, ("--listen-when-loaded",))
"""One that does not ask, and tries another replica if a connection is refused."""
PASSIVE_ALONE = Case(
    NGINX,
    {
        "proxy_next_upstream error timeout http_503 non_idempotent": "proxy_next_upstream off",
        "grpc_next_upstream error timeout non_idempotent": "grpc_next_upstream off",
    },
)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return write_rolling_models(tmp_path)


@dataclass(frozen=True)
class Fleet:
    """Replicas behind a balancer under load."""

    replicas: Replicas
    load: Load


@contextlib.contextmanager
def fleet(case: Case, models: Path, folder: Path) -> Iterator[Fleet]:
    """Three replicas which serve every kind of call."""
    with (
        started(models, *case.flags) as replicas,
        started_balancer(case.kind, replicas, folder, case.changes) as balancer,
        contextlib.closing(Rest(lambda: balancer.http_address)) as requests,
        contextlib.closing(Grpc(balancer.grpc_address)) as calls,
        running_load() as load,
    ):
        requests.add_to(load)
        calls.add_to(load)
        load.wait_each(1)
        yield Fleet(replicas, load)


@pytest.mark.parametrize("case", [*ALONE, PASSIVE], ids=str)
def test_no_call_fails_when_replicas_are_restarted_in_turn(
    models: Path, tmp_path_factory: pytest.TempPathFactory, case: Case
) -> None:
    with fleet(case, models, tmp_path_factory.mktemp(str(case))) as running:
        for number in range(COUNT):
            running.replicas.restart(number)
            running.replicas.wait_served(number)
        running.load.wait_each(1)
    assert running.load.failures == []
    assert running.replicas.ended == [0] * COUNT


@pytest.mark.parametrize("case", [*LATE, PASSIVE_ALONE], ids=str)
def test_calls_fail_when_the_balancer_does_not_know_that_a_replica_ends(
    models: Path, tmp_path_factory: pytest.TempPathFactory, case: Case
) -> None:
    """The negative control of the test above: it can fail."""
    with fleet(case, models, tmp_path_factory.mktemp(str(case))) as running:
        running.replicas.end(0)
        running.load.wait_failures(("rest", "grpc"))
    assert running.replicas.ended == [0]
