"""A replica ends as a pod does: clients that hold connections to it lose no call.

Nothing stands between client and replica, as with a Service: connections that are open stay with
the pod that ends, new ones go to another. The proxies' case is in ``test_rolling``.
"""

import contextlib
import http.client
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest

from serving.pb.inference import open_inference_grpc_pb2 as pb
from serving.pb.inference import open_inference_grpc_pb2_grpc as rpc
from tests.deploy.kustomizations import overlay
from tests.deploy.server_environment import environment_of
from tests.e2e.graphs import identity, write_model
from tests.e2e.process import ServerProcess, wait_until
from tests.patience import TIMEOUT_S

CLIENTS = 4
CALLS_BEFORE = 200
CALLS_AFTER = 200
PATH = "/v2/models/one"


@dataclass
class Calls:
    """What became of calls, counted by all clients together."""

    answered: int = 0
    failures: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, failure: str | None) -> None:
        """One more; ``failure`` says what went wrong."""
        with self._lock:
            self.answered += failure is None
            if failure is not None:
                self.failures.append(failure)

    def wait(self, more: int) -> None:
        """Wait for so many answers more."""
        wanted = self.answered + more
        wait_until(lambda: self.answered >= wanted, f"{more} more answers")


class Service:
    """Where new connections go."""

    def __init__(self, replicas: list[ServerProcess]) -> None:
        self.replicas = replicas

    def http_port(self) -> int:
        """A port of a replica that is not being ended."""
        return self.replicas[0].http_port

    def grpc_addresses(self) -> str:
        """What the name of a headless Service resolved to when all were ready."""
        return "ipv4:" + ",".join(replica.grpc_address for replica in self.replicas)


def call_http(service: Service, calls: Calls) -> None:
    """GET over one connection for as long as it lasts, then over another."""
    while not calls.over.is_set():
        port = service.http_port()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
        with contextlib.closing(connection):
            try:
                _call_on(connection, calls)
            except (OSError, http.client.HTTPException) as error:
                calls.count(f"HTTP {error!r}")


def _call_on(connection: http.client.HTTPConnection, calls: Calls) -> None:
    """GET over a connection until the server says that it will close it."""
    while not calls.over.is_set():
        connection.request("GET", PATH)
        answer = connection.getresponse()
        answer.read()
        calls.count(None if answer.status == 200 else f"HTTP {answer.status}")
        if answer.will_close:
            return


def call_grpc(service: Service, calls: Calls) -> None:
    """Calls in turn on all addresses, as clients of a headless Service are told to make them."""
    options = [("grpc.lb_policy_name", "round_robin"), ("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(service.grpc_addresses(), options) as channel:
        stub = rpc.GRPCInferenceServiceStub(channel)  # type: ignore[no-untyped-call]  # generated
        while not calls.over.is_set():
            try:
                stub.ModelMetadata(pb.ModelMetadataRequest(name="one"), timeout=TIMEOUT_S)
                calls.count(None)
            except grpc.RpcError as error:
                calls.count(f"gRPC {error.code().name}")


@contextlib.contextmanager
def load(client: Callable[[Service, Calls], None], service: Service) -> Iterator[Calls]:
    """``CLIENTS`` of a kind, which stop with the block."""
    calls = Calls()
    threads = [threading.Thread(target=client, args=(service, calls)) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield calls
    finally:
        calls.over.set()
        for thread in threads:
            thread.join(TIMEOUT_S)


@pytest.fixture
def replicas(tmp_path: Path) -> Iterator[list[ServerProcess]]:
    """Two ready servers with the overlay's times."""
    write_model(tmp_path, "one", identity("FP32"))
    environment = environment_of(overlay("cpu"))
    started = [ServerProcess(tmp_path, environment=environment) for _ in range(2)]
    try:
        yield [replica.wait_ready() for replica in started]
    finally:
        for replica in started:
            replica.close()


def end_one(
    replicas: list[ServerProcess],
    client: Callable[[Service, Calls], None],
    number: signal.Signals,
) -> tuple[list[str], int]:
    """The failures of calls while a replica is ended by a signal, and its exit status."""
    service = Service(list(replicas))
    with load(client, service) as calls:
        calls.wait(CALLS_BEFORE)
        # preStop is over: what looks for a replica now finds the others.
        leaving = service.replicas[0]
        service.replicas = service.replicas[1:]
        leaving.signal(number)
        status = leaving.wait_exit()
        calls.wait(CALLS_AFTER)
    return calls.failures, status


@pytest.mark.parametrize("client", [call_http, call_grpc])
def test_no_call_is_lost_when_a_pod_ends(
    replicas: list[ServerProcess], client: Callable[[Service, Calls], None]
) -> None:
    assert end_one(replicas, client, signal.SIGTERM) == ([], 0)


@pytest.mark.parametrize("client", [call_http, call_grpc])
def test_calls_are_lost_when_a_pod_is_killed(
    replicas: list[ServerProcess], client: Callable[[Service, Calls], None]
) -> None:
    """That clients would notice."""
    failures, _ = end_one(replicas, client, signal.SIGKILL)
    assert failures
