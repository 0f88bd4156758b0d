"""The real server in a process of its own, and the plainest client of it."""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.patience import TIMEOUT_S

START_TIMEOUT_S = TIMEOUT_S
STOP_TIMEOUT_S = TIMEOUT_S
POLL_S = 0.01


@dataclass(frozen=True)
class Answer:
    """An HTTP answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The text of an error body, whose form it checks."""
        assert self.headers["content-type"] == "application/json", self.headers
        text = self.json()["error"]
        assert isinstance(text, str)
        assert text
        return text


class LoggedProcess:
    """A program that writes one JSON object a line to its standard error, as the server does."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> None:
        """Start it. ``environment``: its ``QUARTET_*`` variables, of which it has no others."""
        self._process = subprocess.Popen(
            command,
            stderr=subprocess.PIPE,
            env={
                **{k: v for k, v in os.environ.items() if not k.startswith("QUARTET_")},
                **(environment or {}),
            },
        )
        self.lines: list[dict[str, Any]] = []
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def wait_log(self, message: str) -> dict[str, Any]:
        """The first log line whose message begins with ``message``."""
        wait_until(lambda: self._found(message) or not self.running, f"log line {message!r}")
        found = self._found(message)
        assert found is not None, f"the server ended without {message!r}: {self.lines}"
        return found

    @property
    def running(self) -> bool:
        """Whether the process lives, or lines of it are yet unread."""
        return self._process.poll() is None or self._reader.is_alive()

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def wait_exit(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """The exit status, once it has ended by itself."""
        status = self._process.wait(timeout_s)
        self._reader.join(timeout_s)
        return status

    def close(self) -> None:
        """End it, by force if need be."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._reader.join(STOP_TIMEOUT_S)
        if self._process.stderr is not None:
            self._process.stderr.close()

    def _found(self, message: str) -> dict[str, Any] | None:
        return next((x for x in list(self.lines) if x["message"].startswith(message)), None)

    def _read_log(self) -> None:
        assert self._process.stderr is not None
        for raw in self._process.stderr:
            try:
                self.lines.append(json.loads(raw))
            except json.JSONDecodeError:
                self.lines.append({"message": raw.decode(errors="replace").rstrip()})


class ServerProcess(LoggedProcess):
    """``quartet serve`` on free ports; its log lines are kept."""

    def __init__(
        self,
        repository: Path,
        *flags: str,
        environment: Mapping[str, str] | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        """Start it; ``wait_listening`` and ``wait_ready`` follow.

        Args:
            repository: folder of models.
            flags: of ``quartet serve``.
            environment: its ``QUARTET_*`` variables, of which it has no others.
            host: address of loopback that it listens on.
        """
        self.host = host
        command = [sys.executable, "-m", "quartet", "serve", "--model-repository", str(repository)]
        ports = ["--http-port", "0", "--grpc-port", "0", "--metrics-port", "0"]
        super().__init__([*command, "--host", host, *ports, *flags], environment)
        self.http_port = self.grpc_port = self.metrics_port = 0

    @property
    def grpc_address(self) -> str:
        """Host and port of gRPC."""
        return f"{self.host}:{self.grpc_port}"

    @property
    def http_address(self) -> str:
        """Host and port of REST."""
        return f"{self.host}:{self.http_port}"

    def wait_listening(self) -> "ServerProcess":
        """Wait until the ports are open, and learn them."""
        line = self.wait_log("listening")
        self.http_port, self.grpc_port = line["http"], line["grpc"]
        self.metrics_port = line["metrics"]
        return self

    def wait_ready(self) -> "ServerProcess":
        """Wait until the server is ready."""
        self.wait_listening()
        self.wait_log("server is ready")
        return self

    def request(
        self,
        method: str,
        path: str,
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One HTTP request on a connection of its own."""
        with self.connection() as connection:
            return ask(connection, method, path, body, headers)

    def infer_json(self, model: str, document: object, **headers: str) -> Answer:
        """POST ``document`` to the model's infer path."""
        return self.request("POST", f"/v2/models/{model}/infer", json.dumps(document), headers)

    @contextlib.contextmanager
    def connection(self) -> Iterator[http.client.HTTPConnection]:
        """A keep-alive HTTP connection."""
        connection = http.client.HTTPConnection(self.host, self.http_port, timeout=TIMEOUT_S)
        try:
            yield connection
        finally:
            connection.close()

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples called ``name`` that carry ``labels``."""
        samples = self.samples()
        # The parser gives every counter the ending that OpenMetrics wants.
        wanted = (name, f"{name}_total")
        assert any(sample.name in wanted for sample in samples), f"no metric {name!r}"
        return sum(
            sample.value
            for sample in samples
            if sample.name in wanted and labels.items() <= sample.labels.items()
        )

    def samples(self) -> list[Sample]:
        """Every row of ``/metrics``."""
        text = self.request("GET", "/metrics").body.decode()
        return [s for family in text_string_to_metric_families(text) for s in family.samples]


def ask(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes | str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """One request on an open connection."""
    connection.request(method, path, body, dict(headers or {}))
    return receive(connection)


def send_infer(connection: http.client.HTTPConnection, model: str, document: object) -> None:
    """Send an infer request and return at once; ``receive`` reads its answer."""
    connection.request("POST", f"/v2/models/{model}/infer", json.dumps(document))


def receive(connection: http.client.HTTPConnection) -> Answer:
    """Read the answer to the request that was sent last."""
    response = connection.getresponse()
    content = response.read()
    return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, content)


def slow_document(steps: float) -> dict[str, Any]:
    """A request of one row for the model ``slow``."""
    entry = {"name": "steps", "shape": [1, 1], "datatype": "FP32", "data": [steps]}
    return {"inputs": [entry]}


def wait_until(
    condition: Callable[[], object], what: str, timeout_s: float = START_TIMEOUT_S
) -> None:
    """Poll until ``condition`` holds; another process has no event to wait for."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen within {timeout_s} s"
        time.sleep(POLL_S)
