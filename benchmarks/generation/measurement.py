"""Runs every case in turns, several times over, so that the machine's noise hits all alike."""

import http.client
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import orjson
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.generation.artifact import find_versions, open_graphs
from benchmarks.generation.bare import Bare, BareSpec
from benchmarks.generation.stream_load import Load, LoadSpec
from benchmarks.generation.workload import Job, Lengths, make_jobs
from benchmarks.serving.processes import HOST, Running, call, get, quartet_server, started_server

JOBS = 256
"""Texts asked for, over and over."""
COMPARED_JOBS = 24
"""Jobs whose text is first written alone and then compared with what each crowd gets."""
TIME_LIMIT_S = 90.0
"""For a measuring process, beyond what it measures."""
RUN_SECONDS = "quartet_generation_run_duration_seconds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What to measure."""

    model: Path
    """Model folder of a generator."""
    clients: Sequence[int]
    lengths: Sequence[Lengths]
    seconds: float
    """Of each case in each repetition."""
    warm_s: float
    """Unmeasured seconds before them."""
    repetitions: int
    lanes: int
    """Threads of the bare graph and of the plain server; the server's engine threads."""
    server_flags: Sequence[str] = ()
    """Passed on to ``quartet serve``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One client count with one kind of lengths in one repetition."""

    clients: int
    lengths: Lengths
    quartet: Load
    static: Load
    single: Load
    bare_one: Bare
    """One caller with all rows, the default version."""
    bare_lanes: Bare
    """All lanes, the rows divided among them."""
    run_s: float
    """Mean decode run of the server meanwhile."""
    run_rows: float
    """Its mean rows."""
    steps: int
    """K of a full run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Everything that was measured."""

    rounds: list[Round]
    model: str
    plain: str
    """Version and precision that write one text at a time."""
    default: str
    """Version and precision of everything else."""


def measure_all(options: Options, folder: Path) -> Measured:
    """Start the servers, run every case in every repetition, and stop them.

    Raises:
        RuntimeError: a server did not start, or a client got a wrong answer.
        ValueError: the model is no generator with a float32 version.
    """
    plain, default = find_versions(options.model)
    task = open_graphs(default).task
    rounds = []
    with ExitStack() as stack:
        servers = _start(stack, options, plain, folder)
        for _ in range(options.repetitions):
            for lengths in options.lengths:
                jobs = make_jobs(task.vocabulary, JOBS, lengths)
                expected = _alone(servers.quartet, options.model.name, jobs)
                for clients in options.clients:
                    case = _Case(options, default, jobs, expected, clients, task.steps, folder)
                    rounds.append(_round(case, lengths, servers))
    return Measured(
        rounds=rounds,
        model=options.model.name,
        plain=f"{plain.name} ({open_graphs(plain).task.precision})",
        default=f"{default.name} ({task.precision})",
    )


@dataclass(frozen=True, slots=True)
class _Servers:
    quartet: Running
    single: Running


@dataclass(frozen=True, slots=True)
class _Case:
    options: Options
    default: Path
    jobs: list[Job]
    expected: dict[int, str]
    clients: int
    steps: int
    folder: Path


def _start(stack: ExitStack, options: Options, plain: Path, folder: Path) -> _Servers:
    repository = folder / "repository"
    repository.mkdir()
    (repository / options.model.name).symlink_to(options.model.resolve())
    log = folder / "quartet.log"
    quartet = stack.enter_context(quartet_server(repository, log, options.server_flags))
    single = stack.enter_context(_plain(plain, "single", options.lanes, 1, folder))
    return _Servers(quartet, single)


@contextmanager
def _plain(version: Path, policy: str, lanes: int, rows: int, folder: Path) -> Iterator[Running]:
    module = "benchmarks.generation.plain_server"
    with started_server(
        module,
        lambda port: [str(version), str(port), policy, str(lanes), str(rows)],
        folder / f"{policy}.log",
    ) as running:
        yield running


def _alone(server: Running, model: str, jobs: Sequence[Job]) -> dict[int, str]:
    """What the first jobs give while nobody else asks."""
    connection = http.client.HTTPConnection(HOST, server.http_port, timeout=60)
    texts = {}
    try:
        for number, job in enumerate(jobs[:COMPARED_JOBS]):
            body = {"model": model, "temperature": 1.0, **job.model_dump()}
            connection.request("POST", "/v1/completions", orjson.dumps(body))
            response = connection.getresponse()
            answer = response.read()
            if response.status != http.client.OK:
                raise RuntimeError(f"{response.status}: {answer.decode()[:400]}")
            texts[number] = orjson.loads(answer)["choices"][0]["text"]
    finally:
        connection.close()
    return texts


def _round(case: _Case, lengths: Lengths, servers: _Servers) -> Round:
    options, clients = case.options, case.clients
    share = ceil(clients / options.lanes)
    bare_one = _bare(case, 1, clients)
    before = _decode_runs(servers.quartet.http_port)
    quartet = _load(case, servers.quartet, case.expected)
    after = _decode_runs(servers.quartet.http_port)
    runs = after.runs - before.runs
    with _plain(case.default, "static", options.lanes, share, case.folder) as static_server:
        static = _load(case, static_server, {})
    return Round(
        clients=clients,
        lengths=lengths,
        quartet=quartet,
        static=static,
        single=_load(case, servers.single, {}),
        bare_one=bare_one,
        bare_lanes=_bare(case, options.lanes, share),
        run_s=(after.seconds - before.seconds) / runs,
        run_rows=(after.rows - before.rows) / runs,
        steps=case.steps,
    )


def _bare(case: _Case, callers: int, rows: int) -> Bare:
    spec = BareSpec(
        version=case.default.resolve(),
        callers=callers,
        rows=rows,
        steps=case.steps,
        measured_s=case.options.seconds / 2,
    )
    return call("benchmarks.generation.bare", spec, Bare, spec.measured_s + TIME_LIMIT_S)


def _load(case: _Case, server: Running, expected: dict[int, str]) -> Load:
    spec = LoadSpec(
        port=server.http_port,
        model=case.options.model.name,
        clients=case.clients,
        jobs=case.jobs,
        expected=expected,
        server_pid=server.pid,
        warm_s=case.options.warm_s,
        measured_s=case.options.seconds,
    )
    limit_s = spec.warm_s + spec.measured_s + TIME_LIMIT_S
    return call("benchmarks.generation.stream_load", spec, Load, limit_s)


@dataclass(frozen=True, slots=True)
class _Runs:
    runs: float
    seconds: float
    rows: float


def _decode_runs(port: int) -> _Runs:
    """Decode runs so far, over all models, from GET /metrics."""
    wanted = {
        f"{RUN_SECONDS}_count": 0.0,
        f"{RUN_SECONDS}_sum": 0.0,
        "quartet_generation_run_rows_sum": 0.0,
    }
    for family in text_string_to_metric_families(get(port, "/metrics")[1].decode()):
        for sample in family.samples:
            if sample.name in wanted and sample.labels.get("kind") == "decode":
                wanted[sample.name] += sample.value
    return _Runs(*wanted.values())
