"""Pixels to files: single pictures, sheets and animations. The same pixels give the same bytes.

No file holds a date or anything else but the picture, so bytes change with the pixels and with the
versions of the encoders (``ENCODERS``) alone.
"""

import io
import itertools
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import PIL
from PIL import Image, features

from serving.errors import InvalidInput
from serving.image_types import Pixels

PictureKind = Literal["png", "jpeg", "webp", "gif", "apng", "raw", "npy"]
AnimationKind = Literal["webp", "gif", "apng"]

DEFAULT_QUALITY = 90
"""Of JPEG."""
MAX_QUALITY = 100
MAX_FPS = 50.0
"""GIF counts hundredths of a second, and browsers slow frames of less than two of them down."""
MAX_SIDES: Mapping[PictureKind, int] = {
    "png": 65_535,
    "jpeg": 65_500,
    "webp": 16_383,
    "gif": 65_535,
    "apng": 65_535,
}
"""Longest side of a file, pixels: what its format holds, or the encoder takes."""
LOSSY: tuple[PictureKind, ...] = ("jpeg", "webp")
"""Kinds that know a quality."""

_PAPER = 255
"""What fills the places of a sheet that have no picture."""
_PNG: Mapping[str, Any] = {"compress_level": 1, "compress_type": zlib.Z_RLE}
"""Runs alone, no search for repeats: a 64x64 photo takes 0.5 ms against 0.9 at Pillow's level 6
and 0.6 at level 1, and has 1 % more bytes than at level 6; on sheets of digits it is twice as fast
as level 1, and smaller."""
_LOSSLESS_WEBP: Mapping[str, Any] = {"lossless": True, "quality": 0, "method": 0}
"""Least effort: a quarter fewer bytes than PNG in the same time; method 4 takes 15 times as long
for 8 % less."""


def _encoders() -> str:
    codecs = ("zlib", "zlib_ng", "libjpeg_turbo", "webp")
    return " ".join([f"pillow {PIL.__version__}", *(f"{c} {features.version(c)}" for c in codecs)])


ENCODERS = _encoders()
"""Versions of everything that the bytes of files depend on."""


@dataclass(frozen=True, slots=True)
class PictureForm:
    """How one picture is written."""

    kind: PictureKind = "png"
    quality: int | None = None
    """Of JPEG and WebP, 1 to 100. None: ``DEFAULT_QUALITY``, and WebP without loss."""


def check_quality(kind: str, quality: int | None) -> None:
    """Raise InvalidInput unless ``kind`` can be written at ``quality``; the text begins with it."""
    if quality is None:
        return
    if kind not in LOSSY:
        raise InvalidInput(
            f"quality: got {quality} with the format {kind}, which has none; expected it with "
            f"{' or '.join(LOSSY)}"
        )
    if not 1 <= quality <= MAX_QUALITY:
        raise InvalidInput(f"quality: expected 1 to {MAX_QUALITY}, got {quality}")


def sheet(pixels: Pixels, columns: int) -> Pixels:
    """Lay pictures out row by row; places without a picture are white, and there are no gaps.

    Args:
        pixels: [N, H, W, C], at least one.
        columns: of the sheet, >= 1; with fewer pictures it is as wide as those.

    Returns:
        [rows * H, columns * W, C]; picture i has its corner at
        (i // columns * H, i % columns * W).
    """
    count, height, width, channels = pixels.shape
    columns = min(columns, count)
    rows = -(-count // columns)
    places = np.full((rows * columns, height, width, channels), _PAPER, np.uint8)
    places[:count] = pixels
    grid = places.reshape(rows, columns, height, width, channels).transpose(0, 2, 1, 3, 4)
    return grid.reshape(rows * height, columns * width, channels)


def write_picture(pixels: Pixels, form: PictureForm) -> bytes:
    """One still picture [H, W, 1 or 3] as a file.

    Raises:
        InvalidInput: a side is longer than ``MAX_SIDES``.
    """
    if form.kind == "raw":
        return pixels.tobytes()
    if form.kind == "npy":
        return write_npy(pixels)
    _check_sides(pixels.shape[:2], form.kind)
    return _save([_image(pixels, form.kind)], form.kind, _options(form))


def write_animation(frames: Pixels, form: PictureForm, *, fps: float, loop: int = 0) -> bytes:
    """Pictures one after another as a GIF, WebP or APNG file.

    Equal neighbours may become one frame that is shown longer.

    Args:
        frames: [N, H, W, 1 or 3], at least one.
        form: of kind gif, webp or apng.
        fps: frames a second, > 0, at most ``MAX_FPS``. Times are rounded so that they do not drift:
            to 10 ms in a GIF, else to 1 ms.
        loop: times that it plays, 0 for ever.

    Raises:
        InvalidInput: a side is longer than ``MAX_SIDES``.
    """
    _check_sides(frames.shape[1:3], form.kind)
    tick_ms = 10 if form.kind == "gif" else 1
    ends = [round(1000 * number / fps / tick_ms) * tick_ms for number in range(len(frames) + 1)]
    duration = [end - begin for begin, end in itertools.pairwise(ends)]
    images = [_image(frame, form.kind) for frame in frames]
    options: dict[str, Any] = {
        **_options(form),
        "save_all": True,
        "append_images": images[1:],
        "duration": duration,
        "loop": loop,
    }
    return _save(images, form.kind, options)


def write_npy(array: npt.NDArray[Any]) -> bytes:
    """NumPy's own file format (NEP 1)."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _image(pixels: Pixels, kind: PictureKind) -> Image.Image:
    if pixels.shape[2] == 1:
        return Image.fromarray(pixels[:, :, 0])
    image = Image.fromarray(pixels)
    # Pillow's own choice for GIF, median cut, takes 7 ms for 64x64 and holds the interpreter lock
    # meanwhile; octrees take 0.3 ms and put colours off by 2.9 levels on average instead of 1.8.
    return image.quantize(method=Image.Quantize.FASTOCTREE) if kind == "gif" else image


def _options(form: PictureForm) -> dict[str, Any]:
    match form.kind:
        case "png" | "apng":
            return dict(_PNG)
        case "jpeg":
            # Colours at half the resolution would smear in pictures as small as these.
            return {"quality": form.quality or DEFAULT_QUALITY, "subsampling": 0}
        case "webp":
            return {"quality": form.quality} if form.quality else dict(_LOSSLESS_WEBP)
    return {}


def _save(images: list[Image.Image], kind: PictureKind, options: Mapping[str, Any]) -> bytes:
    buffer = io.BytesIO()
    images[0].save(buffer, "png" if kind == "apng" else kind, **options)
    return buffer.getvalue()


def _check_sides(size: tuple[int, ...], kind: PictureKind) -> None:
    if max(size) > MAX_SIDES[kind]:
        height, width = size
        raise InvalidInput(
            f"format: a picture of {width} x {height} pixels is too large for {kind}, whose sides "
            f"have at most {MAX_SIDES[kind]}; take fewer columns, fewer pictures or another format"
        )
