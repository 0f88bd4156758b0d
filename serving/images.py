"""From the bytes of a picture to the array that a graph wants.

Everything here is fed by strangers: sizes are checked from the header before a pixel is decoded,
five formats are read and no other decoder is reachable, and every fault is an InvalidInput or a
PayloadTooLarge whose text says what was wrong and what was expected.
"""

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from quartet.artifact import ImageSpec
from quartet.config import ConfigError
from serving.digits import to_mnist_form
from serving.errors import InvalidInput, PayloadTooLarge
from serving.image_formats import EXPECTED, sniff_format
from serving.ink import WORKING_SIDE
from serving.picture_modes import flatten
from serving.pillow_files import DAMAGE, open_file, reason, upright
from serving.types import Array

_PILLOW_LIMIT = 89_478_485
"""Pixels from which on Pillow itself warns, and later refuses, at unrelated places."""

TINY_BYTES = 4096
TINY_PIXELS = 32 * 32
_PNG_START = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
"""Signature, length and name of the first chunk; width and height follow (PNG, section 11.2.1)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageLimits:
    """What one encoded picture may be. Over it, PayloadTooLarge."""

    max_pixels: int = 64_000_000
    """Width times height, 1..89,478,485. A decoded pixel takes 4 bytes, a few times over."""
    max_bytes: int = 32 * 1024 * 1024
    """Size of the encoded file, bytes, >= 1."""
    max_side: int = 65_535
    """Width or height, pixels, >= 1. The resampling tables grow with it."""

    def __post_init__(self) -> None:
        if not 1 <= self.max_pixels <= _PILLOW_LIMIT:
            raise ConfigError(f"max_pixels must be in 1..{_PILLOW_LIMIT}, got {self.max_pixels}")
        if self.max_bytes < 1 or self.max_side < 1:
            raise ConfigError("max_bytes and max_side must be >= 1")


def decode_image(data: bytes, limits: ImageLimits, spec: ImageSpec | None = None) -> Image.Image:
    """Decode one picture: first frame, upright, without transparency, 8 bits a channel.

    Transparent parts become white, as on paper and in a browser, unless all that is visible is
    light: a drawing in white ink would vanish, so it gets black.

    Args:
        data: the file: PNG, JPEG, WebP, GIF or BMP.
        limits: refused beyond these, before anything is decoded.
        spec: what the picture is for; a large JPEG is then decoded at a half, quarter or eighth
            of its size (never below twice the side wanted), which is many times faster.

    Returns:
        An image of mode ``L`` or ``RGB``.

    Raises:
        InvalidInput: no picture, an unsupported format, or damaged.
        PayloadTooLarge: over ``limits``.
    """
    kind = _checked_format(data, limits)
    try:
        image = open_file(data, kind)
        check_size(image.size, limits)
        if spec is not None:
            side = WORKING_SIDE // 2 if spec.fit == "digit" else 2 * max(spec.height, spec.width)
            image.draft(spec.mode, (side, side))
        image.load()
        return flatten(upright(image))
    except Image.DecompressionBombError as error:
        raise PayloadTooLarge(f"image is too large: {error}") from error
    except MemoryError as error:
        raise PayloadTooLarge(f"image is too large to decode, expected {EXPECTED}") from error
    except DAMAGE as error:
        raise InvalidInput(
            f"image is a damaged or truncated {kind} file ({len(data)} bytes): "
            f"{reason(error)}; expected {EXPECTED}, whole"
        ) from error


def to_array(image: Image.Image, spec: ImageSpec, dtype: npt.DTypeLike) -> Array:
    """Bring a decoded picture to the graph's input form.

    Args:
        image: from ``decode_image``.
        spec: size, layout, channels, fit, and for float inputs scale, mean and std.
        dtype: uint8 (pixels as they are), or a float type (``(pixel * scale - mean) / std``,
            computed in float32).

    Returns:
        One picture in ``spec.layout``, without batch axis, C-contiguous.
    """
    pixels = np.asarray(_fit(image.convert(spec.mode), spec))
    dtype = np.dtype(dtype)
    if dtype != np.uint8:
        pixels = _normalise(pixels, spec).astype(dtype)
    if spec.layout == "HW":
        return np.ascontiguousarray(pixels)
    pixels = pixels.reshape(spec.height, spec.width, -1)
    return np.ascontiguousarray(pixels if spec.layout == "HWC" else pixels.transpose(2, 0, 1))


def is_tiny(data: bytes) -> bool:
    """Whether ``data`` is a PNG of at most 32x32 pixels by its header, and not much longer.

    Handing such a picture to another thread costs more than decoding it.
    """
    if not len(_PNG_START) + 8 <= len(data) <= TINY_BYTES or not data.startswith(_PNG_START):
        return False
    width, height = struct.unpack_from(">II", data, len(_PNG_START))
    return bool(0 < width * height <= TINY_PIXELS)


def _checked_format(data: bytes, limits: ImageLimits) -> str:
    """Name of the supported format that ``data`` begins like, if not too long."""
    if len(data) > limits.max_bytes:
        raise PayloadTooLarge(f"image has {len(data)} bytes, at most {limits.max_bytes} are taken")
    return sniff_format(data)


def check_size(size: tuple[int, int], limits: ImageLimits) -> None:
    """Raise PayloadTooLarge if a picture of (width, height) ``size`` is over ``limits``."""
    width, height = size
    if width * height > limits.max_pixels:
        raise PayloadTooLarge(
            f"image has {width} x {height} = {width * height} pixels, "
            f"at most {limits.max_pixels} are taken"
        )
    if max(size) > limits.max_side:
        raise PayloadTooLarge(
            f"image is {width} x {height}, a side may have at most {limits.max_side} pixels"
        )


def _fit(image: Image.Image, spec: ImageSpec) -> Image.Image | Array:
    """Resize to ``spec.width`` x ``spec.height`` the way ``spec.fit`` says."""
    if spec.fit == "digit":
        return to_mnist_form(np.asarray(image))
    if image.size == (spec.width, spec.height):
        return image
    if spec.fit == "pad":
        return _pad(image, spec)
    box = _centre_box(image.size, spec) if spec.fit == "crop" else (0.0, 0.0, *image.size)
    return _resize(image, (spec.width, spec.height), box)


def _centre_box(size: tuple[int, int], spec: ImageSpec) -> tuple[float, float, float, float]:
    """The largest centred box with the aspect ratio wanted: left, top, right, bottom."""
    scale = min(size[0] / spec.width, size[1] / spec.height)
    left = max(0.0, (size[0] - scale * spec.width) / 2)
    top = max(0.0, (size[1] - scale * spec.height) / 2)
    return left, top, size[0] - left, size[1] - top


def _pad(image: Image.Image, spec: ImageSpec) -> Image.Image:
    scale = min(spec.width / image.width, spec.height / image.height)
    width = min(spec.width, max(1, round(image.width * scale)))
    height = min(spec.height, max(1, round(image.height * scale)))
    padded = Image.new(spec.mode, (spec.width, spec.height))
    resized = _resize(image, (width, height), (0.0, 0.0, *image.size))
    padded.paste(resized, ((spec.width - width) // 2, (spec.height - height) // 2))
    return padded


def _resize(
    image: Image.Image, size: tuple[int, int], box: tuple[float, float, float, float]
) -> Image.Image:
    """Antialiased bilinear, as torchvision evaluates; large pictures are box-reduced first."""
    return image.resize(size, Image.Resampling.BILINEAR, box=box, reducing_gap=2.0)


def _normalise(pixels: Array, spec: ImageSpec) -> npt.NDArray[np.float32]:
    values = pixels.astype(np.float32) * np.float32(spec.scale)
    if spec.mean:
        values -= np.asarray(spec.mean, np.float32)
    if spec.std:
        values /= np.asarray(spec.std, np.float32)
    return values
