import os
from pathlib import Path

import pytest

from serving.memory import memory_limit

HOST = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_the_limit_of_version_2(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("1048576\n")
    assert memory_limit(tmp_path) == 1048576


def test_the_limit_of_version_1(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("2097152\n")
    assert memory_limit(tmp_path) == 2097152


@pytest.mark.parametrize("text", ["max\n", f"{2**63 - 4096}\n"])
def test_without_a_limit_it_is_the_host_s_memory(tmp_path: Path, text: str) -> None:
    (tmp_path / "memory.max").write_text(text)
    assert memory_limit(tmp_path) == HOST
    assert memory_limit(tmp_path / "no such folder") == HOST
