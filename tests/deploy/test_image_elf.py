"""Shared libraries are read and trimmed without tools, and still load."""

import importlib.metadata
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.docker.steps import elf

LOAD = "import ctypes, sys; ctypes.CDLL(sys.argv[1])"


@pytest.fixture
def extension(tmp_path: Path) -> Path:
    """A copy of a real extension module, with sections behind its last segment."""
    files = importlib.metadata.files("uvloop") or []
    source = next(Path(str(f.locate())) for f in files if ".so" in f.suffixes)
    return Path(shutil.copy(source, tmp_path))


def loads(library: Path) -> bool:
    command = [sys.executable, "-c", LOAD, str(library)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_needed_lists_the_libraries_that_the_loader_looks_for(extension: Path) -> None:
    assert "libc.so.6" in elf.needed(extension)


def test_trim_saves_what_is_behind_the_last_segment(extension: Path) -> None:
    before, needed = extension.stat().st_size, elf.needed(extension)
    saved = elf.trim(extension)
    assert saved > 0
    assert extension.stat().st_size == before - saved
    assert elf.needed(extension) == needed
    assert loads(extension)


def test_trim_finds_nothing_the_second_time(extension: Path) -> None:
    elf.trim(extension)
    assert elf.trim(extension) == 0


def test_library_that_loses_a_segment_no_longer_loads(extension: Path) -> None:
    """The control of the tests above: the loader does notice."""
    elf.trim(extension)
    content = extension.read_bytes()
    extension.write_bytes(content[: len(content) // 2])
    assert not loads(extension)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no ELF file"),
        (b"PK\x03\x04" + bytes(100), "no ELF file"),
        (elf.MAGIC + b"\x01\x01" + bytes(100), "no 64-bit ELF file"),
        (elf.MAGIC + b"\x02\x01" + bytes(26) + struct.pack("<Q", 1 << 40) + bytes(60), "outside"),
    ],
)
def test_file_that_is_no_library_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "x.so"
    file.write_bytes(content)
    with pytest.raises(elf.ElfError, match=message):
        elf.trim(file)


def test_library_that_is_cut_off_is_refused(extension: Path) -> None:
    extension.write_bytes(extension.read_bytes()[:100_000])
    with pytest.raises(elf.ElfError, match="a segment lies outside the file"):
        elf.trim(extension)
