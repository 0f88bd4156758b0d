"""How many engine threads this container may really use."""

import math
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ThreadPlan:
    """Threads on this host: ``instances`` batches at once, each on ``intra_op`` threads."""

    instances: int
    intra_op: int


def available_cpus(cgroup_root: Path = Path("/sys/fs/cgroup")) -> int:
    """CPUs of this process: its affinity mask capped by the container's quota, at least 1.

    Reads cgroup v2's ``cpu.max`` and v1's ``cpu.cfs_quota_us``; a fractional quota rounds up.
    """
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cgroup_quota(cgroup_root)
    return max(1, cpus if quota is None else min(cpus, math.ceil(quota)))


def plan_threads(threads: int, *, instances: int | None, intra_op: int | None) -> ThreadPlan:
    """Divide ``threads`` among instances; what is not given is chosen.

    One thread for each instance is the default on CPU: two callers with one thread each beat one
    caller with two on small models (docs/decisions/003).
    """
    if intra_op is None:
        intra_op = 1 if instances is None else max(1, threads // instances)
    if instances is None:
        instances = max(1, threads // intra_op)
    return ThreadPlan(instances=instances, intra_op=intra_op)


def _cgroup_quota(root: Path) -> float | None:
    """CPUs that the control group grants, or None for no limit."""
    v2 = _read_words(root / "cpu.max")
    if len(v2) == 2 and v2[0] != "max":
        return int(v2[0]) / int(v2[1])
    quota = _read_words(root / "cpu" / "cpu.cfs_quota_us")
    period = _read_words(root / "cpu" / "cpu.cfs_period_us")
    if quota and period and int(quota[0]) > 0:
        return int(quota[0]) / int(period[0])
    return None


def _read_words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:  # no such controller: the host sets no limit here
        return []
