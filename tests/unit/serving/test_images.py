import contextlib
import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops

from quartet.artifact import ImageSpec
from quartet.config import ConfigError
from serving.errors import InvalidInput, PayloadTooLarge
from serving.images import ImageLimits, decode_image, is_tiny, to_array

LIMITS = ImageLimits()


def picture(mode: str = "RGB", size: tuple[int, int] = (24, 16)) -> Image.Image:
    columns, rows = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    channels = np.stack([columns * 9, rows * 13, (columns + rows) * 5], axis=-1) % 256
    return Image.fromarray(channels.astype(np.uint8)).convert(mode)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def png_header_only(width: int, height: int) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + crc

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * 64))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


def rotated_exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def corpus() -> list[bytes]:
    files = [encoded(picture(), kind) for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP")]
    files += [encoded(picture(), kind, exif=rotated_exif(6)) for kind in ("PNG", "JPEG", "WEBP")]
    files += [encoded(picture("CMYK"), "JPEG"), encoded(picture("LA"), "PNG")]
    files += [encoded(picture("P"), "PNG", transparency=bytes(range(256)))]
    frames = [picture("P"), picture("P").rotate(180)]
    files += [encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])]
    return [*files, encoded(picture(), "JPEG", progressive=True)]


@pytest.mark.parametrize("kind", ["PNG", "BMP"])
@pytest.mark.parametrize("mode", ["L", "RGB", "1", "P"])
def test_decode_image_keeps_every_pixel_of_a_lossless_file(kind: str, mode: str) -> None:
    source = picture(mode)
    decoded = decode_image(encoded(source, kind), LIMITS)
    difference = ImageChops.difference(decoded.convert("RGB"), source.convert("RGB"))
    assert difference.getbbox() is None


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "GIF"])
def test_decode_image_reads_a_lossy_file_about_right(kind: str) -> None:
    smooth = Image.linear_gradient("L").resize((64, 64))
    decoded = decode_image(encoded(smooth, kind), LIMITS).convert("L")
    assert np.abs(np.asarray(decoded, int) - np.asarray(smooth, int)).max() < 8


def test_decode_image_takes_the_first_frame_when_animated() -> None:
    first, second = Image.new("L", (8, 8), 200), Image.new("L", (8, 8), 10)
    data = encoded(first, "GIF", save_all=True, append_images=[second])
    assert np.asarray(decode_image(data, LIMITS).convert("L")).min() == 200


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_decode_image_turns_the_picture_upright(kind: str, orientation: int) -> None:
    upright = Image.new("L", (32, 16))
    upright.paste(255, (0, 0, 16, 8))
    stored = {
        1: upright,
        2: upright.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: upright.transpose(Image.Transpose.ROTATE_180),
        4: upright.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: upright.transpose(Image.Transpose.TRANSPOSE),
        6: upright.transpose(Image.Transpose.ROTATE_90),
        7: upright.transpose(Image.Transpose.TRANSVERSE),
        8: upright.transpose(Image.Transpose.ROTATE_270),
    }[orientation]
    data = encoded(stored, kind, exif=rotated_exif(orientation), quality=95)
    decoded = np.asarray(decode_image(data, LIMITS).convert("L"), int)
    assert np.array_equal(decoded > 127, np.asarray(upright) > 127)


def test_decode_image_puts_dark_drawings_on_white_when_transparent() -> None:
    drawing = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    drawing.paste((0, 0, 0, 255), (2, 2, 4, 4))
    decoded = np.asarray(decode_image(encoded(drawing, "PNG"), LIMITS).convert("L"))
    assert (decoded[0, 0], decoded[2, 2]) == (255, 0)


def test_decode_image_puts_light_drawings_on_black_when_transparent() -> None:
    drawing = Image.new("LA", (8, 8), (255, 0))
    drawing.paste((255, 255), (2, 2, 4, 4))
    decoded = np.asarray(decode_image(encoded(drawing, "PNG"), LIMITS).convert("L"))
    assert (decoded[0, 0], decoded[2, 2]) == (0, 255)


def test_decode_image_scales_16_bit_grey_instead_of_clipping() -> None:
    wide = (np.arange(256, dtype=np.uint16) * 257).reshape(16, 16)
    decoded = decode_image(encoded(Image.fromarray(wide), "PNG"), LIMITS)
    assert np.array_equal(np.asarray(decoded), np.arange(256).reshape(16, 16))


def test_decode_image_reads_cmyk_as_its_colours() -> None:
    data = encoded(Image.new("RGB", (16, 16), (200, 40, 90)).convert("CMYK"), "JPEG", quality=95)
    mean = np.asarray(decode_image(data, LIMITS)).mean(axis=(0, 1))
    assert np.abs(mean - (200, 40, 90)).max() < 6


def test_decode_image_decodes_a_large_jpeg_small_when_told_the_purpose() -> None:
    data = encoded(picture(size=(800, 640)), "JPEG")
    decoded = decode_image(data, LIMITS, ImageSpec(height=32, width=32))
    assert decoded.size == (100, 80)


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "0 bytes"),
        (b"seven", "not an image"),
        (b"II*\0" + b"\0" * 20, "TIFF"),
        (b"8BPS\0\1", "PSD"),
        (b"\0\0\0\x18ftypheic", "HEIC"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"\xff\xd8\xff\xe0", "JPEG"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "WEBP"),
    ],
)
def test_decode_image_says_what_was_wrong_and_expected(data: bytes, word: str) -> None:
    with pytest.raises(InvalidInput, match=word) as caught:
        decode_image(data, LIMITS)
    assert "PNG, JPEG, WebP, GIF or BMP" in caught.value.message


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_decode_image_refuses_a_truncated_file(kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    data = encoded(Image.fromarray(noise), kind)
    with pytest.raises(InvalidInput, match="damaged or truncated"):
        decode_image(data[: len(data) // 2], LIMITS)


@pytest.mark.parametrize("size", [(10_000, 10_000), (30_000, 30_000), (2**31 - 1, 2**31 - 1)])
def test_decode_image_refuses_a_bomb_by_its_header(size: tuple[int, int]) -> None:
    with pytest.raises(PayloadTooLarge, match="pixels"):
        decode_image(png_header_only(*size), LIMITS)


def test_decode_image_refuses_a_bomb_before_decoding() -> None:
    # The pixel data is short: decoding would raise InvalidInput, so the order shows.
    with pytest.raises(PayloadTooLarge, match="at most 99 are taken"):
        decode_image(png_header_only(10, 10), ImageLimits(max_pixels=99))


def test_decode_image_refuses_an_absurd_side() -> None:
    with pytest.raises(PayloadTooLarge, match="a side may have at most 65535"):
        decode_image(png_header_only(1, 1_000_000), LIMITS)


def test_decode_image_refuses_a_file_over_max_bytes() -> None:
    with pytest.raises(PayloadTooLarge, match="at most 10 are taken"):
        decode_image(encoded(picture(), "PNG"), ImageLimits(max_bytes=10))


def test_decode_image_lets_no_warning_out_when_exif_is_damaged() -> None:
    exif = b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01\x03\0\xff\0\0\0"
    data = encoded(picture(), "JPEG", exif=exif)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        decode_image(data, LIMITS)
    assert caught == []


@pytest.mark.parametrize("limits", [{"max_pixels": 0}, {"max_pixels": 10**9}, {"max_bytes": 0}])
def test_image_limits_refuses_values_out_of_range(limits: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="max_"):
        ImageLimits(**limits)


CORPUS = corpus()


@settings(max_examples=150, deadline=None)
@given(
    data=st.sampled_from(CORPUS),
    cut=st.floats(0.0, 1.0) | st.just(1.0),
    flips=st.lists(st.tuples(st.floats(0.0, 0.999), st.integers(0, 255)), max_size=8),
)
def test_decode_image_raises_only_client_errors_when_bytes_are_damaged(
    data: bytes, cut: float, flips: list[tuple[float, int]]
) -> None:
    damaged = bytearray(data[: int(len(data) * cut)])
    for position, value in flips:
        if damaged:
            damaged[int(position * len(damaged))] = value
    with contextlib.suppress(InvalidInput, PayloadTooLarge):
        decoded = decode_image(bytes(damaged), ImageLimits(max_pixels=100_000))
        assert decoded.mode in ("L", "RGB")


@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
@pytest.mark.parametrize(
    ("layout", "mode", "shape"),
    [
        ("HW", "L", (5, 9)),
        ("HWC", "L", (5, 9, 1)),
        ("CHW", "L", (1, 5, 9)),
        ("HWC", "RGB", (5, 9, 3)),
        ("CHW", "RGB", (3, 5, 9)),
    ],
)
def test_to_array_has_the_declared_shape(
    fit: str, layout: str, mode: str, shape: tuple[int, ...]
) -> None:
    spec = ImageSpec.model_validate(
        {"layout": layout, "mode": mode, "fit": fit, "height": 5, "width": 9}
    )
    array = to_array(picture(), spec, np.uint8)
    assert array.shape == shape
    assert array.flags.c_contiguous


def test_to_array_keeps_pixels_when_the_size_fits() -> None:
    image = picture("L", (9, 5))
    array = to_array(image, ImageSpec(height=5, width=9), np.uint8)
    assert np.array_equal(array, np.asarray(image))


def test_to_array_cuts_the_centre_when_fit_is_crop() -> None:
    image = Image.new("L", (30, 10), 255)
    image.paste(7, (10, 0, 20, 10))
    array = to_array(image, ImageSpec(height=10, width=10, fit="crop"), np.uint8)
    assert np.array_equal(array, np.full((10, 10), 7))


def test_to_array_adds_black_when_fit_is_pad() -> None:
    array = to_array(
        Image.new("L", (20, 10), 255), ImageSpec(height=8, width=8, fit="pad"), np.uint8
    )
    assert array[2:6].min() == 255
    assert not array[:2].any()
    assert not array[6:].any()


@pytest.mark.parametrize("fit", ["stretch", "crop", "pad", "digit"])
@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1)])
def test_to_array_takes_absurd_aspect_ratios(fit: str, size: tuple[int, int]) -> None:
    spec = ImageSpec.model_validate({"fit": fit, "height": 28, "width": 28})
    assert to_array(Image.new("L", size, 90), spec, np.uint8).shape == (28, 28)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_to_array_normalises_each_channel_when_float(dtype: type[np.floating]) -> None:
    spec = ImageSpec(
        height=2,
        width=2,
        mode="RGB",
        layout="CHW",
        scale=1 / 255,
        mean=(0.0, 0.5, 1.0),
        std=(1.0, 0.5, 2.0),
    )
    array = to_array(Image.new("RGB", (2, 2), (255, 0, 255)), spec, dtype)
    assert array.dtype == dtype
    assert array[:, 0, 0].tolist() == [1.0, -1.0, 0.0]


@pytest.mark.parametrize(
    ("size", "kind", "tiny"),
    [((28, 28), "PNG", True), ((33, 32), "PNG", False), ((28, 28), "JPEG", False)],
)
def test_tiny_is_a_small_png(size: tuple[int, int], kind: str, tiny: bool) -> None:
    stream = io.BytesIO()
    Image.new("L", size).save(stream, kind)
    assert is_tiny(stream.getvalue()) is tiny


def test_tiny_is_no_png_with_a_lying_header_or_a_long_tail() -> None:
    stream = io.BytesIO()
    Image.new("L", (28, 28)).save(stream, "PNG")
    data = stream.getvalue()
    assert not is_tiny(data[:20])
    assert not is_tiny(data[:16] + bytes(8) + data[24:])
    assert not is_tiny(data + bytes(5000))
