"""What of a measurement should not be trusted as it is."""

from collections.abc import Iterator, Sequence

from quartet.kit.measurements import Measurements, ModelFigures, SteadyFigures
from quartet.kit.model_sizing import ModelSizing
from quartet.kit.quantities import milliseconds

BUSY_CLIENT = 0.8
"""Share of a thread above which it is the load generator that limits."""
OTHERS_CPU = 0.1
"""Share of the machine's CPUs that others may use unnoticed."""
FEW = 100
"""Requests below which there is no 99th percentile."""


def find_doubts(measurements: Measurements, models: Sequence[ModelSizing]) -> tuple[str, ...]:
    """Every doubt, in sentences."""
    environment = measurements.environment
    found = []
    if environment.client_shares_cpus:
        found.append("The load generator ran on the server's CPU: capacity is understated.")
    others = environment.others_cpu or 0.0
    if others > OTHERS_CPU * environment.machine_cpus:
        found.append(
            f"Other processes used {others:.2g} of the machine's {environment.machine_cpus} CPUs: "
            "capacity is understated, latency overstated. Measure again on a quiet machine."
        )
    if measurements.ready_s is None:
        found.append(
            "The server ran already: its start was not measured, its peak of memory only "
            "after each load."
        )
    for figures, sizing in zip(measurements.models, models, strict=True):
        found.extend(f"{figures.name}: {text}" for text in _of_model(figures, sizing))
    return tuple(found)


def _of_model(model: ModelFigures, sizing: ModelSizing) -> Iterator[str]:
    best = max(model.curve, key=lambda point: point.requests_per_second)
    steady = model.steady
    if best.client_cpu > BUSY_CLIENT:
        yield (
            f"at its best rate the load generator was busy {best.client_cpu:.0%} of the time: the "
            "server can do more than was measured."
        )
    if best is model.curve[-1] and best.rejected == 0:
        yield f"the rate still rose with {best.clients} clients: capacity is more."
    if steady.client_was_late:
        yield (
            f"the load generator sent up to {milliseconds(steady.client_lateness_p99_s)} ms late "
            f"(p99): the p99 of {milliseconds(steady.p99_s)} ms is partly its own."
        )
    yield from _of_steady(steady)
    if not sizing.reachable:
        yield (
            f"one request alone takes {milliseconds(model.unloaded.p99_s)} ms (p99), more than the "
            f"objective of {milliseconds(sizing.objective_s)} ms: no number of replicas keeps it."
        )


def _of_steady(steady: SteadyFigures) -> Iterator[str]:
    if steady.rejected:
        yield f"{steady.rejected} requests were refused at 70 % of capacity."
    if not steady.kept_up:
        yield (
            f"of {steady.offered_rps:.4g} requests a second {steady.requests_per_second:.4g} were "
            "answered: the server did not keep up with 70 % of what it had done before."
        )
    if steady.requests < FEW:
        yield f"p99 is the longest of {steady.requests} requests; give more --seconds."
