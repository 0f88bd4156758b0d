"""One model under load: more and more clients, then a steady load below its capacity."""

from collections.abc import Awaitable, Callable

from quartet.kit.connection import Address
from quartet.kit.errors import KitError
from quartet.kit.load import Window, run_closed_loop, run_open_loop
from quartet.kit.load_figures import load_figures, steady_figures
from quartet.kit.measurements import LoadFigures, ModelFigures, SteadyFigures
from quartet.kit.samples import Plan
from quartet.kit.scrape import scrape

CLIENTS = (1, 4, 16, 64, 256)
"""Of the closed loops, until more of them get no more answers."""
RISE = 1.05
"""Times the best rate so far that more clients must reach for the search to go on."""
PATIENCE = 2
"""Numbers of clients in a row without a rise that end it: one may be chance."""
STEADY_LOAD = 0.7
"""Share of capacity at which latency and use of resources are measured."""
LONE_SHARE, LEVEL_SHARE, STEADY_SHARE = 0.15, 0.1, 0.45
"""Of a model's seconds: one client alone, each further number of clients, the steady load."""
WARM_SHARE = 0.2
"""Of each of these, before it is measured."""
TRIES = 3
"""Steady loads at most, of which the one with the least p99 counts: what disturbs a server, such as
another process on its CPU, only ever makes it slower."""


async def load_model(
    address: Address, plan: Plan, seconds: float, memory: Callable[[], Awaitable[int]]
) -> ModelFigures:
    """Find a model's capacity, then its latency and its use of resources at part of that.

    Args:
        address: of the server.
        plan: what to send.
        seconds: of load in all; slow models and busy machines take longer.
        memory: tells the server's resident bytes.

    Raises:
        KitError: a request was refused; the text names the model.
    """
    try:
        curve = await _find_capacity(address, plan, seconds)
        rate = STEADY_LOAD * max(point.requests_per_second for point in curve)
        steady = await _steady_load(address, plan, rate, seconds * STEADY_SHARE)
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
        memory_bytes=await memory(),
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
        curve.append(LoadFigures(clients=clients, **load_figures(tally)))
        flat = 0 if curve[-1].requests_per_second >= RISE * best else flat + 1
        if flat == PATIENCE:
            break
    return tuple(curve)


async def _steady_load(address: Address, plan: Plan, rate: float, seconds: float) -> SteadyFigures:
    """Arrivals at ``rate``; again where the result is not to be trusted."""
    tries: list[SteadyFigures] = []
    while len(tries) < TRIES:
        before = await scrape(address)
        window = _window(seconds, enough=300)
        tally = await run_open_loop(address, plan.requests, rate, window)
        tries.append(steady_figures(plan, rate, tally, before, await scrape(address)))
        if tries[-1].kept_up and not tries[-1].client_was_late:
            break
    return min(tries, key=lambda one: one.p99_s)


def _window(seconds: float, enough: int = 200, least: int = 1) -> Window:
    warm_s = seconds * WARM_SHARE
    return Window(warm_s=warm_s, seconds=seconds - warm_s, enough=enough, least=least)
