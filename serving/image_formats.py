"""Tells picture formats apart by their first bytes: the five that are read, and others by name."""

from typing import Literal

from serving.errors import InvalidInput

EXPECTED = "a PNG, JPEG, WebP, GIF or BMP file"
"""What a client may send, for error messages."""

_SUPPORTED = (
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"\xff\xd8\xff", "JPEG"),
    (8, b"WEBP", "WEBP"),
    (0, b"GIF8", "GIF"),
    (0, b"BM", "BMP"),
)
_RECOGNISED = (
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"II+\0", "BigTIFF"),
    (0, b"8BPS", "Photoshop (PSD)"),
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\0\0\x01\0", "Windows icon (ICO)"),
    (0, b"%PDF-", "PDF"),
    (0, b"qoif", "QOI"),
    (0, b"P5", "PGM"),
    (0, b"P6", "PPM"),
    (0, b"PK\x03\x04", "ZIP"),
    (0, b"\x1f\x8b", "gzip"),
    (0, b"\x93NUMPY", "NumPy"),
    (0, b"\x1a\x45\xdf\xa3", "WebM or Matroska"),
    (8, b"AVI ", "AVI"),
    (0, b"OggS", "Ogg"),
    (0, b"FLV\x01", "Flash video"),
    (0, b"\0\0\x01\xba", "MPEG program stream"),
    (0, b"\0\0\x01\xb3", "MPEG video"),
    (0, b"0&\xb2u\x8ef\xcf\x11", "Windows Media"),
    (188, b"G", "MPEG transport stream"),
)
"""(offset, magic number, name). This table and the next only serve error messages."""

PICTURE_BRANDS = {
    b"avif": "AVIF",
    b"avis": "AVIF",
    b"heic": "HEIC",
    b"heix": "HEIC",
    b"heim": "HEIC",
    b"heis": "HEIC",
    b"hevc": "HEIC",
    b"hevx": "HEIC",
    b"mif1": "HEIF",
    b"msf1": "HEIF",
    b"crx ": "Canon raw (CR3)",
}
"""Brands of pictures in ISO media boxes (ISO/IEC 23008-12, annex B; the AV1 image file format)."""

_MARKUP = ((b"<svg", "SVG"), (b"<!doctype svg", "SVG"), (b"<?xml", "XML or SVG"), (b"<", "HTML"))
"""How text begins, in small letters."""


def sniff_format(
    data: bytes, what: Literal["image", "video"] = "image", expected: str = EXPECTED
) -> str:
    """Name, as Pillow has it, of the supported format that ``data`` begins like.

    Args:
        data: the file.
        what: the client was asked for, for the error.
        expected: the formats it may send, likewise.

    Raises:
        InvalidInput: it begins like none of them; the text names what it is, if that is known.
    """
    if not data:
        raise InvalidInput(f"{what} is empty (0 bytes), expected {expected}")
    for offset, magic, name in _SUPPORTED:
        if data.startswith(magic, offset):
            return name
    if found := _recognise(data):
        raise InvalidInput(f"{what} format {found} is not supported, expected {expected}")
    raise InvalidInput(
        f"not {'an' if what == 'image' else 'a'} {what}: {len(data)} bytes that begin with "
        f"{data[:8]!r}, expected {expected}"
    )


def _recognise(data: bytes) -> str | None:
    """Name of a format that is known but not read."""
    if data[4:8] == b"ftyp":
        return PICTURE_BRANDS.get(data[8:12], "MP4 or MOV (video)")
    text = data[:200].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    table = ((magic, name) for offset, magic, name in _RECOGNISED if data.startswith(magic, offset))
    markup = ((start, name) for start, name in _MARKUP if text.startswith(start))
    return next((name for _, name in (*table, *markup)), None)
