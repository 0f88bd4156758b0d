"""A Ray cluster of several hosts on one machine: one network and process namespace for each."""

import contextlib
import http.client
import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.namespaces import Namespace, namespaces
from tests.deploy.tools import REPOSITORY_ROOT, require, require_python
from tests.e2e.process import STOP_TIMEOUT_S, ask, wait_until
from tests.patience import TIMEOUT_S

EXAMPLE = REPOSITORY_ROOT / "deploy" / "ray"
TOKEN = "a token of forty characters for the test"
SERVE_PORT, DASHBOARD_PORT, GCS_PORT = 8000, 8265, 6379
START_TIMEOUT_S = 240.0
"""Ray starts a dozen processes a node; on two busy cores that takes a minute."""
SESSIONS = Path("/tmp/ray")
"""Where Ray keeps its sockets and logs; on each host another folder."""
PRIVATE = f'mount --bind "$1" {SESSIONS} && shift && exec "$@"'


class Host:
    """One node: its processes end with it, as those of a machine that loses power do."""

    def __init__(self, where: Namespace, folder: Path, *flags: str) -> None:
        """Start it; ``flags`` of ``ray start``."""
        self.where = where
        SESSIONS.mkdir(exist_ok=True)
        self._sessions = folder / where.address
        self._sessions.mkdir()
        processes = ("--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc")
        ray = (ray_program("ray"), "start", "--block", "--node-ip-address", where.address)
        limits = ("--num-cpus", "2", "--object-store-memory", "80000000")
        with (folder / f"{where.address}.log").open("wb") as log:
            self._process = subprocess.Popen(
                self.command(*ray, *limits, *flags, unshare=processes),
                env=environment(),
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def command(self, *command: str, unshare: Sequence[str] = ()) -> list[str]:
        """``command``, to be run on this host; ``unshare``: what else it has for itself."""
        isolated = (require("unshare"), "--mount", *unshare, require("sh"), "-c", PRIVATE, "host")
        return self.where.command(*isolated, str(self._sessions), *command)

    def kill(self) -> None:
        """End every process of the host at once."""
        self._process.kill()
        self._process.wait(STOP_TIMEOUT_S)

    def clients(self, count: int) -> ThreadPoolExecutor:
        """Threads whose connections begin at this host."""
        return ThreadPoolExecutor(count, initializer=self.where.enter)


class Cluster:
    """Hosts that are joined; the first is the head."""

    def __init__(self, hosts: Sequence[Namespace], folder: Path) -> None:
        """Start all of them."""
        self._folder = folder
        head = hosts[0].address
        self.hosts = [Host(hosts[0], folder, "--head", "--port", str(GCS_PORT), *HEAD_FLAGS)]
        try:
            wait_until(self._head_answers, "Ray's head", START_TIMEOUT_S)
            address = f"{head}:{GCS_PORT}"
            self.hosts += [Host(host, folder, "--address", address) for host in hosts[1:]]
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End every host, the head last."""
        for host in reversed(self.hosts):
            host.kill()

    def deploy(self, settings: Mapping[str, Any], **deployment: Any) -> None:
        """The example's configuration, with ``settings`` and changes of its deployment."""
        config = yaml.safe_load((EXAMPLE / "config.yaml").read_text())
        (application,) = config["applications"]
        application["args"]["settings"] |= settings
        application["deployments"][0] |= deployment
        file = self._folder / "config.yaml"
        file.write_text(yaml.safe_dump(config))
        url = f"http://{self.hosts[0].where.address}:{DASHBOARD_PORT}"
        # The dashboard drops connections until all of its parts have started.
        deploy = (ray_program("serve"), "deploy", str(file), "--address", url)
        wait_until(
            lambda: self._try_on_head(*deploy).returncode == 0, "serve deploy", START_TIMEOUT_S
        )
        wait_until(self._deployed, "the deployment", START_TIMEOUT_S)

    def run_on_head(self, *command: str) -> str:
        """Output of a command on the head, which must succeed."""
        done = self._try_on_head(*command)
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout

    def _try_on_head(self, *command: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self.hosts[0].command(*command),
            env=environment(),
            capture_output=True,
            text=True,
            timeout=START_TIMEOUT_S,
            check=False,
        )

    def _deployed(self) -> bool:
        status = self._ask_dashboard("/api/serve/applications/")
        application = status["applications"].get("quartet", {"status": "NOT_STARTED"})
        assert application["status"] not in ("DEPLOY_FAILED", "UNHEALTHY"), application
        proxies = [proxy["status"] for proxy in status["proxies"].values()]
        return application["status"] == "RUNNING" and proxies == ["HEALTHY"] * len(self.hosts)

    def _head_answers(self) -> bool:
        try:
            return bool(self._ask_dashboard("/api/version"))
        except OSError:
            return False

    def _ask_dashboard(self, path: str) -> Any:
        """What the head's REST API says."""
        with self.hosts[0].clients(1) as clients:
            return clients.submit(self._dashboard, path).result()

    def _dashboard(self, path: str) -> Any:
        address = self.hosts[0].where.address
        connection = http.client.HTTPConnection(address, DASHBOARD_PORT, timeout=TIMEOUT_S)
        with contextlib.closing(connection):
            headers = {"Authorization": f"Bearer {TOKEN}"}
            answer = ask(connection, "GET", path, headers=headers)
            assert answer.status == 200, answer.body
            return answer.json()


HEAD_FLAGS = ("--dashboard-host", "0.0.0.0", "--disable-usage-stats")


@contextlib.contextmanager
def started_cluster(count: int, folder: Path) -> Iterator[Cluster]:
    """``count`` hosts, ended with the block. Skips the test where that cannot be made."""
    require_python("ray")
    with namespaces(count) as hosts:
        cluster = Cluster(hosts, folder)
        try:
            yield cluster
        finally:
            cluster.close()


def ray_program(name: str) -> str:
    """A program of Ray's environment; skips without."""
    return str(Path(require_python("ray")).parent / name)


def environment() -> dict[str, str]:
    """Of every process: Ray's token, where the example is, and proxies that prefer no replica.

    By default a proxy sends requests to other hosts only when its own replicas are full.
    """
    return {
        **{k: v for k, v in os.environ.items() if not k.startswith(("QUARTET_", "RAY_"))},
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": TOKEN,
        "PYTHONPATH": str(EXAMPLE),
        "RAY_SERVE_PROXY_PREFER_LOCAL_NODE_ROUTING": "0",
        "RAY_enable_metrics_collection": "0",
    }


def call(
    address: str, method: str, path: str, document: object = None
) -> tuple[int, Mapping[str, str], bytes]:
    """One request to a proxy of the cluster, on a connection of its own."""
    connection = http.client.HTTPConnection(address, SERVE_PORT, timeout=TIMEOUT_S)
    with contextlib.closing(connection):
        body = None if document is None else json.dumps(document)
        answer = ask(connection, method, path, body)
        return answer.status, answer.headers, answer.body
