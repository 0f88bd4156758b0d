"""Starts the processes under test and the ones that measure, and ends them."""

import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

HOST = "127.0.0.1"
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
POLL_S = 0.005

ModelT = TypeVar("ModelT", bound=BaseModel)
ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A server process that is ready."""

    pid: int
    http_port: int
    grpc_port: int = 0
    ready_s: float
    """From the start of the process to its first 200 when asked whether it is ready."""


@contextmanager
def quartet_server(repository: Path, log: Path, extra: Sequence[str] = ()) -> Iterator[Running]:
    """``quartet serve`` on free ports with ``extra`` flags; its log goes to the file ``log``.

    Raises:
        RuntimeError: it ended or was not ready in time; the text holds the end of its log.
    """
    command = [sys.executable, "-m", "quartet", "serve", "--model-repository", str(repository)]
    ports = ["--host", HOST, "--http-port", "0", "--grpc-port", "0", "--metrics-port", "0"]
    started = time.monotonic()
    with _process([*command, *ports, *extra], log) as process:
        listening = _wait(process, log, lambda: listening_ports(log.read_text()))
        http_port = listening["http"]
        _wait(process, log, lambda: _answers_200(http_port, "/v2/health/ready"))
        yield Running(
            pid=process.pid,
            http_port=http_port,
            grpc_port=listening["grpc"],
            ready_s=time.monotonic() - started,
        )


def plain_server(network: Path, threads: int, log: Path) -> AbstractContextManager[Running]:
    """The plain FastAPI application. Raises RuntimeError if it does not start."""
    module = "benchmarks.serving.plain_fastapi"
    return started_server(module, lambda port: [str(network), str(port), str(threads)], log)


@contextmanager
def started_server(
    module: str, arguments: Callable[[int], Sequence[str]], log: Path
) -> Iterator[Running]:
    """``python -m module`` with what ``arguments`` makes of a free port, once /health answers.

    Raises:
        RuntimeError: it ended or did not answer in time; the text holds the end of its log.
    """
    port = _free_port()
    started = time.monotonic()
    with _process([sys.executable, "-m", module, *arguments(port)], log) as process:
        _wait(process, log, lambda: _answers_200(port, "/health"))
        yield Running(pid=process.pid, http_port=port, ready_s=time.monotonic() - started)


def call(module: str, spec: BaseModel, answer: type[ModelT], timeout_s: float) -> ModelT:
    """Run ``python -m module`` with ``spec`` as its input and read its output.

    Raises:
        RuntimeError: it failed; the text holds its error output.
    """
    done = subprocess.run(
        [sys.executable, "-m", module],
        input=spec.model_dump_json().encode(),
        capture_output=True,
        timeout=timeout_s,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{module} failed on {spec!r}:\n{done.stderr.decode()[-2000:]}")
    return answer.model_validate_json(done.stdout)


def get(port: int, path: str) -> tuple[int, bytes]:
    """Status and body of a GET. Raises OSError."""
    connection = http.client.HTTPConnection(HOST, port, timeout=10)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def listening_ports(log: str) -> dict[str, int] | None:
    """The ports in the server's JSON log, or None as long as it has not said them."""
    for line in log.splitlines(keepends=True):
        if line.endswith("\n") and line.startswith("{"):
            entry = json.loads(line)
            if entry.get("message") == "listening":
                return {key: int(entry[key]) for key in ("http", "grpc", "metrics")}
    return None


@contextmanager
def _process(command: Sequence[str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(
    process: "subprocess.Popen[bytes]", log: Path, found: Callable[[], ResultT | None]
) -> ResultT:
    """Ask ``found`` until it says something other than None or False."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        if result := found():
            return result
        time.sleep(POLL_S)
    state = f"not ready within {START_TIMEOUT_S} s" if process.poll() is None else "ended"
    raise RuntimeError(f"the server {state}; its log ends with:\n{log.read_text()[-2000:]}")


def _answers_200(port: int, path: str) -> bool:
    try:
        return get(port, path)[0] == http.client.OK
    except OSError:  # it does not listen yet
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
