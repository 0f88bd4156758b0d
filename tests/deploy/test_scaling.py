"""Replica counts that real metrics of real servers under known loads give.

Each Deployment below lives in a namespace of its own. All are loaded at once, for longer than the
15 s over which utilisation is a mean. Loads are shares of time and lengths of queues, so that the
right count does not depend on this machine's speed: a client that is busy a part f of the time
shows f within a tenth, and no boundary between two counts lies that near.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import pytest

from benchmarks.autoscaling.hpa import Hpa, HpaSpec, PodsMetric
from benchmarks.autoscaling.keda import Keda
from benchmarks.autoscaling.replica_calculator import PodValues
from quartet.monitoring.queries import QUEUE_TARGET_ROWS, UTILIZATION_TARGET
from tests.deploy.autoscalers import ShippedHpa, shipped_hpa, shipped_scaled_object
from tests.deploy.loads import Demand, applied_load, calibrate_steps
from tests.deploy.prometheus import Prometheus, started_prometheus
from tests.deploy.replicas import as_targets
from tests.e2e.graphs import SLOW_PBTXT, slow, write_model
from tests.e2e.process import ServerProcess

RUN_S = 0.2
WINDOW_S = 15.0
LOADED_S = WINDOW_S + 3
"""A window, and the scrapes at its ends."""
WAITING = 64
"""Rows that wait in the Deployment ``queued``: four times what one replica may have waiting."""
TOLERANCE = 0.1
"""The autoscaler's."""
SHARE_TOLERANCE = 0.1
"""Of busy fractions: what a client needs between two answers, on a busy machine."""


@dataclass(frozen=True)
class Deployment:
    """Replicas with one load."""

    replicas: int
    clients: int
    busy: float = 1.0
    threads: int = 1


DEPLOYMENTS = {
    "queued": Deployment(1, clients=WAITING + 1, threads=2),
    "half": Deployment(2, clients=1, busy=0.5),
    "full": Deployment(2, clients=1, busy=0.9),
}
"""Name, which is the namespace -> what runs there. ``queued``: a model that runs one batch at a
time on a server of two threads, as a model on a GPU or one with an ``instance_group`` does."""


@dataclass(frozen=True)
class Observed:
    """What Prometheus knew of one Deployment at one moment."""

    pods: int
    metrics: Sequence[PodsMetric]
    """Of the autoscaler: rows that wait, busy fraction of the engine, of the event loop."""
    totals: Sequence[float | None]
    """Of KEDA's triggers: the same over all pods, and requests at a gateway, of which there is none
    here."""
    cpu: float
    """CPU of one pod over its threads, the mean of a window."""

    def asked(self, spec: HpaSpec) -> int:
        """Replicas that a fresh autoscaler asks for."""
        return Hpa(spec).decide(0, self.pods, self.metrics)

    def with_replicas(self, count: int) -> list[PodsMetric]:
        """The metrics as if each of ``count`` pods were as the first."""
        return [
            replace(metric, pods=PodValues(values=[metric.pods.values[0]] * count))
            for metric in self.metrics
        ]


@dataclass(frozen=True)
class Cluster:
    """Everything that runs."""

    prometheus: Prometheus
    servers: dict[str, list[ServerProcess]]
    hpa: ShippedHpa
    steps: float

    def observe(self) -> dict[str, Observed]:
        """All Deployments, as scraped after this call."""
        self.prometheus.wait_scraped()
        return {name: self._observe(name) for name in self.servers}

    def _observe(self, name: str) -> Observed:
        pods, value = len(self.servers[name]), self.prometheus.value
        selector = f'namespace="{name}"'
        cores = f"rate(process_cpu_seconds_total{{{selector}}}[{WINDOW_S:g}s])"
        return Observed(
            pods=pods,
            metrics=self.hpa.metrics(self.prometheus, name, pods),
            totals=shipped_scaled_object().values(self.prometheus, name),
            cpu=value(f"avg({cores} / quartet_engine_threads{{{selector}}})"),
        )


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """All Deployments, scraped, without load."""
    folder = tmp_path_factory.mktemp("scaling")
    write_model(folder / "models", "slow", slow(), config=SLOW_PBTXT)
    with ExitStack() as stack:
        servers: dict[str, list[ServerProcess]] = {}
        for name, one in DEPLOYMENTS.items():
            flags = ("--threads", str(one.threads))
            servers[name] = [ServerProcess(folder / "models", *flags) for _ in range(one.replicas)]
            for server in servers[name]:
                stack.callback(server.close)
        for server in [server for pods in servers.values() for server in pods]:
            server.wait_ready()
        targets = [
            target for name, pods in servers.items() for target in as_targets(pods, namespace=name)
        ]
        steps = calibrate_steps(servers["half"][0], RUN_S)
        prometheus = stack.enter_context(started_prometheus(folder / "prometheus", targets))
        yield Cluster(prometheus, servers, shipped_hpa(), steps)


@pytest.fixture(scope="module")
def idle(cluster: Cluster) -> dict[str, Observed]:
    """Before any load, once the runs that prove a model when it is loaded are forgotten."""
    cluster.prometheus.wait_query("max(quartet_utilization)", lambda busy: busy == 0)
    return cluster.observe()


@pytest.fixture(scope="module")
def loaded(cluster: Cluster, idle: dict[str, Observed]) -> dict[str, Observed]:
    """Under load, after a window."""
    assert idle, "observed first"
    demands = [
        Demand(server, one.clients, one.busy)
        for name, one in DEPLOYMENTS.items()
        for server in cluster.servers[name]
    ]
    with applied_load(demands, cluster.steps) as load:
        load.wait(LOADED_S)
        return cluster.observe()


@pytest.fixture(scope="module")
def recovered(cluster: Cluster, loaded: dict[str, Observed]) -> dict[str, Observed]:
    """After the load, as soon as a window without a run has passed."""
    assert loaded, "made first"
    cluster.prometheus.wait_query("max(quartet_utilization)", lambda busy: busy == 0)
    return cluster.observe()


@pytest.fixture
def spec(cluster: Cluster) -> HpaSpec:
    """The shipped autoscaler, for Deployments that may shrink to one replica, and at once."""
    shipped = cluster.hpa.spec
    return replace(shipped, min_replicas=1, down=replace(shipped.down, stabilization_s=0))


def test_idle_replicas_are_not_needed(idle: dict[str, Observed], spec: HpaSpec) -> None:
    assert idle["half"].asked(spec) == 1


def test_the_least_number_is_kept(cluster: Cluster, idle: dict[str, Observed]) -> None:
    assert idle["half"].asked(cluster.hpa.spec) == cluster.hpa.spec.min_replicas == 2


def test_a_saturated_replica_wants_company(loaded: dict[str, Observed]) -> None:
    # ceil(1 / 0.7), by its busy fraction alone.
    assert loaded["queued"].metrics[1].replicas(1, TOLERANCE) == 2


def test_a_queue_wants_a_replica_for_each_target(
    loaded: dict[str, Observed], spec: HpaSpec
) -> None:
    waiting = loaded["queued"].metrics[0].pods.values

    # Of 65 clients one is served, and one more may be between its answer and its next request.
    assert sum(waiting) == pytest.approx(WAITING, abs=2)
    assert loaded["queued"].asked(spec) == WAITING // QUEUE_TARGET_ROWS


def test_load_spread_over_two_replicas_keeps_both(
    loaded: dict[str, Observed], spec: HpaSpec
) -> None:
    # 2 x 0.5 / 0.7 = 1.43: one replica would be busy all the time.
    assert loaded["half"].asked(spec) == 2


def test_two_replicas_almost_full_want_a_third(loaded: dict[str, Observed], spec: HpaSpec) -> None:
    # 2 x 0.9 / 0.7 = 2.6.
    assert loaded["full"].asked(spec) == 3


@pytest.mark.parametrize("name", ["half", "full"])
def test_utilisation_is_what_the_load_was_made_for(loaded: dict[str, Observed], name: str) -> None:
    wanted = DEPLOYMENTS[name].busy

    assert loaded[name].metrics[1].pods.values == pytest.approx([wanted] * 2, abs=SHARE_TOLERANCE)


@pytest.mark.parametrize("name", list(DEPLOYMENTS))
def test_load_keeps_kedas_triggers_active(
    idle: dict[str, Observed], loaded: dict[str, Observed], name: str
) -> None:
    keda = Keda(shipped_scaled_object().scaled)

    assert keda.active(loaded[name].totals)
    assert not keda.active(idle[name].totals), idle[name].totals


@pytest.mark.parametrize("name", list(DEPLOYMENTS))
def test_keda_asks_for_as_many(loaded: dict[str, Observed], name: str, spec: HpaSpec) -> None:
    keda = Keda(replace(shipped_scaled_object().scaled, hpa=spec))
    observed = loaded[name]

    assert keda.decide(0, observed.pods, observed.totals) == observed.asked(spec)


def test_replicas_that_are_not_scraped_yet_hold_growth_back(loaded: dict[str, Observed]) -> None:
    # Of four replicas three have just been started: 64 / 4 is the target, none is added.
    queue = loaded["queued"].metrics[0]
    starting = replace(queue, pods=replace(queue.pods, missing=3))

    assert starting.replicas(4, TOLERANCE) == 4


def test_cpu_does_not_see_that_a_model_with_one_instance_is_full(
    loaded: dict[str, Observed], spec: HpaSpec
) -> None:
    """The counterexample to scaling on CPU: 64 rows wait, and half of the CPU is idle."""
    observed = loaded["queued"]
    cpu = PodsMetric(PodValues(values=[observed.cpu]), UTILIZATION_TARGET)

    assert cpu.replicas(1, TOLERANCE) == 1, observed.cpu
    assert observed.metrics[1].replicas(1, TOLERANCE) == 2
    assert observed.asked(spec) == WAITING // QUEUE_TARGET_ROWS


def test_after_the_burst_replicas_go_one_by_one(
    cluster: Cluster, loaded: dict[str, Observed], recovered: dict[str, Observed]
) -> None:
    hpa, count = Hpa(replace(cluster.hpa.spec, min_replicas=1)), 1
    count = hpa.decide(0, count, loaded["queued"].metrics)
    assert count == 4

    counts = []
    for turn in range(1, 41):
        count = hpa.decide(15.0 * turn, count, recovered["queued"].with_replicas(count))
        counts.append(count)

    # 300 s after the burst is forgotten; then a quarter, at least one, a minute.
    assert counts[:19] == [4] * 19
    assert counts[19::4][:4] == [3, 2, 1, 1]


def test_after_the_burst_nothing_waits(recovered: dict[str, Observed]) -> None:
    assert {name: list(one.totals[:2]) for name, one in recovered.items()} == {
        name: [0.0, 0.0] for name in DEPLOYMENTS
    }
