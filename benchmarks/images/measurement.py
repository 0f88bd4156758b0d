"""Runs every case in turns, several times over, so that the machine's noise hits all alike."""

import hashlib
import http.client
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.images.load import Load, LoadSpec
from benchmarks.images.stream_load import StreamSpec
from benchmarks.serving.bare import Bare, BareSpec
from benchmarks.serving.processes import HOST, Running, call, quartet_server
from quartet.artifact import MODEL_FILE
from serving.pb.quartet.v1 import quartet_pb2

REQUESTS = 32
TIME_LIMIT_S = 90.0
"""For a measuring process, beyond what it measures."""


@dataclass(frozen=True, slots=True)
class HttpCase:
    """Answers over HTTP."""

    title: str
    pictures: int
    """Of one answer."""
    accept: str


@dataclass(frozen=True, slots=True)
class StreamCase:
    """Streams over gRPC."""

    title: str
    format: int


CASES: tuple[HttpCase | StreamCase, ...] = (
    HttpCase("HTTP, one raw", 1, "application/octet-stream"),
    HttpCase("HTTP, one PNG", 1, "image/png"),
    HttpCase("HTTP, 16 raw", 16, "application/octet-stream"),
    HttpCase("HTTP, 64 raw", 64, "application/octet-stream"),
    HttpCase("HTTP, 16 in one PNG", 16, "image/png"),
    StreamCase("gRPC stream, raw", quartet_pb2.IMAGE_FORMAT_RAW),
    StreamCase("gRPC stream, PNG", quartet_pb2.IMAGE_FORMAT_PNG),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What to measure."""

    model: Path
    """Folder of a generator that takes noise alone."""
    clients: Sequence[int]
    seconds: float
    """Of each case in each repetition."""
    warm_s: float
    """Unmeasured seconds before them."""
    repetitions: int
    lanes: int
    """Threads of the bare graph: the server's engine threads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One case with one number of clients in one repetition."""

    case: str
    clients: int
    load: Load
    bare: Bare
    """The graph alone, one picture a run, on as many threads as clients can keep busy."""


def measure_all(options: Options, folder: Path) -> list[Round]:
    """Start the server, run every case in every repetition, and stop it.

    Raises:
        RuntimeError: the server did not start, or a client got a wrong answer.
    """
    repository = folder / "repository"
    repository.mkdir()
    (repository / options.model.name).symlink_to(options.model.resolve())
    version = max((f for f in options.model.iterdir() if f.name.isdecimal()), key=_number)
    rounds = []
    with quartet_server(repository, folder / "quartet.log") as server:
        for _ in range(options.repetitions):
            for clients in options.clients:
                bare = _bare(version / MODEL_FILE, min(clients, options.lanes), options)
                for case in CASES:
                    load = _load(case, clients, options, server)
                    rounds.append(Round(case=case.title, clients=clients, load=load, bare=bare))
    return rounds


def _number(folder: Path) -> int:
    return int(folder.name)


def _bare(network: Path, callers: int, options: Options) -> Bare:
    spec = BareSpec(network=network.resolve(), callers=callers, batch=1, measured_s=options.seconds)
    return call("benchmarks.serving.bare", spec, Bare, spec.measured_s + TIME_LIMIT_S)


def _load(case: HttpCase | StreamCase, clients: int, options: Options, server: Running) -> Load:
    limit_s = options.warm_s + options.seconds + TIME_LIMIT_S
    name = options.model.name
    if isinstance(case, StreamCase):
        stream = StreamSpec(
            port=server.grpc_port,
            model=name,
            format=case.format,
            clients=clients,
            server_pid=server.pid,
            warm_s=options.warm_s,
            measured_s=options.seconds,
        )
        return call("benchmarks.images.stream_load", stream, Load, limit_s)
    paths = [f"/v1/images/{name}?seed={seed}&n={case.pictures}" for seed in range(REQUESTS)]
    spec = LoadSpec(
        port=server.http_port,
        paths=paths,
        accept=case.accept,
        digests=[_alone(server.http_port, path, case.accept) for path in paths],
        pictures=case.pictures,
        clients=clients,
        server_pid=server.pid,
        warm_s=options.warm_s,
        measured_s=options.seconds,
    )
    return call("benchmarks.images.load", spec, Load, limit_s)


def _alone(port: int, path: str, accept: str) -> str:
    """SHA-256 of the answer while nobody else asks."""
    connection = http.client.HTTPConnection(HOST, port, timeout=60)
    try:
        connection.request("GET", path, headers={"Accept": accept})
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    if response.status != http.client.OK:
        raise RuntimeError(f"{path}: {response.status}: {body.decode(errors='replace')[:400]}")
    return hashlib.sha256(body).hexdigest()
