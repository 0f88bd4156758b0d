"""Runs every case in turns, several times over, so that the machine's noise hits all alike."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.serving.bare import Bare, BareSpec
from benchmarks.serving.load import PICTURE_MODEL, TENSOR_MODEL, Load, LoadSpec, Mode
from benchmarks.serving.networks import CHANNELS, write_picture_network, write_tensor_network
from benchmarks.serving.processes import Running, call, get, plain_server, quartet_server
from benchmarks.serving.samples import make_samples
from benchmarks.serving.usage import resident_bytes
from quartet.artifact import MODEL_FILE

WARM_S = 0.5
TIME_LIMIT_S = 60.0
"""For a measuring process, beyond what it measures."""
WIDEST = 512
"""Channels at which widening the reference network gives up."""
JOINED_ROWS = 8
"""Rows of the bare engine's larger batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What to measure."""

    modes: Sequence[Mode]
    clients: Sequence[int]
    seconds: float
    """Of each case in each repetition."""
    repetitions: int
    callers: int
    """Threads that call the bare engine, and the server's engine threads."""
    model_repository: Path
    """Where the classifier of pictures is taken from, if it is there."""
    row_ms: float | None = None
    """Widen the reference network until a row takes the bare engine at least so long; None: as in
    the example."""
    plain_threads: int = 0
    """Engine threads of the plain application; 0: ONNX Runtime's default, all cores for one run."""
    server_flags: Sequence[str] = ()
    """Passed on to ``quartet serve``."""


@dataclass(slots=True)
class Round:
    """One client count in one repetition: the cases that are compared with each other."""

    clients: int
    bare: list[Bare]
    """One caller and batch 1; all callers and batch 1; all callers and the larger batch."""
    loads: dict[Mode, Load] = field(default_factory=dict)
    batch_rows: dict[Mode, float] = field(default_factory=dict)
    """Mean rows of the server's runs."""
    picture_bare: Bare | None = None
    """The classifier of pictures with all callers, batch 1."""


@dataclass(slots=True)
class Measured:
    """Everything that was measured."""

    rounds: list[Round]
    ready_s: list[float]
    """Of several starts of the server."""
    resident_bytes: list[int]
    """The server's, after each repetition."""
    channels: int
    """Of the reference network's second convolution; 64 in the example."""
    shipped_classifier: bool
    """Whether pictures went to the shipped model; else to the reference network."""


@dataclass(frozen=True, slots=True)
class Bench:
    """Files of a measurement."""

    folder: Path
    repository: Path
    samples: Path
    tensor_network: Path
    picture_network: Path
    channels: int
    shipped_classifier: bool


def prepare(folder: Path, options: Options) -> Bench:
    """Write the repository and the samples into ``folder``."""
    repository, samples = folder / "repository", folder / "samples.npz"
    network, channels = _reference_network(repository / TENSOR_MODEL, options)
    shipped = options.model_repository / PICTURE_MODEL
    if shipped.is_dir():
        shutil.copytree(shipped, repository / PICTURE_MODEL)
        versions = [int(one.name) for one in shipped.iterdir() if one.name.isdecimal()]
        picture_network = repository / PICTURE_MODEL / str(max(versions)) / MODEL_FILE
    else:
        picture_network = write_picture_network(repository / PICTURE_MODEL)
    make_samples(network).save(samples)
    return Bench(folder, repository, samples, network, picture_network, channels, shipped.is_dir())


def _reference_network(folder: Path, options: Options) -> tuple[Path, int]:
    """The network, and how wide its second convolution had to be made."""
    channels = CHANNELS
    network = write_tensor_network(folder, channels)
    while options.row_ms is not None and channels < WIDEST:
        if _bare(network, options, 1, 1).run_p50_s * 1e3 >= options.row_ms:
            break
        channels += 16
        network = write_tensor_network(folder, channels)
    return network, channels


def measure_all(bench: Bench, options: Options) -> Measured:
    """Start the servers, run every case in every repetition, and stop them.

    Raises:
        RuntimeError: a server did not start or an answer was wrong.
    """
    measured = Measured([], [], [], bench.channels, bench.shipped_classifier)
    for number in range(options.repetitions):
        log = bench.folder / f"start-{number}.log"
        with quartet_server(bench.repository, log, options.server_flags) as server:
            measured.ready_s.append(server.ready_s)
    with ExitStack() as stack:
        quartet = stack.enter_context(
            quartet_server(bench.repository, bench.folder / "quartet.log", options.server_flags)
        )
        plain = stack.enter_context(
            plain_server(bench.tensor_network, options.plain_threads, bench.folder / "plain.log")
        )
        for _ in range(options.repetitions):
            for clients in options.clients:
                measured.rounds.append(_round(bench, options, clients, quartet, plain))
            measured.resident_bytes.append(resident_bytes(quartet.pid))
    return measured


def _round(bench: Bench, options: Options, clients: int, quartet: Running, plain: Running) -> Round:
    result = Round(clients, list(_bare_engines(bench.tensor_network, options)))
    for mode in options.modes:
        model = PICTURE_MODEL if mode == "png" else TENSOR_MODEL
        before = _runs_and_rows(quartet.http_port, model)
        result.loads[mode] = _load(bench, options, mode, clients, quartet)
        after = _runs_and_rows(quartet.http_port, model)
        result.batch_rows[mode] = (after[1] - before[1]) / (after[0] - before[0])
    result.loads["plain"] = _load(bench, options, "plain", clients, plain)
    if "png" in options.modes:
        result.picture_bare = _bare(bench.picture_network, options, options.callers, 1)
    return result


def _bare_engines(network: Path, options: Options) -> Iterator[Bare]:
    for callers, batch in ((1, 1), (options.callers, 1), (options.callers, JOINED_ROWS)):
        yield _bare(network, options, callers, batch)


def _bare(network: Path, options: Options, callers: int, batch: int) -> Bare:
    measured_s = options.seconds / 2
    spec = BareSpec(network=network, callers=callers, batch=batch, measured_s=measured_s)
    return call("benchmarks.serving.bare", spec, Bare, measured_s + TIME_LIMIT_S)


def _load(bench: Bench, options: Options, mode: Mode, clients: int, server: Running) -> Load:
    spec = LoadSpec(
        mode=mode,
        port=server.grpc_port if mode == "grpc" else server.http_port,
        clients=clients,
        server_pid=server.pid,
        samples=bench.samples,
        warm_s=WARM_S,
        measured_s=options.seconds,
    )
    return call("benchmarks.serving.load", spec, Load, WARM_S + options.seconds + TIME_LIMIT_S)


def _runs_and_rows(port: int, model: str) -> tuple[float, float]:
    """Runs of the engine so far and the rows in them, over all versions, from GET /metrics."""
    text = get(port, "/metrics")[1].decode()
    totals = {"quartet_batch_size_count": 0.0, "quartet_batch_size_sum": 0.0}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name in totals and sample.labels["model"] == model:
                totals[sample.name] += sample.value
    return totals["quartet_batch_size_count"], totals["quartet_batch_size_sum"]
