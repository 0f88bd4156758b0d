"""What is simulated: loads, sizes, and the strategies that are compared."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.autoscaling.arrivals import TRACES
from benchmarks.autoscaling.balancing import Balancing
from benchmarks.autoscaling.networks import DENSE, PICTURES
from benchmarks.autoscaling.service import Floats, Measured, Service
from benchmarks.autoscaling.simulation import Outcome, Plan, Simulation, ideal_replica_s
from benchmarks.autoscaling.strategies import Strategy, all_strategies, few_strategies

LOAD = 0.7
"""Of the capacity of all replicas at the greatest load: what ``peak`` replicas bear in comfort."""
HEADROOM = 1.5
"""maxReplicas over ``peak``."""
NIGHT = 0.1
"""Of the greatest load, at the beginning of all traces but one."""
DEVICE_CPU = 0.1
"""CPU seconds a busy second of an engine on a device. Assumed, not measured."""
SLOW_NODE_S = 90.0
"""Until a pod starts where a node must be started for it."""

Choice = Callable[[Service, int], list[Strategy]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """One load on clusters that differ in their autoscalers."""

    name: str
    service: str
    trace: str
    peak: int
    """Replicas that the greatest load keeps busy for 0.7 of the time."""
    choice: Choice = few_strategies
    balancing: Balancing = "least"
    device: bool = False
    """The engine uses little CPU."""
    pod_s: float = 3.0
    scrape_s: int = 15


@dataclass(frozen=True, slots=True)
class Result:
    """An experiment and what came of it."""

    experiment: Experiment
    ideal: Floats
    """float64 [seconds], replicas that would do if the load were known and spread evenly."""
    outcomes: Sequence[Outcome]

    def cost(self, outcome: Outcome) -> float:
        """Replica-seconds over those of the ideal."""
        return outcome.replica_s / float(self.ideal.sum())


def experiments(peaks: Sequence[int]) -> list[Experiment]:
    """Everything, the comparison of all strategies first; ``peaks`` are the sizes of clusters."""
    first = peaks[0]
    every = [
        Experiment(name=f"{trace}, {s}", service=s, trace=trace, peak=first, choice=all_strategies)
        for trace in ("burst", "day", "slower")
        for s in (PICTURES, DENSE)
    ]
    extra = [
        Experiment(name="burst, a device", service=DENSE, trace="burst", peak=first, device=True),
        Experiment(
            name="burst, random", service=PICTURES, trace="burst", peak=first, balancing="random"
        ),
        Experiment(
            name="burst, nodes to start",
            service=PICTURES,
            trace="burst",
            peak=first,
            pod_s=SLOW_NODE_S,
        ),
        Experiment(
            name="burst, scraped every 5 s",
            service=PICTURES,
            trace="burst",
            peak=first,
            scrape_s=5,
        ),
    ]
    sizes = [
        Experiment(name=f"burst, {peak} replicas", service=PICTURES, trace="burst", peak=peak)
        for peak in peaks[1:]
    ]
    return [*every, *extra, *sizes]


def run(experiment: Experiment, measured: Measured, seed: int = 0) -> Result:
    """Simulate one experiment."""
    service = measured.service(experiment.service)
    if experiment.device:
        service = service.model_copy(update={"cpu_share": DEVICE_CPU})
    peak = experiment.peak
    trace = TRACES[experiment.trace](service.capacity * LOAD * peak)
    initial = peak // 2 if experiment.trace == "slower" else round(peak * NIGHT)
    plan = Plan(
        service=service,
        trace=trace,
        strategies=experiment.choice(service, peak),
        initial=initial,
        most=round(peak * HEADROOM),
        start_s=measured.start_s,
        pod_s=experiment.pod_s,
        balancing=experiment.balancing,
        scrape_s=experiment.scrape_s,
        seed=seed,
    )
    return Result(experiment, ideal_replica_s(service, trace), Simulation(plan).run())
