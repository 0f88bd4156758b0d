"""Tells picture formats apart by their first bytes: the five that are read, and others by name."""

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
    (4, b"ftypavif", "AVIF"),
    (4, b"ftypheic", "HEIC"),
    (4, b"ftypheix", "HEIC"),
    (4, b"ftypmif1", "HEIF"),
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\0\0\x01\0", "Windows icon (ICO)"),
    (0, b"%PDF-", "PDF"),
    (0, b"<svg", "SVG"),
    (0, b"<?xml", "XML or SVG"),
    (0, b"qoif", "QOI"),
    (0, b"P5", "PGM"),
    (0, b"P6", "PPM"),
    (0, b"PK\x03\x04", "ZIP"),
    (0, b"\x1f\x8b", "gzip"),
    (0, b"\x93NUMPY", "NumPy"),
)
"""(offset, magic number, name). The second table only serves error messages."""


def sniff_format(data: bytes) -> str:
    """Name, as Pillow has it, of the supported format that ``data`` begins like.

    Raises:
        InvalidInput: it begins like none of them; the text names what it is, if that is known.
    """
    if not data:
        raise InvalidInput(f"image is empty (0 bytes), expected {EXPECTED}")
    for offset, magic, name in _SUPPORTED:
        if data.startswith(magic, offset):
            return name
    for offset, magic, name in _RECOGNISED:
        if data.startswith(magic, offset):
            raise InvalidInput(f"image format {name} is not supported, expected {EXPECTED}")
    raise InvalidInput(
        f"not an image: {len(data)} bytes that begin with {data[:8]!r}, expected {EXPECTED}"
    )
