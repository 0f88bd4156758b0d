"""What of a measurement should not be trusted as it is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from quartet.kit.measurements import Environment, Measurements, ModelFigures, SteadyFigures
from quartet.kit.model_sizing import ModelSizing
from quartet.kit.quantities import milliseconds

BUSY_CLIENT = 0.8
"""Share of a thread above which it is the load generator that limits."""
OTHERS_CPU = 0.1
"""CPUs that others may use of those of server and load generator, over those of the machine."""
FEW = 100
"""Requests below which there is no 99th percentile."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """One, in a sentence."""

    text: str
    grave: bool = False
    """Whether numbers that follow would mislead who relies on them."""


def find_doubts(measurements: Measurements, models: Sequence[ModelSizing]) -> tuple[Doubt, ...]:
    """Every doubt."""
    found = list(_of_environment(measurements.environment))
    if measurements.ready_s is None:
        found.append(
            Doubt(
                "The server ran already: its start was not measured, and its memory only between "
                "loads."
            )
        )
    for figures, sizing in zip(measurements.models, models, strict=True):
        of_one = (*_of_capacity(figures), *_of_steady(figures.steady), *_of(figures, sizing))
        found.extend(Doubt(f"{figures.name}: {one.text}", one.grave) for one in of_one)
    return tuple(found)


def _of_environment(environment: Environment) -> Iterator[Doubt]:
    if environment.client_shares_cpus:
        yield Doubt("The load generator ran on the server's CPU: capacity is understated.")
    others = environment.others_cpu
    own = environment.server_cpus + (not environment.client_shares_cpus)
    spare = environment.machine_cpus - own + OTHERS_CPU * environment.machine_cpus
    if others is not None and others > spare:
        yield Doubt(
            f"Other processes used {others:.2g} of the machine's {environment.machine_cpus} CPUs, "
            f"of which the measurement wants {own:g}: capacity is understated, latency overstated. "
            "Measure again on a quiet machine.",
            grave=True,
        )


def _of_capacity(model: ModelFigures) -> Iterator[Doubt]:
    best = max(model.curve, key=lambda point: point.requests_per_second)
    if best.client_cpu > BUSY_CLIENT:
        yield Doubt(
            f"at its best rate the load generator was busy {best.client_cpu:.0%} of the time: the "
            "server can do more than was measured."
        )
    if best is model.curve[-1] and best.rejected == 0:
        yield Doubt(f"the rate still rose with {best.clients} clients: capacity is more.")


def _of_steady(steady: SteadyFigures) -> Iterator[Doubt]:
    if steady.client_was_late:
        yield Doubt(
            f"the load generator sent up to {milliseconds(steady.client_lateness_p99_s)} ms late "
            f"(p99): the p99 of {milliseconds(steady.p99_s)} ms is partly its own."
        )
    if steady.rejected:
        yield Doubt(f"{steady.rejected} requests were refused at 70 % of capacity.", grave=True)
    if not steady.kept_up:
        yield Doubt(
            f"of {steady.offered_rps:.4g} requests a second {steady.requests_per_second:.4g} were "
            "answered: the server did not keep up with 70 % of what it had done before.",
            grave=True,
        )
    if steady.requests < FEW:
        yield Doubt(f"p99 is the longest of {steady.requests} requests; give more --seconds.")


def _of(model: ModelFigures, sizing: ModelSizing) -> Iterator[Doubt]:
    if not sizing.reachable:
        yield Doubt(
            f"one request alone takes {milliseconds(model.unloaded.p99_s)} ms (p99), more than the "
            f"objective of {milliseconds(sizing.objective_s)} ms: no number of replicas keeps it."
        )
