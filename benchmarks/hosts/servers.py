"""The same model behind each host, one replica with one engine thread. Linux only."""

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

START_S = 120.0
RAY_CONFIG = Path("deploy/ray/config.yaml")
OTHER_NAME = "other-name"
"""As an InferenceService of KServe may be called."""


@dataclass(frozen=True, slots=True)
class Started:
    """A host that answers."""

    port: int
    pid: int
    """Of the process whose CPU is counted: the server's, or the whole cluster's root."""


@contextlib.contextmanager
def plain(models: Path, model: str) -> Iterator[Started]:
    """``quartet serve`` with a second name for its model, as KServe starts it."""
    port = _free_port()
    flags = ("--model-name", OTHER_NAME, "--models", model, "--threads", "1")
    ports = ("--http-port", str(port), "--grpc-port", "0", "--metrics-port", "0")
    command = [sys.executable, "-m", "quartet", "serve", "--model-dir", str(models)]
    with _process([*command, *flags, *ports, "--host", "127.0.0.1", "--log-level", "error"]) as pid:
        _wait_for(f"http://127.0.0.1:{port}/v2/health/ready")
        yield Started(port, pid)


@contextlib.contextmanager
def ray_serve(
    models: Path, model: str, python: Path, folder: Path, *, haproxy: bool
) -> Iterator[Started]:
    """The example of ``deploy/ray`` on a cluster of this machine alone.

    Its ports are Ray's usual ones; run this in a network namespace of its own.

    Args:
        models: the repository.
        model: of it, the one to serve.
        python: of an environment with Ray and Quartet.
        folder: for its configuration.
        haproxy: let HAProxy route requests to replicas, not Ray's proxy in Python.
    """
    config = yaml.safe_load(RAY_CONFIG.read_text())
    (application,) = config["applications"]
    application["args"]["settings"] = {"model_repository": str(models), "models": [model]}
    deployment = application["deployments"][0]
    deployment |= {"autoscaling_config": None, "num_replicas": 1}
    deployment["ray_actor_options"] = {"num_cpus": 1}
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump(config))
    environment = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": "a token of the benchmark, of no use",
        "PYTHONPATH": str(RAY_CONFIG.parent.resolve()),
        "RAY_SERVE_ENABLE_HA_PROXY": str(int(haproxy)),
    }
    tools, address = python.parent, ("--node-ip-address", "127.0.0.1")
    limits = ("--num-cpus", "2", "--object-store-memory", "80000000", "--disable-usage-stats")
    start = [str(tools / "ray"), "start", "--head", "--block", *address, *limits]
    with _process(start, environment) as pid:
        headers = {"Authorization": f"Bearer {environment['RAY_AUTH_TOKEN']}"}
        _wait_for("http://127.0.0.1:8265/api/version", headers)
        deploy = [str(tools / "serve"), "deploy", str(file)]
        subprocess.run(deploy, env={**os.environ, **environment}, check=True, capture_output=True)
        _wait_for("http://127.0.0.1:8000/v2/health/ready")
        yield Started(8000, pid)


@contextlib.contextmanager
def _process(command: list[str], environment: Mapping[str, str] | None = None) -> Iterator[int]:
    """A child, ended with the block."""
    process = subprocess.Popen(
        command,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait(START_S)


def _wait_for(url: str, headers: Mapping[str, str] | None = None) -> None:
    end = time.monotonic() + START_S
    while True:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, headers=dict(headers or {}))):
                return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
