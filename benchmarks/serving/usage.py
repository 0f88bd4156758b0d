"""Processor time and memory of processes, from Linux's /proc."""

import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_IDLE_FIELDS = (3, 4)
"""``idle`` and ``iowait`` among the numbers of /proc/stat's first line."""
_CPU_FIELDS = 8
"""user, nice, system, idle, iowait, irq, softirq, steal; the guest fields repeat the first two."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What had been used at one moment; differences of two are what counts. All in seconds."""

    time_s: float
    """Monotonic."""
    own_s: float
    """CPU time of the calling process."""
    server_s: float
    """CPU time of the process that is watched."""
    busy_s: float
    """CPU time of the whole machine, all processors, not idle."""

    def since(self, earlier: "Usage") -> "Usage":
        """The difference."""
        return Usage(
            self.time_s - earlier.time_s,
            self.own_s - earlier.own_s,
            self.server_s - earlier.server_s,
            self.busy_s - earlier.busy_s,
        )

    @property
    def foreign_cores(self) -> float:
        """Cores that neither the caller nor the server used: noise. At least 0."""
        return max(0.0, self.busy_s - self.own_s - self.server_s) / self.time_s


def measure_usage(server_pid: int | None) -> Usage:
    """Usage up to now. ``server_pid`` None watches no other process."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    return Usage(
        time_s=time.monotonic(),
        own_s=own.ru_utime + own.ru_stime,
        server_s=0.0 if server_pid is None else parse_stat(_read(f"/proc/{server_pid}/stat")),
        busy_s=parse_busy(_read("/proc/stat")),
    )


def resident_bytes(pid: int) -> int:
    """Memory of ``pid`` that is resident now."""
    pages = int(_read(f"/proc/{pid}/statm").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def parse_stat(text: str) -> float:
    """User and system seconds of all threads, from the text of /proc/PID/stat."""
    # The process's name, in parentheses, may hold blanks and parentheses itself.
    fields = text.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def parse_busy(text: str) -> float:
    """Seconds that processors were not idle, from the text of /proc/stat."""
    numbers = [int(word) for word in text.split("\n", 1)[0].split()[1 : 1 + _CPU_FIELDS]]
    idle = sum(numbers[field] for field in _IDLE_FIELDS)
    return (sum(numbers) - idle) / _TICKS_PER_S


def _read(path: str) -> str:
    return Path(path).read_text(encoding="ascii", errors="replace")
