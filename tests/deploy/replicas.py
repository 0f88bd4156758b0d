"""Several real servers, as the pods of one Deployment."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.deploy.prometheus import Target
from tests.e2e.process import ServerProcess


@contextlib.contextmanager
def started_replicas(
    repository: Path, count: int, *flags: str, required: bool = True
) -> Iterator[list[ServerProcess]]:
    """``count`` ready servers of ``repository``, ended with the block.

    Args:
        repository: the folder of models.
        count: how many.
        flags: more flags of ``quartet serve``.
        required: wait for readiness; without, only for open ports (a repository of faults).
    """
    with contextlib.ExitStack() as stack:
        servers = []
        for _ in range(count):
            servers.append(ServerProcess(repository, *flags))
            stack.callback(servers[-1].close)
        for server in servers:
            server.wait_ready() if required else server.wait_listening()
        yield servers


def as_targets(
    servers: Sequence[ServerProcess], *, job: str = "quartet", namespace: str = "default"
) -> list[Target]:
    """The metrics ports of ``servers``, as pods ``<job>-0``, ``<job>-1`` ..."""
    return [
        Target(f"127.0.0.1:{server.metrics_port}", f"{job}-{number}", job=job, namespace=namespace)
        for number, server in enumerate(servers)
    ]
