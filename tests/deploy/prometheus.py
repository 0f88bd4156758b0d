"""A real Prometheus on loopback that scrapes given targets as one inside Kubernetes would.

Debian's build has no discovery of Kubernetes, so targets come from a file, with the labels that the
Prometheus operator gives the targets of a ServiceMonitor.
"""

import contextlib
import http.client
import json
import re
import subprocess
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.deploy.tools import require
from tests.patience import TIMEOUT_S

HOST = "127.0.0.1"
POLL_S = 0.05
LISTENING = re.compile(r'msg="Listening on" address=\S+:(\d+)')
Labels = Mapping[str, str]


class QueryError(Exception):
    """Prometheus refused an expression; the text is its own."""


@dataclass(frozen=True)
class Target:
    """What is scraped, and the labels that its samples get."""

    address: str
    """Host and port."""
    pod: str
    job: str = "quartet"
    namespace: str = "default"
    path: str = "/metrics"
    labels: Labels = field(default_factory=dict)
    """More of them, or others than a ServiceMonitor of ``quartet`` gives."""

    def as_file_sd(self) -> dict[str, object]:
        """An entry of a target file."""
        labels = {
            "job": self.job,
            "namespace": self.namespace,
            "pod": self.pod,
            "container": "quartet",
            "endpoint": "metrics",
            "service": f"{self.job}-metrics",
            **self.labels,
            "__metrics_path__": self.path,
        }
        return {"targets": [self.address], "labels": labels}


class Prometheus:
    """A Prometheus process; ``started_prometheus`` makes and ends it."""

    def __init__(self, folder: Path, process: "subprocess.Popen[bytes]") -> None:
        self._folder = folder
        self._process = process
        self._targets: tuple[Target, ...] = ()
        self.port = 0

    @property
    def address(self) -> str:
        """Host and port of its API."""
        return f"{HOST}:{self.port}"

    @property
    def log(self) -> str:
        """What it has said so far."""
        return (self._folder / "log").read_text(errors="replace")

    def scrape(self, targets: Sequence[Target]) -> None:
        """Scrape these from now on and no others, and wait for a scrape of each.

        Raises:
            AssertionError: one of them did not answer.
        """
        self._targets = tuple(targets)
        new = self._folder / "targets.json.new"
        new.write_text(json.dumps([target.as_file_sd() for target in targets]))
        new.replace(self._folder / "targets.json")
        self.wait_scraped()

    def wait_scraped(self) -> None:
        """Wait for a scrape of every target that begins after this call, and was answered."""
        called_s = time.time()
        keys = {(target.job, target.namespace, target.pod) for target in self._targets}

        def scraped() -> bool:
            found = self.query(f"timestamp(up) >= {called_s} and up == 1")
            return keys <= {(one["job"], one["namespace"], one["pod"]) for one, _ in found}

        self.wait(scraped, f"a scrape of {sorted(keys)}")

    def wait_query(self, expression: str, holds: Callable[[float], bool]) -> float:
        """Wait until the only sample of ``expression`` satisfies ``holds``; its value."""
        values: list[float] = []

        def held() -> bool:
            values[:] = [value for _, value in self.query(expression)]
            return len(values) == 1 and holds(values[0])

        self.wait(held, lambda: f"a value of {expression} as wanted; the last were {values}")
        return values[0]

    def value(self, expression: str) -> float:
        """The value of an expression that gives exactly one sample."""
        samples = self.query(expression)
        assert len(samples) == 1, f"expected one sample of {expression}, got {samples}"
        return samples[0][1]

    def query(self, expression: str, at_s: float | None = None) -> list[tuple[Labels, float]]:
        """Every sample of an instant query: its labels and its value.

        Args:
            expression: PromQL that gives a vector or a scalar.
            at_s: Unix time; now if it is None.

        Raises:
            QueryError: it is no valid expression, or gives a range.
        """
        form = {"query": expression} | ({} if at_s is None else {"time": str(at_s)})
        data = self.api("query", form)
        if data["resultType"] == "scalar":
            return [({}, float(data["result"][1]))]
        if data["resultType"] != "vector":
            raise QueryError(f"{expression} gives a {data['resultType']}, expected a vector")
        return [(sample["metric"], float(sample["value"][1])) for sample in data["result"]]

    def api(self, path: str, form: Mapping[str, str] | None = None) -> Any:
        """``data`` of the answer of ``/api/v1/<path>``: a POST of ``form``, or a GET without.

        Raises:
            QueryError: the answer is an error.
        """
        body = None if form is None else urllib.parse.urlencode(form)
        headers = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
        with contextlib.closing(http.client.HTTPConnection(HOST, self.port, timeout=30)) as link:
            link.request("GET" if body is None else "POST", f"/api/v1/{path}", body, headers)
            answer = json.loads(link.getresponse().read())
        if answer["status"] != "success":
            raise QueryError(f"{form or path}: {answer['error']}")
        return answer["data"]

    def wait(self, condition: Callable[[], object], what: str | Callable[[], str]) -> None:
        """Poll until ``condition`` holds. Raises AssertionError with Prometheus' log."""
        end = time.monotonic() + TIMEOUT_S
        while not condition():
            assert self._process.poll() is None, f"Prometheus ended:\n{self.log[-4000:]}"
            if time.monotonic() > end:
                text = what if isinstance(what, str) else what()
                raise AssertionError(f"not within {TIMEOUT_S} s: {text}\n{self.log[-2000:]}")
            time.sleep(POLL_S)

    def wait_ready(self) -> None:
        """Wait until it answers queries, and learn its port."""
        self.wait(lambda: LISTENING.search(self.log), "an open port")
        found = LISTENING.search(self.log)
        assert found is not None
        self.port = int(found[1])
        self.wait(self._ready, "readiness")

    def _ready(self) -> bool:
        with contextlib.closing(http.client.HTTPConnection(HOST, self.port, timeout=30)) as link:
            link.request("GET", "/-/ready")
            return link.getresponse().status == http.client.OK


@contextlib.contextmanager
def started_prometheus(
    folder: Path, targets: Sequence[Target] = (), *, rules: Sequence[Path] = ()
) -> Iterator[Prometheus]:
    """A Prometheus that scrapes ``targets`` every second and evaluates ``rules`` as often.

    Args:
        folder: an empty or new one, for its data, configuration and log.
        targets: scraped at least once before this returns; ``Prometheus.scrape`` changes them.
        rules: rule files as Prometheus reads them (not PrometheusRule objects).

    Skips the test where there is no Prometheus on this machine.
    """
    program = require("prometheus")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "prometheus.yml").write_text(json.dumps(_configuration(folder, rules)))
    (folder / "targets.json").write_text("[]")
    command = [
        program,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={HOST}:0",
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        prometheus = Prometheus(folder, process)
        prometheus.wait_ready()
        if targets:
            prometheus.scrape(targets)
        yield prometheus
    finally:
        process.terminate()
        try:
            process.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _configuration(folder: Path, rules: Sequence[Path]) -> dict[str, object]:
    """JSON is YAML."""
    files = [str(folder / "targets.json")]
    return {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(rule.resolve()) for rule in rules],
        "scrape_configs": [{"job_name": "quartet", "file_sd_configs": [{"files": files}]}],
    }
