"""Measures a server: memory, start, and each of its models under load."""

import asyncio
import os
import platform
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from quartet.kit.connection import Address, fetch, parse_address
from quartet.kit.errors import KitError
from quartet.kit.load_figures import rounded
from quartet.kit.measurements import Environment, Measurements
from quartet.kit.model_load import load_model
from quartet.kit.options import KitOptions
from quartet.kit.processors import ProcessorTime, divide_cpus, processor_time, running_on
from quartet.kit.samples import plan_model
from quartet.kit.scrape import Scrape, scrape
from quartet.kit.server import Server, check_ready, started_server


@dataclass(frozen=True, slots=True)
class _Subject:
    """A server under measurement."""

    server: Server
    cpus: float
    machine_cpus: int
    shared: bool

    async def memory(self, field: str = "VmRSS") -> int:
        """Resident bytes; ``VmHWM``: the largest so far, where the process can be seen."""
        if self.server.pid is not None:
            return self.server.resident_bytes(field)
        return int((await scrape(self.server.address)).value("process_resident_memory_bytes"))


def measure(options: KitOptions) -> Measurements:
    """Start the server, or take the one at ``--url``, and measure it.

    Raises:
        KitError: the repository cannot be served, or a model refuses its requests.
    """
    if not options.model_repo.is_dir():
        raise KitError(f"no such folder of models: {options.model_repo}")
    # uvloop makes more requests of the same CPU; it does not exist everywhere.
    try:
        import uvloop
    except ImportError:
        new_loop = asyncio.new_event_loop
    else:
        new_loop = uvloop.new_event_loop
    try:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            return runner.run(_measure(options))
    except asyncio.CancelledError:
        raise KitError("terminated") from None


async def _measure(options: KitOptions) -> Measurements:
    task = asyncio.current_task()
    assert task is not None
    # Else the server would outlive this process.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    if options.url is not None:
        address = parse_address(options.url)
        await check_ready(address, options.model_repo)
        threads = (await scrape(address)).value("quartet_engine_threads")
        server = Server(address, None, None, (address.url("/"),))
        return await _measure_server(options, _Subject(server, threads, int(threads), shared=False))
    cpus = frozenset(os.sched_getaffinity(0))
    divided = divide_cpus(cpus, options.cpus)
    settings = {**options.settings, "QUARTET_DEVICE": "cuda" if options.gpu else "cpu"}
    start = started_server(options.model_repo, settings, divided.server, options.ready_timeout_s)
    async with start as server:
        subject = _Subject(server, len(divided.server), len(cpus), divided.shared)
        with running_on(divided.client):
            return await _measure_server(options, subject)


async def _measure_server(options: KitOptions, subject: _Subject) -> Measurements:
    address = subject.server.address
    at_rest = await scrape(address)
    before = processor_time()
    rest_bytes = peak_bytes = await subject.memory()
    models = []
    for name, version in await _wanted(address, options.models):
        plan = await plan_model(address, name, version, options.model_repo, options.rows)
        figures = await load_model(address, plan, options.seconds, subject.memory)
        peak_bytes = max(peak_bytes, figures.memory_bytes)
        models.append(figures)
    return Measurements(
        environment=await _environment(subject, options, at_rest, before),
        ready_s=rounded(subject.server.ready_s) if subject.server.ready_s else None,
        rest_bytes=rest_bytes,
        peak_bytes=max(peak_bytes, await subject.memory("VmHWM")),
        latency_bounds_s=at_rest.bounds("quartet_request_duration_seconds"),
        models=tuple(models),
    )


async def _wanted(address: Address, chosen: Sequence[str]) -> list[tuple[str, str]]:
    """Names and versions (empty: the default) to measure, by name."""
    listing = (await fetch(address, "/v1/models")).json()
    served = sorted(model["id"] for model in listing["data"])
    if not served:
        raise KitError("the server has no model")
    wanted = []
    for choice in chosen or served:
        name, _, version = choice.partition(":")
        if name not in served:
            raise KitError(f"--models {choice}: the server has {', '.join(served)}")
        wanted.append((name, version))
    if len({name for name, _ in wanted}) < len(wanted):
        raise KitError("--models: a model can be sized for one version of it, not for several")
    return sorted(wanted)


async def _environment(
    subject: _Subject, options: KitOptions, at_rest: Scrape, before: ProcessorTime
) -> Environment:
    build = next(iter(at_rest.samples.get("quartet_build_info", ())), None)
    if build is None:
        raise KitError("the server exports no metric 'quartet_build_info'")
    own_s = (await scrape(subject.server.address)).value("process_cpu_seconds_total")
    own_s -= at_rest.value("process_cpu_seconds_total")
    return Environment(
        command=subject.server.command,
        settings=dict(sorted(options.settings.items())),
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        quartet=build.labels["version"],
        onnxruntime=build.labels["onnxruntime"],
        python=platform.python_version(),
        provider=build.labels["provider"],
        machine=f"{platform.system()} {platform.machine()}",
        machine_cpus=subject.machine_cpus,
        server_cpus=subject.cpus,
        client_shares_cpus=subject.shared,
        engine_threads=int(at_rest.value("quartet_engine_threads")),
        others_cpu=(
            rounded(processor_time().others_since(before, own_s))
            if subject.server.pid is not None
            else None
        ),
    )
