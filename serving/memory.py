"""How much memory this container may really use."""

import os
from pathlib import Path

NO_LIMIT = 1 << 60
"""Control groups of version 1 write a number near 2**63 where there is no limit."""


def memory_limit(cgroup_root: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes: the host's memory, or the control group's limit if that is less.

    Reads cgroup v2's ``memory.max`` and v1's ``memory.limit_in_bytes``.
    """
    host = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    files = (cgroup_root / "memory.max", cgroup_root / "memory" / "memory.limit_in_bytes")
    limits = (_read(file) for file in files)
    return min([host, *(limit for limit in limits if limit is not None)])


def _read(file: Path) -> int | None:
    try:
        text = file.read_text().strip()
    except OSError:  # no such controller: the host sets no limit here
        return None
    return int(text) if text.isdecimal() and int(text) < NO_LIMIT else None
