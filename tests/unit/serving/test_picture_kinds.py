"""Every kind of picture file that clients send, and what becomes of it."""

import io
import struct
import zlib
from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image

from quartet.artifact import ImageSpec
from serving.errors import InvalidInput
from serving.images import ImageLimits, decode_image, to_array

LIMITS = ImageLimits()
CAPTIONED = ImageSpec(mode="RGB", layout="CHW", fit="crop", height=32, width=32)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def png(rows: Sequence[object], depth: int, colour_type: int, *, transparent: bytes = b"") -> bytes:
    """A PNG file (section 11.2) of samples [height, width] or [height, width, channels]."""

    def chunk(name: bytes, data: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + crc

    pixels = np.asarray(rows)
    lines = (row.astype(">u2" if depth == 16 else "u1").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", *pixels.shape[1::-1], depth, colour_type, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    data += chunk(b"tRNS", transparent) if transparent else b""
    data += chunk(b"IDAT", zlib.compress(b"".join(b"\0" + line for line in lines)))
    return data + chunk(b"IEND", b"")


def palette_image(values: Sequence[int]) -> Image.Image:
    """Red, green and blue by the numbers 0, 1 and 2."""
    image = Image.new("P", (len(values), 1))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.putdata(values)
    return image


def one_row(values: Sequence[object], mode: str) -> Image.Image:
    return Image.fromarray(np.asarray([values], np.uint8)).convert(mode)


RED, GREEN, BLUE = [255, 0, 0], [0, 255, 0], [0, 0, 255]
HALF = 32_768
KINDS = {
    "grey, 16 bit": (png([[0, 2570, 32896, 65535]], 16, 0), [0, 10, 128, 255]),
    "grey, 16 bit, one grey transparent": (
        png([[0, 2570, 2571]], 16, 0, transparent=struct.pack(">H", 2570)),
        [0, 255, 10],
    ),
    "RGB, 16 bit": (png([[[0, 2570, 32896], [65535, 0, 257]]], 16, 2), [[0, 10, 128], [255, 0, 1]]),
    "grey with alpha, 16 bit": (png([[[0, HALF], [65535, HALF]]], 16, 4), [[127] * 3, [255] * 3]),
    "RGB with alpha, 16 bit": (
        png([[[0, 0, 0, 65535], [0, 0, 0, 0]]], 16, 6),
        [[0, 0, 0], [255, 255, 255]],
    ),
    "RGB, one colour transparent": (
        png([[[1, 2, 3], [9, 9, 9]]], 8, 2, transparent=struct.pack(">HHH", 1, 2, 3)),
        [[255, 255, 255], [9, 9, 9]],
    ),
    "grey with alpha": (encoded(one_row([[0, 0], [10, 255], [0, 128]], "LA")), [255, 10, 127]),
    "RGB with alpha": (
        encoded(one_row([[*RED, 255], [*RED, 128], [0, 0, 9, 0], [0, 0, 9, 255]], "RGBA")),
        [RED, [255, 127, 127], [255] * 3, [0, 0, 9]],
    ),
    "palette": (encoded(palette_image([0, 1, 2])), [RED, GREEN, BLUE]),
    "palette of 2 bits": (encoded(palette_image([2, 1, 0]), bits=2), [BLUE, GREEN, RED]),
    "palette, one colour transparent": (
        encoded(palette_image([0, 1, 2]), transparency=1),
        [RED, [255] * 3, BLUE],
    ),
    "palette with alpha": (
        encoded(palette_image([0, 1, 2]), transparency=bytes([255, 0, 128])),
        [RED, [255] * 3, [127, 127, 255]],
    ),
    "GIF, one colour transparent": (
        encoded(palette_image([0, 1, 2]), "GIF", transparency=1),
        [RED, [255] * 3, BLUE],
    ),
    "black and white": (encoded(one_row([0, 255], "1")), [0, 255]),
    "BMP with a palette": (encoded(palette_image([1, 0]), "BMP"), [GREEN, RED]),
}
"""Kind -> (file, pixels of its only row)."""

LOSSY = {
    "JPEG": (encoded(Image.new("RGB", (16, 16), (200, 40, 90)), "JPEG", quality=95), 3),
    "progressive JPEG": (
        encoded(Image.new("RGB", (16, 16), (200, 40, 90)), "JPEG", progressive=True, quality=95),
        3,
    ),
    "JPEG without reduced colour": (
        encoded(Image.new("RGB", (16, 16), (200, 40, 90)), "JPEG", subsampling=0, quality=95),
        3,
    ),
    "CMYK JPEG, as Adobe writes it": (
        encoded(Image.new("CMYK", (16, 16), (55, 215, 165, 0)), "JPEG", quality=95),
        3,
    ),
    "several pictures in one JPEG, as telephones write it": (
        encoded(
            Image.new("RGB", (16, 16), (200, 40, 90)),
            "MPO",
            save_all=True,
            append_images=[Image.new("RGB", (16, 16))],
            quality=95,
        ),
        3,
    ),
    "WebP": (encoded(Image.new("RGB", (16, 16), (200, 40, 90)), "WEBP", quality=95), 3),
}
"""Kind -> (a file all of (200, 40, 90), levels that its coding may be off)."""


@pytest.mark.parametrize("kind", KINDS)
def test_decode_image_gives_the_pixels_of(kind: str) -> None:
    data, expected = KINDS[kind]
    assert np.asarray(decode_image(data, LIMITS))[0].tolist() == expected


@pytest.mark.parametrize("kind", LOSSY)
def test_decode_image_gives_the_colour_of(kind: str) -> None:
    data, levels = LOSSY[kind]
    pixels = np.asarray(decode_image(data, LIMITS), int)
    assert pixels.shape == (16, 16, 3)
    assert np.abs(pixels - (200, 40, 90)).max() <= levels


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_decode_image_takes_the_first_frame_of_an_animation(kind: str) -> None:
    first, second = Image.new("RGB", (8, 8), (200, 0, 0)), Image.new("RGB", (8, 8), (0, 0, 200))
    data = encoded(first, kind, save_all=True, append_images=[second], duration=100)
    assert np.asarray(decode_image(data, LIMITS))[0, 0].argmax() == 0


def test_decode_image_leaves_the_numbers_as_they_are_when_a_colour_profile_is_given() -> None:
    data = encoded(Image.new("RGB", (2, 2), (200, 40, 90)), icc_profile=b"\0" * 128)
    assert np.asarray(decode_image(data, LIMITS))[0, 0].tolist() == [200, 40, 90]


@pytest.mark.parametrize("size", [(1, 1), (1, 200), (20_000, 100), (1, 60_000)])
def test_a_picture_of_any_shape_comes_to_the_size_wanted(size: tuple[int, int]) -> None:
    image = decode_image(encoded(Image.new("RGB", size, (10, 20, 30))), LIMITS, CAPTIONED)
    array = to_array(image, CAPTIONED, np.uint8)
    assert array.shape == (3, 32, 32)
    assert array.reshape(3, -1).T.tolist() == [[10, 20, 30]] * 1024


@pytest.mark.parametrize(
    ("data", "name"),
    [
        *((b"\0\0\0\x18ftyp" + brand, "HEIC") for brand in (b"heic", b"heix", b"heis", b"hevc")),
        (b"\0\0\0\x18ftypmsf1", "HEIF"),
        (b"\0\0\0\x18ftypavis", "AVIF"),
        (b"\0\0\0\x18ftypcrx ", "Canon raw"),
        (b"\0\0\0\x18ftypisom", "MP4"),
        (b"\x1a\x45\xdf\xa3", "WebM"),
        (b"<svg>", "SVG"),
        (b"\xef\xbb\xbf \n<SVG>", "SVG"),
        (b"<!DOCTYPE svg PUBLIC>", "SVG"),
        (b"<?xml version='1.0'?><svg>", "SVG"),
        (b"<!DOCTYPE html><html>", "HTML"),
    ],
)
def test_decode_image_names_what_it_does_not_read(data: bytes, name: str) -> None:
    with pytest.raises(InvalidInput, match=f"format .*{name}.* is not supported") as caught:
        decode_image(data, LIMITS)
    assert "expected a PNG, JPEG, WebP, GIF or BMP file" in caught.value.message


@pytest.mark.parametrize("part", [0.2, 0.5, 0.95])
def test_decode_image_refuses_a_truncated_progressive_jpeg(part: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    data = encoded(Image.fromarray(noise), "JPEG", progressive=True)
    with pytest.raises(InvalidInput, match="damaged or truncated JPEG"):
        decode_image(data[: int(len(data) * part)], LIMITS)
