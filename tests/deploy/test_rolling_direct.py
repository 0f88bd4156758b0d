"""Replicas restarted one after the other under clients that know their addresses: no call fails.

As in Kubernetes without a gateway: REST through a Service, which chooses a pod for each new
connection and leaves those that are open alone; gRPC through a headless Service, whose name gives
the addresses of all pods that are ready.
"""

import contextlib
import itertools
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deploy.balancers import free_ports
from tests.deploy.headless import Dns, started_dns
from tests.deploy.rolling import COUNT, Replicas, started, write_rolling_models
from tests.deploy.rolling_load import Grpc, Load, Rest, running_load

logger = logging.getLogger(__name__)

POLICY = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "healthCheckConfig": {"serviceName": ""},
    "methodConfig": [
        {
            "name": [{}],
            "waitForReady": True,
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.1s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
}
"""What docs/operations.md tells clients to set."""
QUICK = (("grpc.dns_min_time_between_resolutions_ms", 100), ("grpc.max_reconnect_backoff_ms", 500))
"""What takes half a minute in production is not waited for."""
WITH_POLICY = (("grpc.service_config", json.dumps(POLICY)), *QUICK)
WITHOUT_POLICY = (("grpc.lb_policy_name", "round_robin"), *QUICK)


class Endpoints:
    """The replicas that a Service sends new connections to, in turn."""

    def __init__(self, replicas: Replicas) -> None:
        self._replicas = replicas
        self._turns = itertools.count()
        self.ready = list(range(len(replicas)))
        """Their numbers; replaced as a whole, since clients read it meanwhile."""

    def address(self) -> str:
        """Of the next connection."""
        ready = self.ready
        return self._replicas[ready[next(self._turns) % len(ready)]].http_address

    def remove(self, number: int) -> None:
        """Send no more connections there."""
        self.ready = [other for other in self.ready if other != number]

    def add(self, number: int) -> None:
        """Send connections there again."""
        self.ready = [*self.ready, number]


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return write_rolling_models(tmp_path)


@dataclass(frozen=True)
class Pods:
    """Replicas on addresses of their own, the two Services before them, and clients of these."""

    replicas: Replicas
    endpoints: Endpoints
    dns: Dns
    load: Load

    def take_out(self, number: int) -> None:
        """What Kubernetes does first when it ends a pod: neither Service leads there any more."""
        self.endpoints.remove(number)
        self.dns.addresses = [self.replicas[other].host for other in self.endpoints.ready]

    def put_in(self, number: int) -> None:
        """What it does once a pod is ready."""
        self.endpoints.add(number)
        self.dns.addresses = [self.replicas[other].host for other in self.endpoints.ready]


@contextlib.contextmanager
def pods(models: Path) -> Iterator[Pods]:
    """Three pods that serve every kind of call."""
    port, _ = free_ports()
    with contextlib.ExitStack() as stack:
        replicas = stack.enter_context(contextlib.closing(Replicas(models)))
        for number in range(COUNT):
            replicas.start("--grpc-port", str(port), host=f"127.0.0.{number + 2}")
        for replica in replicas:
            replica.wait_ready()
        dns = stack.enter_context(started_dns())
        dns.addresses = [replica.host for replica in replicas]
        endpoints = Endpoints(replicas)
        requests = stack.enter_context(contextlib.closing(Rest(endpoints.address)))
        calls = stack.enter_context(contextlib.closing(Grpc(dns.target(port), WITH_POLICY)))
        load = stack.enter_context(running_load())
        requests.add_to(load)
        calls.add_to(load)
        load.wait_each(1)
        yield Pods(replicas, endpoints, dns, load)


def test_no_call_fails_when_services_take_replicas_out_before_they_end(models: Path) -> None:
    with pods(models) as running:
        for number in range(COUNT):
            running.take_out(number)
            running.load.wait_each(1)  # the time of preStop, of which the replica knows nothing
            running.replicas.restart(number)
            running.put_in(number)
        running.replicas.wait_served(COUNT - 1)
    logger.info("%s", running.load.report())
    assert running.load.failures == []
    assert running.replicas.ended == [0] * COUNT


def test_rest_calls_fail_when_a_service_still_sends_them_to_a_replica_that_has_ended(
    models: Path,
) -> None:
    """The negative control of the test above, for REST; for gRPC it is the last one here."""
    with contextlib.ExitStack() as stack:
        replicas = stack.enter_context(started(models))
        address = Endpoints(replicas).address
        requests = stack.enter_context(contextlib.closing(Rest(address)))
        load = stack.enter_context(running_load())
        requests.add_to(load)
        load.wait_each(1)
        replicas.end(0)
        load.wait_failures(["rest"])


def test_no_grpc_call_fails_when_a_client_with_a_list_of_addresses_sees_replicas_restart(
    models: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Nobody tells it which are ready but they themselves; one loads for long."""
    late = tmp_path_factory.mktemp("late") / "models"
    with (
        started(models, "--model-wait-s", "600") as replicas,
        contextlib.closing(Grpc(addresses(replicas), WITH_POLICY)) as calls,
        running_load() as load,
    ):
        calls.add_to(load)
        load.wait_each(1)
        replicas.restart(0)
        replicas.wait_answered(0, "grpc")
        replicas.end(1)
        replicas.begin(1, late)
        replicas[1].wait_listening()
        load.wait_each(2)
        late.symlink_to(models)
        replicas[1].wait_ready()
        replicas.wait_answered(1, "grpc")
    assert load.failures == []
    assert replicas.ended == [0, 0]


def test_grpc_calls_fail_when_a_client_without_the_policy_meets_a_replica_that_loads(
    models: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The negative control of the test above."""
    never = tmp_path_factory.mktemp("never") / "models"
    with (
        started(models, "--model-wait-s", "600") as replicas,
        contextlib.closing(Grpc(addresses(replicas), WITHOUT_POLICY)) as calls,
        running_load() as load,
    ):
        calls.add_to(load)
        load.wait_each(1)
        replicas.end(0)
        replicas.begin(0, never)
        replicas[0].wait_listening()
        load.wait_failures(["grpc"])


def addresses(replicas: Replicas) -> str:
    """The target of a channel to all of them."""
    return "ipv4:" + ",".join(replica.grpc_address for replica in replicas)
