import os
from pathlib import Path

import pytest

from serving.threads import ThreadPlan, available_cpus, plan_threads


@pytest.fixture
def affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight CPUs, whatever the machine has."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


@pytest.mark.usefixtures("affinity")
@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8),
        ({"cpu.max": "max 100000\n"}, 8),
        ({"cpu.max": "200000 100000\n"}, 2),
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "10000 100000\n"}, 1),
        ({"cpu.max": "1600000 100000\n"}, 8),
        ({"cpu.max": ""}, 8),
        ({"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
        ({"cpu/cpu.cfs_quota_us": "300000"}, 8),
    ],
)
def test_available_cpus_keeps_to_the_containers_quota(
    tmp_path: Path, files: dict[str, str], expected: int
) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    assert available_cpus(tmp_path) == expected


@pytest.mark.parametrize(
    ("threads", "instances", "intra_op", "expected"),
    [
        (4, None, None, (4, 1)),
        (4, 1, None, (1, 4)),
        (4, 2, None, (2, 2)),
        (4, 3, None, (3, 1)),
        (2, 4, None, (4, 1)),
        (4, None, 2, (2, 2)),
        (4, None, 3, (1, 3)),
        (4, None, 8, (1, 8)),
        (4, 3, 2, (3, 2)),
    ],
)
def test_plan_threads_divides_what_there_is(
    threads: int, instances: int | None, intra_op: int | None, expected: tuple[int, int]
) -> None:
    assert plan_threads(threads, instances=instances, intra_op=intra_op) == ThreadPlan(*expected)
