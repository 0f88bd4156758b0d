"""Runs every case in turns, several times over, so that the machine's noise hits all alike."""

import http.client
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.captions.graphs import newest_version, open_graphs
from benchmarks.captions.inside import Inside, InsideSpec
from benchmarks.captions.load import Load, LoadSpec, caption_of
from benchmarks.captions.one_by_one import OneByOne, OneByOneSpec
from benchmarks.captions.photos import draw_photos
from benchmarks.serving.processes import HOST, Running, call, get, quartet_server

PHOTOS = 40
EXPORT_LIMIT_S = 600.0
TIME_LIMIT_S = 90.0
"""For a measuring process, beyond what it measures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What to measure."""

    model: Path
    """Model folder of a captioner; an untrained one is written where it is absent."""
    clients: Sequence[int]
    widths: Sequence[int]
    """Of the search."""
    seconds: float
    """Of each case in each repetition."""
    warm_s: float
    """Unmeasured seconds before them."""
    repetitions: int
    lanes: int
    """Threads that take one request at a time; the server's engine threads."""


@dataclass(frozen=True, slots=True)
class EngineTime:
    """What the engines of a server did so far."""

    encode_s: float
    encode_runs: float
    encode_rows: float
    decode_s: float
    decode_runs: float
    decode_rows: float
    prefill_s: float

    def since(self, earlier: "EngineTime") -> "EngineTime":
        """The difference."""
        names = [field.name for field in fields(self)]
        return EngineTime(*(getattr(self, name) - getattr(earlier, name) for name in names))


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One width with one number of clients in one repetition."""

    width: int
    clients: int
    http: Load
    inside: Inside
    one_by_one: OneByOne
    engine: EngineTime
    """Of the server over the load, its warm-up included."""
    loaded_s: float
    """Length of that time."""
    same_texts: int
    """Photos whose caption is the same from the server and from the bare graphs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Everything that was measured."""

    rounds: list[Round]
    model: str
    trained: bool
    precision: str
    lanes: int


def measure_all(options: Options, folder: Path) -> Measured:
    """Start the server, run every case in every repetition, and stop it.

    Raises:
        RuntimeError: the server did not start, or a client got a wrong answer.
        CalledProcessError: the untrained captioner could not be written.
        ValueError: the model is no captioner.
    """
    repository = folder / "repository"
    repository.mkdir()
    model = repository / options.model.name
    trained = options.model.is_dir()
    if trained:
        model.symlink_to(options.model.resolve())
    else:
        command = [sys.executable, "-m", "benchmarks.captions.untrained", str(model)]
        subprocess.run(command, check=True, timeout=EXPORT_LIMIT_S)
    version = newest_version(model)
    precision = open_graphs(version).task.precision
    rounds = []
    with quartet_server(repository, folder / "quartet.log") as server:
        for _ in range(options.repetitions):
            for width in options.widths:
                expected = _alone(server, model.name, width)
                case = _Case(options, version.resolve(), repository, model.name, width, expected)
                rounds += [_round(case, clients, server) for clients in options.clients]
    return Measured(
        rounds=rounds,
        model=f"{model.name} version {version.name}",
        trained=trained,
        precision=precision,
        lanes=options.lanes,
    )


@dataclass(frozen=True, slots=True)
class _Case:
    options: Options
    version: Path
    repository: Path
    model: str
    width: int
    expected: list[str]


def _alone(server: Running, model: str, width: int) -> list[str]:
    """The caption of each photo while nobody else asks."""
    texts = []
    connection = http.client.HTTPConnection(HOST, server.http_port, timeout=60)
    try:
        for photo in draw_photos(PHOTOS):
            path = f"/v1/captions/{model}?beam_width={width}"
            connection.request("POST", path, photo, {"Content-Type": "image/jpeg"})
            response = connection.getresponse()
            body = response.read()
            if response.status != http.client.OK:
                raise RuntimeError(f"{response.status}: {body.decode()[:400]}")
            texts.append(caption_of(body))
    finally:
        connection.close()
    return texts


def _round(case: _Case, clients: int, server: Running) -> Round:
    options = case.options
    one_by_one = _one_by_one(case, clients)
    inside = _inside(case, clients)
    before = _engine_time(server.http_port, case.model)
    load = _load(case, clients, server)
    return Round(
        width=case.width,
        clients=clients,
        http=load,
        inside=inside,
        one_by_one=one_by_one,
        engine=_engine_time(server.http_port, case.model).since(before),
        loaded_s=options.warm_s + options.seconds,
        same_texts=sum(a == b for a, b in zip(one_by_one.texts, case.expected, strict=True)),
    )


def _one_by_one(case: _Case, clients: int) -> OneByOne:
    spec = OneByOneSpec(
        version=case.version,
        callers=min(clients, case.options.lanes),
        photos=PHOTOS,
        width=case.width,
        measured_s=case.options.seconds,
    )
    return call("benchmarks.captions.one_by_one", spec, OneByOne, spec.measured_s + TIME_LIMIT_S)


def _inside(case: _Case, clients: int) -> Inside:
    spec = InsideSpec(
        repository=case.repository,
        model=case.model,
        clients=clients,
        width=case.width,
        expected=case.expected,
        warm_s=case.options.warm_s,
        measured_s=case.options.seconds,
    )
    limit_s = spec.warm_s + spec.measured_s + TIME_LIMIT_S
    return call("benchmarks.captions.inside", spec, Inside, limit_s)


def _load(case: _Case, clients: int, server: Running) -> Load:
    spec = LoadSpec(
        port=server.http_port,
        model=case.model,
        clients=clients,
        width=case.width,
        expected=case.expected,
        server_pid=server.pid,
        warm_s=case.options.warm_s,
        measured_s=case.options.seconds,
    )
    limit_s = spec.warm_s + spec.measured_s + TIME_LIMIT_S
    return call("benchmarks.captions.load", spec, Load, limit_s)


def _engine_time(port: int, model: str) -> EngineTime:
    """From GET /metrics."""
    return read_engine_time(get(port, "/metrics")[1].decode(), model)


def read_engine_time(metrics: str, model: str) -> EngineTime:
    """The engine's time so far in the text of a server's metrics, for one captioner."""
    encoder = {"model": f"{model}.encoder"}
    decode = {"model": model, "kind": "decode"}
    prefill = {"model": model, "kind": "prefill"}
    run = "quartet_generation_run_duration_seconds"
    wanted = (
        ("quartet_execution_duration_seconds_sum", encoder),
        ("quartet_execution_duration_seconds_count", encoder),
        ("quartet_batch_size_sum", encoder),
        (f"{run}_sum", decode),
        (f"{run}_count", decode),
        ("quartet_generation_run_rows_sum", decode),
        (f"{run}_sum", prefill),
    )
    samples = [s for family in text_string_to_metric_families(metrics) for s in family.samples]
    return EngineTime(
        *(
            sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())
            for name, labels in wanted
        )
    )
