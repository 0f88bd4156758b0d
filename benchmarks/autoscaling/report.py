"""Results as Markdown and JSON."""

from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.autoscaling.arrivals import TRACES
from benchmarks.autoscaling.experiments import Result
from benchmarks.autoscaling.service import Measured
from benchmarks.autoscaling.simulation import BOUNDS_S, TARGET_S, Outcome
from benchmarks.autoscaling.validation import BOUNDS_S as SEEN_BOUNDS_S
from benchmarks.autoscaling.validation import Comparison


def as_markdown(measured: Measured, results: Sequence[Result]) -> str:
    """Everything that was simulated."""
    return "\n".join([*_services(measured), *(line for one in results for line in _result(one))])


def _services(measured: Measured) -> Iterator[str]:
    yield from (f"- {line}" for line in measured.environment)
    yield f"- start to ready: {measured.start_s:.2f} s"
    yield ""
    yield "| model | requests in a run: ms | requests/s | loop, ms a request | what it is |"
    yield "| --- | --- | --- | --- | --- |"
    for service in measured.services:
        runs = ", ".join(
            f"{size}: {run_s * 1e3:.1f}"
            for size, run_s in zip(service.sizes, service.run_s, strict=True)
        )
        yield (
            f"| {service.name} | {runs} | {service.capacity:.0f} | {service.loop_s * 1e3:.2f} | "
            f"{service.description} |"
        )
    yield ""


def _result(result: Result) -> Iterator[str]:
    experiment = result.experiment
    yield (
        f"**{experiment.name}**: {TRACES[experiment.trace](1.0).description}; the greatest load "
        f"keeps {experiment.peak} replicas busy for 0.7 of the time; {experiment.balancing} "
        f"balancing. Ideal: {result.ideal.sum():.0f} replica-seconds, at the most "
        f"{result.ideal.max():.0f} replicas."
    )
    yield ""
    columns = "cost, x ideal | > 0.5 s or refused, % | refused, % | most replicas | in the end"
    yield f"| scaled on | target | {columns} |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for outcome in result.outcomes:
        yield (
            f"| {outcome.strategy.family} | {outcome.strategy.label} | {result.cost(outcome):.2f} "
            f"| {100 * outcome.missed(TARGET_S):.2f} | {_refused(outcome):.2f} "
            f"| {outcome.replicas.max()} | {outcome.replicas[-1]} |"
        )
    yield ""


def _refused(outcome: Outcome) -> float:
    return 100 * outcome.rejected / max(1, outcome.requests)


def comparisons_as_markdown(comparisons: Sequence[Comparison]) -> str:
    """The simulation beside real servers."""
    bounds = " / ".join(f"{bound * 1e3:.0f}" for bound in SEEN_BOUNDS_S)
    lines = [
        f"| model | replicas | load | requests | busy: server, simulated | rows that wait "
        f"| % later than {bounds} ms: server | simulated |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for one in comparisons:
        late = [
            " / ".join(f"{100 * share:.1f}" for share in seen.late)
            for seen in (one.real, one.simulated)
        ]
        lines.append(
            f"| {one.case.service} | {one.case.replicas} | {one.case.load:g} | {one.requests} "
            f"| {one.real.utilization:.2f}, {one.simulated.utilization:.2f} "
            f"| {one.real.queue:.1f}, {one.simulated.queue:.1f} | {late[0]} | {late[1]} |"
        )
    return "\n".join(lines)


def as_json(measured: Measured, results: Sequence[Result]) -> dict[str, Any]:
    """Everything, for other programs."""
    return {
        "measured": measured.model_dump(),
        "bounds_s": BOUNDS_S,
        "experiments": [
            {
                "name": result.experiment.name,
                "peak": result.experiment.peak,
                "ideal_replica_s": float(result.ideal.sum()),
                "strategies": [
                    {
                        "family": outcome.strategy.family,
                        "label": outcome.strategy.label,
                        "targets": list(outcome.strategy.targets),
                        "cost": result.cost(outcome),
                        "missed": [outcome.missed(bound) for bound in BOUNDS_S],
                        "rejected": outcome.rejected,
                        "requests": outcome.requests,
                        "replicas": outcome.replicas.tolist(),
                    }
                    for outcome in result.outcomes
                ],
            }
            for result in results
        ],
    }
