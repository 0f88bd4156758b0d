"""Network namespaces: fixed ports that disturb nobody, and several hosts on one machine."""

import contextlib
import ctypes
import os
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.deploy.tools import require, require_namespaces, run

CLONE_NEWNET = 0x40000000
"""Of <sched.h>."""


@dataclass(frozen=True)
class Namespace:
    """One host of its own: loopback, and an address if it is joined with others."""

    name: str
    address: str = "127.0.0.1"

    def command(self, *command: str) -> list[str]:
        """``command``, to be run inside."""
        return [require("ip"), "netns", "exec", self.name, *command]

    def enter(self) -> None:
        """Move the calling thread inside: sockets that it opens from now on belong there.

        The initializer of an executor whose threads are clients inside.
        """
        libc = ctypes.CDLL(None, use_errno=True)
        with open(f"/run/netns/{self.name}") as handle:
            if libc.setns(handle.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")

    def run(self, *command: str, timeout_s: float = 120.0) -> str:
        """Standard output of ``command`` inside, which must succeed."""
        return run(*self.command(*command), timeout_s=timeout_s)


@contextlib.contextmanager
def namespace() -> Iterator[Namespace]:
    """One namespace with nothing but loopback. Skips the test where that cannot be made."""
    with namespaces(1) as (only,):
        yield only


@contextlib.contextmanager
def namespaces(count: int) -> Iterator[Sequence[Namespace]]:
    """``count`` namespaces; several are joined by a bridge, which lives in one of its own.

    Addresses are 10.77.0.1, 10.77.0.2, ... Skips the test where that cannot be made.
    """
    require_namespaces()
    prefix = f"quartet-{os.getpid()}-{uuid.uuid4().hex[:6]}"
    ip = require("ip")
    hosts = [
        Namespace(f"{prefix}-{n}", f"10.77.0.{n}" if count > 1 else "127.0.0.1")
        for n in range(1, count + 1)
    ]
    switch = Namespace(f"{prefix}-switch")
    every = [*hosts, switch] if count > 1 else hosts
    with contextlib.ExitStack() as stack:
        for each in every:
            run(ip, "netns", "add", each.name)
            stack.callback(
                subprocess.run, [ip, "netns", "delete", each.name], check=False, capture_output=True
            )
            each.run(ip, "link", "set", "lo", "up")
        if count > 1:
            _join(ip, hosts, switch)
        yield hosts


def _join(ip: str, hosts: Sequence[Namespace], switch: Namespace) -> None:
    switch.run(ip, "link", "add", "bridge", "type", "bridge")
    switch.run(ip, "link", "set", "bridge", "up")
    for number, host in enumerate(hosts, 1):
        port = f"port{number}"
        host.run(ip, "link", "add", "eth0", "type", "veth", "peer", port, "netns", switch.name)
        switch.run(ip, "link", "set", port, "master", "bridge", "up")
        host.run(ip, "address", "add", f"{host.address}/24", "dev", "eth0")
        host.run(ip, "link", "set", "eth0", "up")
