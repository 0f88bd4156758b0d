"""Connections that last: a new replica gets its share of the calls of clients from before."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deploy.balancers import free_ports
from tests.deploy.headless import Dns, started_dns
from tests.deploy.rolling import IDENTITY, Replicas
from tests.deploy.rolling_load import Grpc, Load, running_load
from tests.e2e.graphs import identity, write_model

ROUND_ROBIN = (
    ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
    # Half a minute in production, by default.
    ("grpc.dns_min_time_between_resolutions_ms", 100),
)
CALLS = 60
"""Enough to see who gets them."""


@dataclass(frozen=True)
class Scaled:
    """A headless Service that grew from one pod to two under a client that calls all the time."""

    replicas: Replicas
    load: Load

    def answered(self, number: int) -> float:
        """Calls that a pod has answered."""
        labels = {"model": IDENTITY, "protocol": "grpc"}
        return self.replicas[number].metric("quartet_requests_total", **labels)


@contextlib.contextmanager
def scaled(models: Path, dns: Dns, *flags: str) -> Iterator[Scaled]:
    """One client, whose only channel was made when there was one pod."""
    port, _ = free_ports()
    with contextlib.ExitStack() as stack:
        replicas = stack.enter_context(contextlib.closing(Replicas(models, *flags)))
        for number in range(2):
            replicas.start("--grpc-port", str(port), host=f"127.0.0.{number + 2}")
            replicas[number].wait_ready()
            if number == 0:
                dns.addresses = [replicas[0].host]
                client = Grpc(dns.target(port), ROUND_ROBIN)
                stack.enter_context(contextlib.closing(client))
                load = stack.enter_context(running_load())
                load.add("grpc", client.infer_on_kept_channel)
                load.wait_each(1)
        dns.addresses = [replica.host for replica in replicas]
        yield Scaled(replicas, load)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    write_model(tmp_path, IDENTITY, identity("FP32"))
    return tmp_path


def test_new_replica_gets_its_share_once_connections_have_reached_their_age(models: Path) -> None:
    with started_dns() as dns, scaled(models, dns, "--grpc.max-connection-age-s", "1") as running:
        running.replicas.wait_answered(1, "grpc")
        before = running.answered(0), running.answered(1)
        running.load.wait_each(CALLS)
        gained = running.answered(0) - before[0], running.answered(1) - before[1]
    assert running.load.failures == []
    assert sum(gained) >= CALLS
    # Half, but for the moments in which one of the two connections is made anew.
    assert min(gained) >= CALLS / 4


def test_new_replica_gets_nothing_of_clients_whose_connections_live_on(models: Path) -> None:
    """The negative control of the test above, with the age of five minutes that is the default."""
    with started_dns() as dns, scaled(models, dns) as running:
        running.load.wait_each(CALLS)
        assert running.answered(0) >= CALLS
        assert running.answered(1) == 0
    assert running.load.failures == []
