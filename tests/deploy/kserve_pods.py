"""What KServe starts, without a cluster: the server's container and a client beside it.

A pod is a network namespace and a mount namespace, so that the ports and ``/mnt/models`` are those
of the manifests. The storage initializer's work, a copy of ``storageUri``, is a bind mount.
"""

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.deploy.namespaces import Namespace, namespace
from tests.deploy.tools import REPOSITORY_ROOT, require, require_python
from tests.e2e.process import STOP_TIMEOUT_S, LoggedProcess
from tests.kubernetes_links import service_links

CLIENT = Path(__file__).with_name("kserve_client.py")
MOUNT = """
mount -t tmpfs tmpfs /mnt && mkdir /mnt/models && mount --bind "$1" /mnt/models &&
mount -o remount,bind,ro /mnt/models && shift && exec "$@"
"""


@dataclass(frozen=True)
class Pod:
    """A started container."""

    host: Namespace
    process: LoggedProcess
    ports: Mapping[str, int]
    """By flag: ``http_port``, ``grpc_port``, ``metrics_port``."""
    name: str
    """Of the InferenceService."""

    @contextlib.contextmanager
    def client(self, tensors: Path) -> Iterator["Client"]:
        """KServe's clients, in the same pod."""
        with Client.started(self, tensors) as client:
            yield client


@contextlib.contextmanager
def pod(container: Mapping[str, Any], name: str, models: Path) -> Iterator[Pod]:
    """Start ``container`` of the InferenceService ``name``, with ``models`` at /mnt/models.

    Skips the test where namespaces cannot be made.
    """
    unshare, shell = require("unshare"), require("sh")
    flags = dict(a.removeprefix("--").split("=", 1) for a in container["args"] if "=" in a)
    ports = {flag: int(value) for flag, value in flags.items() if flag.endswith("_port")}
    environment = {
        **{e["name"]: e["value"] for e in container["env"] if "value" in e},
        **service_links(f"{name}-predictor", {"http": 80}),
        **service_links("quartet-metrics", {"http": 80}),
        "INFERENCE_SERVICE_NAME": name,
    }
    with namespace() as host:
        process = LoggedProcess(
            host.command(
                *(unshare, "--mount", "--propagation", "private", shell, "-c", MOUNT, "pod"),
                *(str(models), sys.executable, "-m", "quartet", *container["args"]),
            ),
            environment,
        )
        try:
            process.wait_log("listening")
            yield Pod(host, process, ports, name)
        finally:
            # Its drain takes as long as the manifests say.
            process.signal(signal.SIGKILL)
            process.close()


class Client:
    """The process of ``kserve_client.py``."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    @classmethod
    @contextlib.contextmanager
    def started(cls, of: Pod, tensors: Path) -> Iterator["Client"]:
        """Beside the pod's container; skips where KServe's package is missing."""
        arguments = (
            f"http://127.0.0.1:{of.ports['http_port']}",
            f"127.0.0.1:{of.ports['grpc_port']}",
            of.name,
            str(tensors),
        )
        process = subprocess.Popen(
            of.host.command(require_python("kserve"), str(CLIENT), *arguments),
            cwd=REPOSITORY_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            yield cls(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(STOP_TIMEOUT_S)
            assert process.stdout is not None
            process.stdout.close()

    def ask(self, command: str) -> Any:
        """The answer to one of ``Commands``."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the client ended; its error is above"
        return json.loads(line)
