"""Real images and containers: a base made from Debian's packages, buildah, podman with runc.

Storage of its own lies outside the repository (``XDG_CACHE_HOME``), so that the base is made once a
machine, layers are built once, and nothing of the user's containers is touched.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.tools import REPOSITORY_ROOT, require, require_root, run

DOCKERFILE = REPOSITORY_ROOT / "deploy" / "docker" / "Dockerfile"
BASE = "localhost/quartet-test-base:bookworm"
PACKAGES = "python3-minimal,python3-pip,python3-venv,ca-certificates"
LEFT_OUT = ("doc", "info", "locale", "man")
"""Folders of /usr/share that small images do without."""
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
PIP_KEYS = ("index-url", "extra-index-url", "cert", "proxy", "timeout", "trusted-host")
BUILD_S = 900.0
LIMITS = ("--ulimit=nofile=20000:20000", "--ulimit=nproc=4096:4096")
"""Podman's own are more than a container in a container may set."""
RESTRICTIONS = (
    "--read-only",
    "--tmpfs=/tmp:size=64m,mode=1777",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--pids-limit=256",
    "--memory=1500m",
    "--cpus=2",
)
"""What the manifests ask for, as flags."""


class Store:
    """Images and containers under one folder."""

    def __init__(self, folder: Path) -> None:
        """Nothing runs before a method is called."""
        self.folder = folder
        self._options = ("--root", str(folder / "storage"), "--runroot", str(folder / "run"))

    def buildah(self, *arguments: str, timeout_s: float = BUILD_S) -> str:
        """Run buildah; its output."""
        return run(require("buildah"), *self._options, *arguments, timeout_s=timeout_s)

    def podman(self, *arguments: str, timeout_s: float = 120.0) -> str:
        """Run podman; its output."""
        return run(*self.podman_command(*arguments), timeout_s=timeout_s)

    def podman_command(self, *arguments: str) -> tuple[str, ...]:
        """For those who want the exit status."""
        return (require("podman"), *self._options, "--runtime", "runc", *arguments)

    def has(self, image: str) -> bool:
        """Whether ``image`` is here."""
        command = self.podman_command("image", "exists", image)
        return subprocess.run(command, check=False).returncode == 0

    def inspect(self, image: str) -> dict[str, Any]:
        """What podman knows of ``image``; ``Size`` is that of its layers unpacked, bytes."""
        found: list[dict[str, Any]] = json.loads(self.podman("image", "inspect", image))
        return found[0]

    @contextmanager
    def files(self, image: str) -> Iterator[Path]:
        """The file system of ``image``, to read."""
        mounted = self.podman("image", "mount", image).strip()
        try:
            yield Path(mounted)
        finally:
            self.podman("image", "unmount", image)


@dataclass(frozen=True, slots=True)
class Container:
    """One that runs."""

    store: Store
    name: str

    def port(self, inside: int) -> int:
        """The port of loopback that leads to ``inside``."""
        return int(self.store.podman("port", self.name, str(inside)).rpartition(":")[2])

    def execute(self, *command: str, user: str = "") -> subprocess.CompletedProcess[str]:
        """Run ``command`` in it."""
        flags = ("--user", user) if user else ()
        return subprocess.run(
            self.store.podman_command("exec", *flags, self.name, *command),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def signal(self, name: str) -> None:
        """Send a signal to its first process."""
        self.store.podman("kill", "--signal", name, self.name)

    def wait(self, timeout_s: float = 60.0) -> int:
        """Its exit status, once it has ended."""
        return int(self.store.podman("wait", self.name, timeout_s=timeout_s))

    def logs(self) -> list[dict[str, Any]]:
        """The lines that the server logged."""
        done = subprocess.run(
            self.store.podman_command("logs", self.name), capture_output=True, text=True, check=True
        )
        lines = [*done.stdout.splitlines(), *done.stderr.splitlines()]
        return [json.loads(line) for line in lines if line.startswith("{")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """What an image is built from."""

    tag: str
    context: Path = REPOSITORY_ROOT
    arguments: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def running(
    store: Store, image: str, *, flags: tuple[str, ...] = (), command: tuple[str, ...] = ()
) -> Iterator[Container]:
    """A container of ``image`` under ``RESTRICTIONS``, its ports published on loopback."""
    published = [f"--publish=127.0.0.1::{port}" for port in (8000, 8001, 8002)]
    arguments = ("--no-healthcheck", *LIMITS, *RESTRICTIONS, *published, *flags)
    name = store.podman("run", "--detach", *arguments, image, *command).strip()
    try:
        yield Container(store, name)
    finally:
        subprocess.run(
            store.podman_command("rm", "--force", "--time", "0", name),
            capture_output=True,
            check=True,
        )


def open_store() -> Store:
    """The store of this machine with the base in it; skips where containers do not run."""
    require_root()
    for tool in ("buildah", "podman", "runc"):
        require(tool)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "quartet-deploy"
    folder.mkdir(parents=True, exist_ok=True)
    store = Store(folder)
    _skip_unless(lambda: store.podman("info", "--format", "{{.Store.GraphDriverName}}"))
    if not store.has(BASE):
        _make_base(store)
    limits = ("--ulimit=nofile=20000:20000", "--ulimit=nproc=4096:4096")
    _skip_unless(
        lambda: store.podman("run", "--rm", "--publish=127.0.0.1::8000", *limits, BASE, "true")
    )
    return store


def build(store: Store, wanted: Build) -> str:
    """Build the project's Dockerfile; what did not change comes from earlier builds.

    Returns: the image's id.
    """
    arguments = {"BASE_IMAGE": BASE, **wanted.arguments}
    with tempfile.NamedTemporaryFile("w", prefix="pip-", suffix=".conf") as pip:
        pip.write(_pip_configuration())
        pip.flush()
        _build(store, wanted, arguments, {Path(pip.name): "/etc/pip.conf"})
    store.podman("image", "prune", "--force", "--filter", "until=24h")
    return str(store.inspect(wanted.tag)["Id"])


def _build(
    store: Store, wanted: Build, arguments: Mapping[str, str], mounts: Mapping[Path, str]
) -> None:
    mounts = {**mounts, CERTIFICATES: str(CERTIFICATES)}
    store.buildah(
        "build",
        # Else runc wants to make namespaces within the build.
        *("--isolation", "chroot", "--network", "host"),
        # HEALTHCHECK is Docker's; OCI's format has none.
        *("--format", "docker", "--layers"),
        *(f"--volume={there}:{here}:ro" for there, here in mounts.items() if there.is_file()),
        *(f"--build-arg={key}={value}" for key, value in arguments.items()),
        *("--file", str(wanted.context / DOCKERFILE.relative_to(REPOSITORY_ROOT))),
        *("--tag", wanted.tag, str(wanted.context)),
    )


def _make_base(store: Store) -> None:
    """A small Debian 12 with Python, in place of an image that a registry would give."""
    rootfs = store.folder / "base.tar"
    excluded = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in LEFT_OUT]
    licences = "--dpkgopt=path-include=/usr/share/doc/*/copyright"
    made = (require("mmdebstrap"), "--quiet", "--variant=minbase", f"--include={PACKAGES}")
    run(*made, *excluded, licences, "bookworm", str(rootfs), timeout_s=BUILD_S)
    store.podman("import", str(rootfs), BASE, timeout_s=BUILD_S)
    rootfs.unlink()


def _pip_configuration() -> str:
    """This machine's way to a package index. It is mounted, so that no image keeps it."""
    listed = run(sys.executable, "-m", "pip", "config", "list")
    settings = {}
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        name = key.rpartition(".")[2]
        text = value.strip("'\"")
        if name in PIP_KEYS and "file:" not in text:
            settings[name] = text
    return "\n".join(["[global]", *(f"{k} = {v}" for k, v in settings.items()), ""])


def _skip_unless(works: Callable[[], object]) -> None:
    try:
        works()
    except (AssertionError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"containers do not run here: {error}")
