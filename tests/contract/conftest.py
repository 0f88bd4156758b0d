"""The running server, and every way to talk to it."""

from collections.abc import Iterator

import pytest

from tests.contract.transports import TRANSPORTS, Transport
from tests.e2e.fixtures import repository, server, slow_steps, start_server
from tests.e2e.process import ServerProcess

__all__ = ["repository", "server", "slow_steps", "start_server"]


@pytest.fixture(scope="session")
def transports(server: ServerProcess) -> Iterator[dict[str, Transport]]:
    """One connected client of each kind."""
    clients = {name: connect(server) for name, connect in TRANSPORTS.items()}
    yield clients
    for client in clients.values():
        client.close()


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest, transports: dict[str, Transport]) -> Transport:
    """Each transport in turn."""
    return transports[request.param]
