"""Real load balancers on loopback, configured by the examples of ``deploy/balancers``.

An example names three replicas by ``EXAMPLE_HOSTS``, and takes REST on 8080 and gRPC on 8081. A
test puts its own addresses there, and leaves the rest as users have it but for its ``changes``.
"""

import contextlib
import re
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.deploy.tools import REPOSITORY_ROOT, require
from tests.e2e.process import STOP_TIMEOUT_S, ServerProcess, wait_until
from tests.patience import TIMEOUT_S

EXAMPLES = REPOSITORY_ROOT / "deploy" / "balancers"
EXAMPLE_HOSTS = ("10.0.0.11", "10.0.0.12", "10.0.0.13")
EXAMPLE_PORTS = (8080, 8081)
HOST = "127.0.0.1"
NO_LOG = "access_log off;"
STARTS = 3
"""Tries to start one: somebody else may take a port that was free a moment ago."""
Arguments = Callable[[Path], tuple[str, ...]]
"""Configuration -> arguments of the program."""
Changes = Mapping[str, str]
"""Text of an example -> what stands there in a test."""


@dataclass(frozen=True)
class Kind:
    """One program."""

    program: str
    example: str
    """File below ``deploy/balancers``."""
    listen: str
    """How an example says where it listens, with {port}."""
    listen_on_loopback: str
    serve: Arguments
    """Runs in the foreground."""
    check: Arguments
    """Checks the configuration and ends."""
    here: str = ""
    """Settings that keep in the test's folder what the program writes, in place of its log."""


HAPROXY = Kind(
    program="haproxy",
    example="haproxy.cfg",
    listen="bind :{port}",
    listen_on_loopback="bind 127.0.0.1:{port}",
    serve=lambda path: ("-db", "-f", str(path)),
    check=lambda path: ("-c", "-f", str(path)),
)

NGINX = Kind(
    program="nginx",
    example="nginx.conf",
    listen="listen {port}",
    listen_on_loopback="listen 127.0.0.1:{port}",
    serve=lambda path: (*_nginx_arguments(path), "-g", "daemon off; pid nginx.pid; user root;"),
    check=lambda path: (*_nginx_arguments(path), "-g", "pid nginx.pid;", "-t"),
    here="".join(
        f"{kind}_temp_path {kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    ),
)
ENVOY = Kind(
    program="envoy",
    example="envoy.yaml",
    listen="{{ address: 0.0.0.0, port_value: {port} }}",
    listen_on_loopback="{{ address: 127.0.0.1, port_value: {port} }}",
    serve=lambda path: ("-c", str(path), "--disable-hot-restart", "--concurrency", "1"),
    check=lambda path: ("-c", str(path), "--mode", "validate"),
)


def _nginx_arguments(path: Path) -> tuple[str, ...]:
    """Everything that nginx writes stays in the configuration's folder."""
    return ("-p", str(path.parent), "-e", "stderr", "-c", str(path))


@dataclass(frozen=True)
class Balancer:
    """A running one."""

    http_port: int
    grpc_port: int
    log: Path

    @property
    def http_address(self) -> str:
        """Host and port of REST."""
        return f"{HOST}:{self.http_port}"

    @property
    def grpc_address(self) -> str:
        """Host and port of gRPC."""
        return f"{HOST}:{self.grpc_port}"

    def passes_both(self) -> bool:
        """Whether REST and gRPC reach a replica that is ready."""
        try:
            with urllib.request.urlopen(f"http://{self.http_address}/v2/health/ready", timeout=5):
                pass
            with grpc.insecure_channel(self.grpc_address) as channel:
                stub = health_pb2_grpc.HealthStub(channel)
                answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
        except (urllib.error.URLError, ConnectionError, TimeoutError, grpc.RpcError):
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def checked(kind: Kind, config: Path) -> "subprocess.CompletedProcess[str]":
    """The program's own check of a configuration."""
    return subprocess.run(
        [require(kind.program), *kind.check(config)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def rendered(
    kind: Kind, replicas: Sequence[ServerProcess], ports: tuple[int, int], changes: Changes
) -> str:
    """The example with a test's addresses and changes, each of which must apply."""
    text = kept_in_folder(kind, (EXAMPLES / kind.example).read_text())
    for public, port in zip(EXAMPLE_PORTS, ports, strict=True):
        listen = kind.listen.format(port=public)
        text = replaced(text, listen, kind.listen_on_loopback.format(port=port))
    for old, new in changes.items():
        text = replaced(text, old, new)
    where = dict(zip(EXAMPLE_HOSTS, replicas, strict=True))
    return "".join(_readdressed(line, where) for line in text.splitlines(keepends=True))


def kept_in_folder(kind: Kind, text: str) -> str:
    """An example with settings that keep in its folder what the program writes."""
    return replaced(text, NO_LOG, kind.here) if kind.here else text


def replaced(text: str, old: str, new: str) -> str:
    """``text`` with ``new`` for ``old``, which it must have."""
    assert old in text, f"{old!r} is not there"
    return text.replace(old, new)


def _readdressed(line: str, where: Mapping[str, ServerProcess]) -> str:
    """A line about an example's replica as a line about a test's."""
    for host, replica in where.items():
        if host in line and not line.lstrip().startswith("#"):
            line = re.sub(r"\b8000\b", str(replica.http_port), line.replace(host, HOST))
            line = re.sub(r"\b8001\b", str(replica.grpc_port), line)
    return line


@contextlib.contextmanager
def started_balancer(
    kind: Kind, replicas: Sequence[ServerProcess], folder: Path, changes: Changes | None = None
) -> Iterator[Balancer]:
    """The program before three ready replicas; it takes requests when the block begins.

    Args:
        kind: which program.
        replicas: as many as the example has.
        folder: where its configuration and its log go.
        changes: of the example.
    """
    log = folder / f"{kind.program}.log"
    for _ in range(STARTS):
        ports = free_ports()
        config = folder / kind.example
        config.write_text(rendered(kind, replicas, ports, changes or {}))
        with _process([require(kind.program), *kind.serve(config)], log) as process:
            balancer = Balancer(ports[0], ports[1], log)
            if _comes_up(balancer, process):
                yield balancer
                assert process.poll() is None, f"{kind.program} has ended: {log.read_text()}"
                return
    raise AssertionError(f"{kind.program} does not start: {log.read_text()}")


def _comes_up(balancer: Balancer, process: "subprocess.Popen[bytes]") -> bool:
    """Wait until it passes requests; False if it ends instead."""
    wait_until(lambda: process.poll() is not None or balancer.passes_both(), "a balancer")
    return process.poll() is None


@contextlib.contextmanager
def _process(command: Sequence[str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A process, ended with the block."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=log.parent)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(STOP_TIMEOUT_S)


def free_ports() -> tuple[int, int]:
    """Two ports of loopback that nobody listens on."""
    with socket.socket() as first, socket.socket() as second:
        for bound in (first, second):
            bound.bind((HOST, 0))
        return first.getsockname()[1], second.getsockname()[1]
