"""Measures a server: memory, start, and each of its models under load."""

import asyncio
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from quartet.kit.connection import Address, fetch, parse_address
from quartet.kit.errors import KitError
from quartet.kit.load import Tally, Window, quantile, run_closed_loop, run_open_loop
from quartet.kit.measurements import (
    Environment,
    LoadFigures,
    Measurements,
    ModelFigures,
    SteadyFigures,
)
from quartet.kit.options import KitOptions
from quartet.kit.processors import ProcessorTime, divide_cpus, processor_time, running_on
from quartet.kit.samples import Plan, plan_model
from quartet.kit.scrape import Scrape, scrape
from quartet.kit.server import Server, check_ready, started_server

CLIENTS = (1, 4, 16, 64, 256)
"""Of the closed loops, until more of them get no more answers."""
RISE = 1.05
"""Times the best rate so far that more clients must reach for the search to go on."""
PATIENCE = 2
"""Numbers of clients in a row without a rise that end it: one may be chance."""
FIRST_SYMBOL = "quartet_generation_first_symbol_seconds"
STEADY_LOAD = 0.7
"""Share of capacity at which latency and use of resources are measured."""
LONE_SHARE, LEVEL_SHARE, STEADY_SHARE = 0.15, 0.1, 0.45
"""Of a model's seconds: one client alone, each further number of clients, the steady load."""
WARM_SHARE = 0.2
"""Of each of these, before it is measured."""


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
    # One process with the load generator in it: uvloop makes more requests of the same CPU.
    try:
        import uvloop
    except ImportError:
        return asyncio.run(_measure(options))
    return uvloop.run(_measure(options))


async def _measure(options: KitOptions) -> Measurements:
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
        figures = await _measure_model(subject, plan, options.seconds)
        peak_bytes = max(peak_bytes, figures.memory_bytes)
        models.append(figures)
    return Measurements(
        environment=await _environment(subject, options, at_rest, before),
        ready_s=_rounded(subject.server.ready_s) if subject.server.ready_s else None,
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


async def _measure_model(subject: _Subject, plan: Plan, seconds: float) -> ModelFigures:
    address = subject.server.address
    try:
        curve = await _find_capacity(address, plan, seconds)
        rate = STEADY_LOAD * max(point.requests_per_second for point in curve)
        before = await scrape(address)
        window = _window(seconds * STEADY_SHARE, enough=300)
        tally = await run_open_loop(address, plan.requests, rate, window)
        steady = _steady(plan, rate, tally, before, await scrape(address))
    except KitError as error:
        asked = f"model {plan.name} version {plan.version}, {plan.sample}"
        raise KitError(f"{asked}: {error}") from error
    return ModelFigures(
        name=plan.name,
        version=plan.version,
        kind=plan.kind,
        sample=plan.sample,
        rows_per_request=plan.rows_per_request,
        instances=plan.instances,
        max_batch_rows=plan.max_batch_rows,
        curve=curve,
        steady=steady,
        memory_bytes=await subject.memory(),
    )


async def _find_capacity(address: Address, plan: Plan, seconds: float) -> tuple[LoadFigures, ...]:
    """Closed loops of more and more clients, until the rate rises no more."""
    curve: list[LoadFigures] = []
    flat = 0
    for clients in CLIENTS:
        share = LEVEL_SHARE if curve else LONE_SHARE
        # Two answers of each client: the first ones come all at once.
        window = _window(seconds * share, least=2 * clients)
        tally = await run_closed_loop(address, plan.requests, clients, window)
        best = max((point.requests_per_second for point in curve), default=0.0)
        curve.append(LoadFigures(clients=clients, **_figures(tally)))
        flat = 0 if curve[-1].requests_per_second >= RISE * best else flat + 1
        if flat == PATIENCE:
            break
    return tuple(curve)


def _window(seconds: float, enough: int = 200, least: int = 1) -> Window:
    warm_s = seconds * WARM_SHARE
    return Window(warm_s=warm_s, seconds=seconds - warm_s, enough=enough, least=least)


def _figures(tally: Tally) -> dict[str, float]:
    if not tally.latencies_s:
        raise KitError(
            f"no request was answered in {tally.window_s:.1f} s ({tally.rejected} were refused "
            "with 429); give more --seconds"
        )
    return {
        "requests": len(tally.latencies_s),
        "rejected": tally.rejected,
        "requests_per_second": _rounded(tally.requests_per_second),
        "p50_s": _rounded(quantile(tally.latencies_s, 0.5)),
        "p99_s": _rounded(quantile(tally.latencies_s, 0.99)),
        "client_cpu": _rounded(tally.client_cpu),
    }


def _steady(plan: Plan, rate: float, tally: Tally, before: Scrape, after: Scrape) -> SteadyFigures:
    """What a load took of each resource.

    By the utilization law U = X * D (Denning and Buzen 1978): demand D of one request, from the
    counters over all requests sent, times the rate X. That holds although the last requests end
    after the window. Little's law L = X * W gives the rows that wait.
    """

    def demand(name: str, **labels: str) -> float:
        """Of one request."""
        return (after.value(name, **labels) - before.value(name, **labels)) / tally.sent

    of_model = {"model": plan.name, "version": plan.version}
    threads = after.value("quartet_engine_threads")
    own_runs = demand("quartet_execution_duration_seconds_sum", **of_model) or demand(
        "quartet_generation_run_duration_seconds_sum", **of_model
    )
    engine = demand("quartet_engine_busy_seconds_total") / threads
    return SteadyFigures(
        **_figures(tally),
        offered_rps=_rounded(rate),
        client_lateness_p99_s=_rounded(quantile(tally.lateness_s, 0.99)),
        mean_batch_rows=_rounded(_mean_batch(plan, before, after)),
        utilization=_rounded(min(1.0, rate * max(engine, own_runs / plan.instances))),
        loop_utilization=_rounded(min(1.0, rate * demand("quartet_loop_cpu_seconds_total"))),
        cpu_cores=_rounded(rate * demand("process_cpu_seconds_total")),
        mean_waiting_rows=_rounded(
            rate * plan.rows_per_request * demand("quartet_queue_duration_seconds_sum", **of_model)
        ),
        first_symbol_p99_s=after.quantile_since(before, FIRST_SYMBOL, 0.99, **of_model),
    )


def _mean_batch(plan: Plan, before: Scrape, after: Scrape) -> float:
    """Rows of one run; of a generator the texts that were written together."""
    labels = {"model": plan.name, "version": plan.version}
    histograms: tuple[tuple[str, dict[str, str]], ...] = (
        ("quartet_batch_size", {}),
        ("quartet_generation_run_rows", {"kind": "decode"}),
    )
    for name, extra in histograms:
        rows, runs = (
            after.total(f"{name}_{end}", **labels, **extra)
            - before.total(f"{name}_{end}", **labels, **extra)
            for end in ("sum", "count")
        )
        if runs:
            return rows / runs
    return 0.0


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
            _rounded(processor_time().others_since(before, own_s))
            if subject.server.pid is not None
            else None
        ),
    )


def _rounded(value: float) -> float:
    """To four significant digits: more would claim what was not measured."""
    return float(f"{value:.4g}")
