"""The simulation beside real servers: the same requests at the same times, one or two replicas.

A run of the real engine does not always take the same time, least of all on a machine that does
other things too, so the simulation's runs are as long as the server's were on average, batch size
by batch size, while it was watched. What is compared is what follows from that: waiting, queue,
busy time.
"""

import contextlib
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.autoscaling.networks import write_repository
from benchmarks.autoscaling.open_loop import OpenLoop
from benchmarks.autoscaling.replicas import Replicas, Shape
from benchmarks.autoscaling.requests import infer_request, read_metric
from benchmarks.autoscaling.run_times import RunTimes
from benchmarks.autoscaling.service import Service
from benchmarks.serving.processes import HOST, Running, quartet_server

LASTS_S = 20.0
WINDOW_S = 15.0
STEP_S = 0.002
BOUNDS_S = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
SAMPLE_S = 1.0
WARM_S = 2.0
"""Of requests that are not counted: the first runs of a process are slow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One load."""

    service: str
    replicas: int
    load: float
    """Of the capacity of all replicas."""


CASES = (
    Case(service="face-attributes", replicas=1, load=0.5),
    Case(service="face-attributes", replicas=1, load=0.7),
    Case(service="dense", replicas=1, load=0.15),
    Case(service="dense", replicas=1, load=0.4),
    Case(service="face-attributes", replicas=2, load=0.3),
    Case(service="dense", replicas=2, load=0.15),
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of one load."""

    utilization: float
    """Mean over the replicas, of the last 15 s."""
    queue: float
    """Rows that wait in one replica, a mean over time."""
    late: Sequence[float]
    """Part of the requests later than each of ``BOUNDS_S``."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One load on servers and in the simulation."""

    case: Case
    requests: int
    real: Seen
    simulated: Seen


def validate(services: Sequence[Service], shipped: Path) -> list[Comparison]:
    """Run every case on real servers, and simulate it."""
    named = {service.name: service for service in services}
    with tempfile.TemporaryDirectory(prefix="quartet-autoscaling-") as name:
        repository = write_repository(Path(name) / "models", shipped)
        return [_compare(case, named[case.service], repository, Path(name)) for case in CASES]


def _compare(case: Case, service: Service, repository: Path, folder: Path) -> Comparison:
    generator = np.random.default_rng(0)
    rate = service.capacity * case.load * case.replicas
    times_s = np.sort(generator.uniform(0, LASTS_S, generator.poisson(rate * LASTS_S)))
    servers = generator.integers(0, case.replicas, len(times_s))
    with _started(repository, folder, case.replicas) as running:
        few = times_s < WARM_S
        _open_loop(running, service).run(times_s[few], servers[few])
        before = RunTimes.read([server.http_port for server in running], service.name)
        real = _watch(running, service, times_s, servers)
        after = RunTimes.read([server.http_port for server in running], service.name)
    seen = service.model_copy(update=after.since(before).as_curve(service))
    return Comparison(case, len(times_s), real, _simulate(case, seen, times_s, servers))


@contextlib.contextmanager
def _started(repository: Path, folder: Path, count: int) -> Iterator[list[Running]]:
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(quartet_server(repository, folder / f"log-{i}", ["--threads", "1"]))
            for i in range(count)
        ]


def _open_loop(running: Sequence[Running], service: Service) -> OpenLoop:
    addresses = [(HOST, server.http_port) for server in running]
    return OpenLoop(addresses, infer_request(service.name, service.request_rows))


def _watch(
    running: Sequence[Running],
    service: Service,
    times_s: npt.NDArray[np.float64],
    servers: npt.NDArray[np.int64],
) -> Seen:
    model = service.name
    queue: list[float] = []
    stop = threading.Event()

    def sample() -> None:
        while not stop.wait(SAMPLE_S):
            queue.extend(read_metric(s.http_port, "quartet_queue_size", model) for s in running)

    watcher = threading.Thread(target=sample)
    watcher.start()
    try:
        latencies = _open_loop(running, service).run(times_s, servers)
    finally:
        stop.set()
        watcher.join()
    busy = [read_metric(server.http_port, "quartet_utilization") for server in running]
    late = [float(np.mean(latencies > bound)) for bound in BOUNDS_S]
    return Seen(float(np.mean(busy)), float(np.mean(queue)), late)


def _simulate(
    case: Case,
    service: Service,
    times_s: npt.NDArray[np.float64],
    servers: npt.NDArray[np.int64],
) -> Seen:
    replicas = Replicas(Shape(1, case.replicas), service, STEP_S, BOUNDS_S)
    steps = round(LASTS_S / STEP_S)
    counts = np.zeros((steps, case.replicas), np.int64)
    np.add.at(counts, ((times_s / STEP_S).astype(np.int64), servers), 1)
    queue, window_s = [], np.zeros(case.replicas)
    for step, arrivals in enumerate(counts):
        replicas.step(arrivals, 1.0)
        if (step + 1) % round(SAMPLE_S / STEP_S) == 0:
            queue.append(float(replicas.queue.mean()) * service.request_rows)
        if step + 1 == round((LASTS_S - WINDOW_S) / STEP_S):
            window_s = replicas.busy_until(replicas.now_s)
    busy = (replicas.busy_until(replicas.now_s) - window_s) / WINDOW_S / service.instances
    while replicas.queue.any():
        replicas.step(np.zeros(case.replicas, np.int64), 1.0)
    late = (replicas.late[:, 0] / len(times_s)).tolist()
    return Seen(float(busy.mean()), float(np.mean(queue)), late)
