"""Reads and trims ELF64 files, so that the build needs neither binutils nor a compiler.

Layout after the System V ABI, chapters 4 and 5 (ELF header, program header, dynamic section).
"""

import struct
from dataclasses import dataclass
from pathlib import Path

MAGIC = b"\x7fELF"
_CLASS_64, _LITTLE_ENDIAN = 2, 1
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_PROGRAM = struct.Struct("<IIQQQQQQ")
_DYNAMIC = struct.Struct("<qQ")
_SECTION_TABLE = struct.Struct("<Q")
_SECTION_COUNTS = struct.Struct("<HHH")
_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_NEEDED, _DT_STRTAB, _DT_STRSZ = 1, 5, 10
_E_SHOFF, _E_SHENTSIZE = 40, 58


class ElfError(ValueError):
    """The file is no ELF file of the kind that is read here."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One entry of the program header table; all in bytes."""

    kind: int
    offset: int
    address: int
    size: int


def is_elf(path: Path) -> bool:
    """Whether the file begins as ELF files do."""
    with path.open("rb") as file:
        return file.read(4) == MAGIC


def needed(path: Path) -> list[str]:
    """The libraries that the loader will look for (DT_NEEDED), in order.

    Raises:
        ElfError: it is no ELF64 file of low byte order, or its tables point outside.
    """
    data = path.read_bytes()
    segments = _segments(data, path)
    dynamic = next((s for s in segments if s.kind == _PT_DYNAMIC), None)
    if dynamic is None:
        return []
    entries = list(_DYNAMIC.iter_unpack(_slice(data, dynamic.offset, dynamic.size, path)))
    tags = dict(entries)
    strings = _slice(data, _file_offset(tags[_DT_STRTAB], segments, path), tags[_DT_STRSZ], path)
    return [
        strings[value : strings.index(0, value)].decode()
        for tag, value in entries
        if tag == _DT_NEEDED
    ]


def trim(path: Path) -> int:
    """Cut off what no loader reads: symbols and debug sections behind the last segment.

    The section header table goes with them, as with ``strip --strip-section-headers``. Files whose
    segments reach to their end stay as they are.

    Returns: bytes saved.

    Raises:
        ElfError: as ``needed``.
    """
    data = path.read_bytes()
    table, size, count = _header(data, path)
    end = max([table + size * count, *(s.offset + s.size for s in _segments(data, path))])
    if end >= len(data):
        return 0
    kept = bytearray(data[:end])
    _SECTION_TABLE.pack_into(kept, _E_SHOFF, 0)
    _SECTION_COUNTS.pack_into(kept, _E_SHENTSIZE, 0, 0, 0)
    path.write_bytes(kept)
    return len(data) - end


def _header(data: bytes, path: Path) -> tuple[int, int, int]:
    """Offset, entry size and count of the program header table."""
    if len(data) < _HEADER.size or data[:4] != MAGIC:
        raise ElfError(f"{path} is no ELF file")
    if (data[4], data[5]) != (_CLASS_64, _LITTLE_ENDIAN):
        raise ElfError(f"{path} is no 64-bit ELF file of low byte order")
    fields = _HEADER.unpack_from(data)
    return fields[5], fields[9], fields[10]


def _segments(data: bytes, path: Path) -> list[Segment]:
    table, size, count = _header(data, path)
    if size < _PROGRAM.size or table + size * count > len(data):
        raise ElfError(f"{path}: the program header table lies outside the file")
    found = []
    for index in range(count):
        kind, _, offset, address, _, filesz, _, _ = _PROGRAM.unpack_from(data, table + index * size)
        if kind == _PT_LOAD and offset + filesz > len(data):
            raise ElfError(f"{path}: a segment lies outside the file")
        found.append(Segment(kind, offset, address, filesz))
    return found


def _file_offset(address: int, segments: list[Segment], path: Path) -> int:
    for segment in segments:
        if segment.kind == _PT_LOAD and 0 <= address - segment.address < segment.size:
            return segment.offset + address - segment.address
    raise ElfError(f"{path}: address {address:#x} is in no segment")


def _slice(data: bytes, offset: int, size: int, path: Path) -> bytes:
    if offset + size > len(data):
        raise ElfError(f"{path}: {size} bytes at {offset} lie outside the file")
    return data[offset : offset + size]
