"""Which CPUs server and load generator run on, and who else uses them."""

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from quartet.kit.errors import KitError

BUSY_FIELDS = (0, 1, 2, 5, 6, 7)
"""user, nice, system, irq, softirq and steal of the first line of /proc/stat; proc(5)."""


@dataclass(frozen=True, slots=True)
class Cpus:
    """Which CPUs the server gets and which are left for the load generator."""

    server: frozenset[int]
    client: frozenset[int]
    """The same as ``server`` where there is only one."""

    @property
    def shared(self) -> bool:
        """Whether both run on the same ones."""
        return bool(self.server & self.client)


def divide_cpus(available: frozenset[int], wanted: int | None) -> Cpus:
    """Give the server ``wanted`` CPUs, or two, but leave one for the client if there are several.

    Raises:
        KitError: there are not so many.
    """
    if wanted is not None and wanted > len(available):
        raise KitError(f"--cpus {wanted}: this process may use {len(available)}")
    count = wanted or max(1, min(2, len(available) - 1))
    ordered = sorted(available)
    server = frozenset(ordered[:count])
    return Cpus(server, available - server or server)


@contextlib.contextmanager
def running_on(cpus: frozenset[int]) -> Iterator[None]:
    """This thread, and the processes that it starts meanwhile, run on ``cpus`` alone."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@dataclass(frozen=True, slots=True)
class ProcessorTime:
    """CPU time used so far, seconds."""

    at_s: float
    """On ``time.perf_counter``."""
    machine_s: float
    """By all processes of the machine."""
    own_s: float
    """By this one."""

    def others_since(self, before: "ProcessorTime", server_s: float) -> float:
        """CPUs that processes other than this one and the server used since, on average."""
        used_s = self.machine_s - before.machine_s
        return max(0.0, used_s - (self.own_s - before.own_s) - server_s) / (self.at_s - before.at_s)


def processor_time() -> ProcessorTime:
    """CPU time used until now."""
    ticks = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    machine_s = sum(int(ticks[field]) for field in BUSY_FIELDS) / os.sysconf("SC_CLK_TCK")
    return ProcessorTime(time.perf_counter(), machine_s, time.process_time())
