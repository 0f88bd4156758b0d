"""Two real servers of shipped models under mixed load, watched by a real Prometheus with the rules.

The load is small: it is there so that every metric moves, not to fill the machine.
"""

import contextlib
import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from quartet.monitoring.rules.build import rule_groups
from quartet.monitoring.rules.objectives import ratio
from quartet.monitoring.rules.thresholds import Thresholds
from tests.deploy.prometheus import Labels, Prometheus, started_prometheus
from tests.deploy.replicas import as_targets, started_replicas
from tests.e2e.fixtures import MODEL_REPOSITORY
from tests.e2e.process import ServerProcess

MODELS = ("mnist", "shakespeare", "dcgan-mnist")
MOVED = (
    'quartet_batch_size_count{model="mnist"}',
    'quartet_generation_symbols_total{kind="written"}',
    "quartet_images_generated_total",
    'quartet_requests_total{outcome="invalid"}',
)
"""Counters that the load raises on each server."""
WINDOW = "30s"
"""What stands for Grafana's ``$__rate_interval`` where a scrape is made every second."""
VARIABLE = re.compile(r"\$(namespace|job|pod|model|version)\b")


@dataclass(frozen=True)
class Monitored:
    """What a test asks, of a moment at which both servers had just been scraped.

    On a machine that is busy with other things a scrape may be late, and every series of its server
    is gone until the next.
    """

    prometheus: Prometheus
    servers: Sequence[ServerProcess]
    at_s: float

    def query(self, expr: str) -> list[tuple[Labels, float]]:
        """Samples of a panel's or a rule's expression at that moment."""
        return self.prometheus.query(substituted(expr), self.at_s)


def substituted(expr: str) -> str:
    """``expr`` of a panel as Grafana sends it with everything chosen."""
    return VARIABLE.sub(".*", expr.replace("$__rate_interval", WINDOW))


def write_quick_rules(path: Path) -> Path:
    """The shipped rules, evaluated every second as the scrapes are."""
    groups = [group.mapping() | {"interval": "1s"} for group in rule_groups(Thresholds())]
    path.write_text(yaml.safe_dump({"groups": groups}))
    return path


@contextlib.contextmanager
def monitored_servers(folder: Path) -> Iterator[Monitored]:
    """Two servers under load and a Prometheus, until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    rules = write_quick_rules(folder / "rules.yaml")
    flags = ("--models", ",".join(MODELS))
    with (
        started_replicas(MODEL_REPOSITORY, 2, *flags) as servers,
        started_prometheus(folder / "prometheus", as_targets(servers), rules=[rules]) as prometheus,
        _mixed_load(servers),
    ):
        yield Monitored(prometheus, servers, _watched_moment(prometheus))


def _watched_moment(prometheus: Prometheus) -> float:
    """A time since when every kind of request has been counted and everything been recorded."""
    for counter in MOVED:
        prometheus.wait_query(
            f"count(sum by (pod) (rate({counter}[{WINDOW}])) > 0)", lambda value: value == 2
        )
    recorded = f'count({ratio("3d")}{{objective="first_symbol"}} >= 0)'
    prometheus.wait_query(recorded, lambda value: value == 1)
    return prometheus.wait_query("time() * (count(up == 1) == bool 2)", lambda value: value > 0)


@contextlib.contextmanager
def _mixed_load(servers: Sequence[ServerProcess]) -> Iterator[None]:
    stop = threading.Event()
    faults: list[BaseException] = []

    def repeat(server: ServerProcess, ask: Callable[[ServerProcess], None]) -> None:
        try:
            while not stop.wait(0.05):
                ask(server)
        except BaseException as error:  # noqa: BLE001  handed to the test's own thread
            faults.append(error)

    threads = [
        threading.Thread(target=repeat, args=(server, ask), daemon=True)
        for server in servers
        for ask in (_classify, _write, _draw, _ask_nonsense)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    if faults:
        raise faults[0]


def _classify(server: ServerProcess) -> None:
    row = {"name": "image", "shape": [4, 28, 28], "datatype": "UINT8", "data": [0] * 4 * 784}
    answer = server.infer_json("mnist", {"inputs": [row]})
    assert answer.status == 200, answer.body


def _write(server: ServerProcess) -> None:
    body = {"model": "shakespeare", "prompt": "What light", "max_tokens": 40, "seed": 1}
    answer = server.request("POST", "/v1/completions", json.dumps(body))
    assert answer.status == 200, answer.body


def _draw(server: ServerProcess) -> None:
    answer = server.request("GET", "/v1/images/dcgan-mnist?n=4&seed=1&format=png")
    assert answer.status == 200, answer.body


def _ask_nonsense(server: ServerProcess) -> None:
    answer = server.infer_json("mnist", {"inputs": []})
    assert answer.status == 400, answer.body
