"""Tells an animated GIF or WebP from a still one by its blocks, without decoding anything."""

import struct
from collections.abc import Iterator
from itertools import islice

MAX_BLOCKS = 200_000
"""Looked at: some 20 ms at most. The first frame of a GIF of 32 MiB has 130,000 of 255 bytes."""

_IMAGE, _EXTENSION, _DATA = 0x2C, 0x21, 0
_HAS_COLOURS = 0x80


def is_animated(data: bytes) -> bool:
    """Whether ``data`` is a GIF or WebP file of two or more frames.

    Whatever is neither, or is damaged before its second frame, is not animated.
    """
    if data.startswith((b"GIF87a", b"GIF89a")):
        blocks = islice(_gif_blocks(data), MAX_BLOCKS)
        frames = (kind for kind in blocks if kind == _IMAGE)
    elif data.startswith(b"RIFF") and data.startswith(b"WEBP", 8):
        chunks = islice(_riff_chunks(data), MAX_BLOCKS)
        frames = (kind for kind in chunks if kind == _FRAME)
    else:
        return False
    return len(list(islice(frames, 2))) == 2


def _gif_blocks(data: bytes) -> Iterator[int]:
    """Image descriptors, extensions and their sub-blocks (GIF89a, sections 15 to 26)."""
    try:
        place = 13 + _colours(data[10])
        while data[place] in (_IMAGE, _EXTENSION):
            yield data[place]
            place += 11 + _colours(data[place + 9]) if data[place] == _IMAGE else 2
            while data[place]:
                yield _DATA
                place += 1 + data[place]
            place += 1
    except IndexError:
        return  # the file is cut off


def _colours(flags: int) -> int:
    """Bytes of the colour table behind a descriptor with these ``flags``."""
    return 3 * 2 ** ((flags & 7) + 1) if flags & _HAS_COLOURS else 0


_FRAME = int.from_bytes(b"ANMF", "little")
"""Name of a chunk that holds one frame of an animation (RFC 9649, section 2.7.1.1)."""


def _riff_chunks(data: bytes) -> Iterator[int]:
    """Names of the chunks, as numbers."""
    place = 12
    while place + 8 <= len(data):
        kind, size = struct.unpack_from("<II", data, place)
        yield kind
        place += 8 + size + size % 2
