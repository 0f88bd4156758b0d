"""Replicas that are restarted one after the other, as a Deployment's rolling update does it."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.e2e.fixtures import MODEL_REPOSITORY
from tests.e2e.graphs import identity, write_model
from tests.e2e.process import ServerProcess, wait_until

COUNT = 3
HOST = "127.0.0.1"
FLAGS = ("--threads", "1")
"""Three replicas share the machine."""
IDENTITY, DIGITS, TEXT, PICTURES = "identity", "mnist", "shakespeare", "dcgan-mnist"


def write_rolling_models(folder: Path) -> Path:
    """A repository of one model of each task."""
    write_model(folder, IDENTITY, identity("FP32"))
    for name in (DIGITS, TEXT, PICTURES):
        (folder / name).symlink_to(MODEL_REPOSITORY / name)
    return folder


class Replicas(list[ServerProcess]):
    """Servers of one repository, each on ports that stay its own."""

    def __init__(self, repository: Path, *flags: str) -> None:
        """``flags``: of every one of them."""
        super().__init__()
        self._repository = repository
        self._flags = (*FLAGS, *flags)
        self.ended: list[int] = []
        """Exit statuses."""

    def start(self, *flags: str, host: str = HOST) -> None:
        """One more, with further flags; its ports are free ones if no flag says otherwise."""
        self.append(ServerProcess(self._repository, *self._flags, *flags, host=host))

    def restart(self, number: int) -> None:
        """End one, start the next one on the same ports and wait until it is ready."""
        self.end(number)
        self.begin(number)
        self[number].wait_ready()

    def begin(self, number: int, repository: Path | None = None) -> None:
        """Start the next one where one has ended; ``repository``: another than theirs."""
        old = self[number]
        old.close()
        ports = ("--http-port", str(old.http_port), "--grpc-port", str(old.grpc_port))
        flags = (*self._flags, *ports)
        self[number] = ServerProcess(repository or self._repository, *flags, host=old.host)

    def end(self, number: int) -> None:
        """SIGTERM, and wait for the end, which must cut nothing off."""
        replica = self[number]
        replica.signal()
        self.ended.append(replica.wait_exit())
        warnings = [line for line in replica.lines if line.get("level") != "info"]
        assert not warnings, warnings

    def wait_served(self, number: int) -> None:
        """Wait until the replica has answered over both protocols: the balancer has it back."""
        self.wait_answered(number, "http")
        self.wait_answered(number, "grpc")

    def wait_answered(self, number: int, protocol: str) -> None:
        """Wait until the replica has answered a request over ``http`` or ``grpc``."""
        wait_until(
            partial(_has_answered, self[number], protocol),
            f"a request over {protocol} for the replica that has come back",
        )

    def close(self) -> None:
        """End all of them, by force if need be."""
        for replica in self:
            replica.close()


def _has_answered(replica: ServerProcess, protocol: str) -> bool:
    return replica.metric("quartet_requests_total", model=IDENTITY, protocol=protocol) > 0


@contextmanager
def started(repository: Path, *flags: str) -> Iterator[Replicas]:
    """``COUNT`` ready replicas, ended with the block."""
    replicas = Replicas(repository, *flags)
    try:
        for _ in range(COUNT):
            replicas.start()
        for replica in replicas:
            replica.wait_ready()
        yield replicas
    finally:
        replicas.close()
