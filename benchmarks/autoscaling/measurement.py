"""Measures a real server: runs by batch size, the event loop's share, start-up.

Runs and the start are measured in CPU seconds, of which a server with one engine thread hardly uses
two at once: that is how long they take where nothing else wants the CPU. The latency beyond the
engine is wall time, and the least of several rounds counts: what else a machine does makes it
longer, never shorter.
"""

import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.autoscaling.networks import DENSE, PICTURES, write_repository
from benchmarks.autoscaling.requests import infer_request, read_metric
from benchmarks.autoscaling.service import Measured, Service
from benchmarks.serving.http_wire import HttpWire
from benchmarks.serving.processes import HOST, Running, quartet_server

THREADS = 1
ROWS = {PICTURES: 4, DENSE: 1}
"""Of a request: the faces of a photo, one vector."""
SIZES = {PICTURES: (1, 2), DENSE: (1, 2, 4, 8, 16, 32, 64)}
"""Requests of the runs that are measured, up to the model's largest batch."""
DESCRIPTIONS = {
    PICTURES: "the shipped face-attributes, 4 pictures a request, a run costs what its rows cost",
    DENSE: "four matrices of 268 MB in all, a run costs little more than reading them",
}
QUEUE_ROWS = 1024
"""``--max-queue-rows``."""
RECEIVE_BYTES = 1 << 20
FEWEST = 50
"""Requests of a round at least: processes' CPU time is counted in hundredths of a second."""


@dataclass(frozen=True, slots=True)
class Counters:
    """A server's totals at one moment."""

    busy_s: float
    loop_s: float
    process_s: float
    requests: float

    @classmethod
    def read(cls, port: int, model: str) -> "Counters":
        """As they are now."""
        return cls(
            busy_s=read_metric(port, "quartet_engine_busy_seconds_total"),
            loop_s=read_metric(port, "quartet_loop_cpu_seconds_total"),
            process_s=read_metric(port, "process_cpu_seconds_total"),
            requests=read_metric(port, "quartet_request_duration_seconds_count", model),
        )


@dataclass(frozen=True, slots=True)
class Round:
    """One batch size, measured once."""

    requests: float
    run_s: float
    """CPU of the process outside the event loop, of all requests."""
    loop_s: float
    """CPU of the event loop, of all requests."""
    beyond_s: float
    """Latency of a request less the time that the engine was busy with it, a mean."""


def measure(shipped: Path, seconds: float, rounds: int, environment: Sequence[str]) -> Measured:
    """Measure both networks with one engine thread.

    Args:
        shipped: the repository that has ``face-attributes``.
        seconds: of each batch size in each round.
        rounds: of the whole, and starts of the server.
        environment: lines that say on and with what.
    """
    with tempfile.TemporaryDirectory(prefix="quartet-autoscaling-") as name:
        folder = Path(name)
        repository = write_repository(folder / "models", shipped)
        starts = []
        for _ in range(rounds):
            with quartet_server(repository, folder / "log", ["--threads", str(THREADS)]) as server:
                starts.append(read_metric(server.http_port, "process_cpu_seconds_total"))
        with quartet_server(repository, folder / "log", ["--threads", str(THREADS)]) as server:
            services = [_measure(server, model, seconds, rounds) for model in SIZES]
    return Measured(environment=list(environment), start_s=min(starts), services=services)


def _measure(server: Running, model: str, seconds: float, rounds: int) -> Service:
    found = {
        size: [_round(server, model, size * ROWS[model], seconds) for _ in range(rounds)]
        for size in SIZES[model]
    }
    alone = found[1]
    return Service(
        name=model,
        description=DESCRIPTIONS[model],
        instances=THREADS,
        max_batch=max(SIZES[model]),
        request_rows=ROWS[model],
        sizes=list(SIZES[model]),
        run_s=[
            sum(one.run_s for one in found[size]) / sum(one.requests for one in found[size])
            for size in SIZES[model]
        ],
        loop_s=sum(one.loop_s for one in alone) / sum(one.requests for one in alone),
        cpu_share=1.0,
        beyond_s=min(one.beyond_s for one in alone),
        cpu_limit=THREADS,
        queue_limit=QUEUE_ROWS // ROWS[model],
    )


def _round(server: Running, model: str, rows: int, seconds: float) -> Round:
    """One client, so that each of its requests is a run."""
    with connection(server.http_port) as link:
        request = infer_request(model, rows)
        exchange(link, request)
        latencies: list[float] = []
        before = Counters.read(server.http_port, model)
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or len(latencies) < FEWEST:
            sent = time.perf_counter()
            exchange(link, request)
            latencies.append(time.perf_counter() - sent)
        after = Counters.read(server.http_port, model)
    requests = after.requests - before.requests
    loop_s = after.loop_s - before.loop_s
    return Round(
        requests=requests,
        run_s=after.process_s - before.process_s - loop_s,
        loop_s=loop_s,
        beyond_s=sum(latencies) / len(latencies) - (after.busy_s - before.busy_s) / requests,
    )


@contextmanager
def connection(port: int) -> Iterator[socket.socket]:
    """A connection for ``exchange``."""
    link = socket.create_connection((HOST, port), timeout=30)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        yield link
    finally:
        link.close()


def exchange(link: socket.socket, request: bytes) -> bytes:
    """Send a request and read its answer to the end. Raises WireError if it is not 200."""
    wire = HttpWire()
    link.sendall(wire.frame(request))
    while (answer := wire.receive(link.recv(RECEIVE_BYTES))) is None:
        pass
    return answer
