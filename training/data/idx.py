"""Reader of IDX files, plain or gzip-compressed.

Format (LeCun, Cortes, Burges, "The MNIST database", file formats): two zero bytes, one byte of
type, one byte of the number of axes, the axes as big-endian uint32, then the values in C order,
big-endian.
"""

import gzip
import hashlib
import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP_MAGIC = b"\x1f\x8b"


class DataError(ValueError):
    """A data file that is missing, damaged or not what was expected; the text names the file."""


@dataclass(frozen=True, slots=True)
class IdxFile:
    """Content of one IDX file."""

    values: npt.NDArray[np.generic]
    """Array of the file's own shape and type, in native byte order."""
    sha256: str
    """SHA-256 of the uncompressed file, hexadecimal."""


def read_idx(path: Path) -> IdxFile:
    """Read ``path``. Raises DataError naming the file and what it should have held."""
    content = _uncompressed(path)
    return IdxFile(parse_idx(content, str(path)), hashlib.sha256(content).hexdigest())


def parse_idx(content: bytes, name: str) -> npt.NDArray[np.generic]:
    """The array in ``content``; ``name`` is what errors call it."""
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _DTYPES or content[3] == 0:
        raise DataError(
            f"{name}: not an IDX file: expected magic 00 00 <type> <axes>, "
            f"got {content[:4].hex(' ') or 'an empty file'}"
        )
    dtype, axes = np.dtype(_DTYPES[content[2]]), content[3]
    start = 4 + 4 * axes
    if len(content) < start:
        raise DataError(
            f"{name}: truncated: expected a header of {start} bytes, got {len(content)}"
        )
    shape = struct.unpack(f">{axes}I", content[4:start])
    expected = start + math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        fault = "truncated" if len(content) < expected else "too long"
        raise DataError(
            f"{name}: {fault}: shape {list(shape)} wants {expected} bytes, got {len(content)}"
        )
    values = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return values.astype(dtype.newbyteorder("="))


def _uncompressed(path: Path) -> bytes:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    if raw[:2] != _GZIP_MAGIC:
        return raw
    try:
        return gzip.decompress(raw)
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(f"{path}: truncated or damaged gzip file: {error}") from error
