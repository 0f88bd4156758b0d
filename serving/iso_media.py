"""Looks over the boxes of an MP4 or MOV file before a demuxer does (ISO/IEC 14496-12).

A demuxer builds an entry for every sample that a table declares, and a table can declare four
thousand million of them in a few bytes. It also takes a file that was cut off as a short one.
"""

import struct
from collections.abc import Iterator

from serving.errors import InvalidInput, PayloadTooLarge
from serving.image_formats import PICTURE_BRANDS

_STARTS = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
"""Types of the first box: ``ftyp`` since 2001, the others in QuickTime files."""

_WHOLE = (b"moov", b"moof", b"mdat")
"""Boxes without whose end a file is truncated. Others may be a camera's remarks at the end."""

MAX_SAMPLES = 1_000_000
"""Frames and pieces of sound that a file may declare: 10 minutes have about 100,000."""

_MAX_PCM_SAMPLES = 32 * 1024 * 1024
"""Single samples of uncompressed sound, 10 minutes of 48,000 a second."""


def is_iso_media(data: bytes) -> bool:
    """Whether ``data`` begins like an MP4 or MOV file, and not like a picture."""
    return data[4:8] in _STARTS and not (data[4:8] == b"ftyp" and data[8:12] in PICTURE_BRANDS)


def check_boxes(data: bytes) -> None:
    """Refuse a file that is cut off, or that would take a demuxer much memory.

    Raises:
        InvalidInput: no movie header, an end that is missing, or a compressed movie header.
        PayloadTooLarge: more samples declared than any file within the limits has.
    """
    kinds, samples = set(), 0
    for kind, start, end in _top_level(data):
        kinds.add(kind)
        if end > len(data) and kind in _WHOLE:
            raise InvalidInput(
                f"video is truncated: it has {len(data)} bytes, but its box "
                f"'{kind.decode()}' ends at {end}; expected a whole MP4 file"
            )
        if kind != b"mdat":
            samples += _declared_samples(data, start, min(end, len(data)))
    if b"moov" not in kinds:
        raise InvalidInput(
            "video has no movie header (box 'moov') and may be truncated; expected a whole MP4 file"
        )
    if samples > MAX_SAMPLES:
        raise PayloadTooLarge(f"video declares {samples} samples, at most {MAX_SAMPLES} are taken")


def _top_level(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Type, start and end of every box of the file, by section 4.2; an end may lie beyond."""
    start = 0
    while start + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, start)
        header = 8
        if size == 1 and start + 16 <= len(data):
            (size,), header = struct.unpack_from(">Q", data, start + 8), 16
        end = len(data) if size == 0 else start + size
        if end < start + header:
            # No box; what follows is read by nobody, but looked over nevertheless.
            yield b"", start, len(data)
            return
        yield kind, start, end
        start = end


def _declared_samples(data: bytes, start: int, end: int) -> int:
    """Samples that tables without an entry for each declare, wherever in data[start:end].

    Found by name and not by nesting, which a demuxer may see differently.
    """
    if data.find(b"cmov", start, end) >= 0:
        raise InvalidInput("video has a compressed movie header, expected a plain one")
    samples = 0
    for size, count in _fields(data, b"stsz", (start, end)):
        # Of uncompressed sound, every sample is one; it is indexed by the chunk.
        pcm = size > 0 and size * count <= len(data) and count <= _MAX_PCM_SAMPLES
        samples += 0 if pcm else count
    return samples + sum(count for count, _ in _fields(data, b"trun", (start, end)))


def _fields(data: bytes, name: bytes, within: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """The two numbers after version and flags of every box ``name``."""
    at = data.find(name, *within)
    while 0 <= at <= len(data) - 16:
        yield struct.unpack_from(">II", data, at + 8)
        at = data.find(name, at + 4, within[1])
