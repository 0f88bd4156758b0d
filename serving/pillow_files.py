"""Opening strangers' files with Pillow: one decoder at a time, no remark in the log, upright."""

import io
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import ExifTags, Image, ImageFile

DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    OverflowError,
    EOFError,
    AttributeError,
    RuntimeError,
    struct.error,
    zlib.error,
)
"""What Pillow's decoders raise on damaged files (found by fuzzing; it has no common base class)."""

_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF 2.32, section 4.6.4, tag 0x0112: what turns the stored picture upright."""

_ORIENTATION_SOURCES = {"exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp"}

_WARNINGS_LOCK = threading.Lock()
"""``warnings.catch_warnings`` swaps the interpreter's one filter list, so only one at a time.
What runs under the lock is pure Python that the GIL serialises anyway, never a decoder."""


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Pillow's remarks on odd metadata away from the server's log."""
    with _WARNINGS_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def open_file(data: bytes, kind: str) -> ImageFile.ImageFile:
    """Read the header with the one decoder that ``kind`` names. Raises one of ``DAMAGE``."""
    with quiet():
        return Image.open(io.BytesIO(data), formats=(kind,))


def upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation; unreadable EXIF counts as none."""
    if _ORIENTATION_SOURCES.isdisjoint(image.info):
        return image
    try:
        with quiet():
            orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except DAMAGE:
        return image
    method = _TRANSPOSITIONS.get(orientation) if isinstance(orientation, int) else None
    return image if method is None else image.transpose(method)


def reason(error: BaseException) -> str:
    """The decoder's word for the fault, one line, without Pillow's object addresses."""
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return "the header cannot be read" if "cannot identify" in text else text[:200]
