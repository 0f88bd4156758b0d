"""In which form pictures are answered: one of eight formats, in one file or each by itself."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

from quartet.image_generation import ImageGenerationTask
from serving.errors import InvalidInput
from serving.image_types import (
    GivenLatents,
    Interpolation,
    LatentSource,
    Samples,
    SeedList,
)
from serving.picture_files import MAX_FPS, MAX_SIDES, PictureForm, PictureKind, check_quality
from serving.rest.accept import choose_type

FORMATS: Mapping[str, str] = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "apng": "image/apng",
    "json": "application/json",
    "raw": "application/octet-stream",
    "npy": "application/x-npy",
}
"""Value of ``format`` -> media type. The first is for whoever takes anything."""
DEFAULT_FPS = 12.0
MIN_FPS = 0.1

_BY_TYPE = {media_type: name for name, media_type in FORMATS.items()}
_SEPARATE = ("json", "raw", "npy")
"""Formats of pictures one by one, not in one picture file."""
_ALWAYS_MOVE = ("gif", "apng")
_ANIMATIONS = ("webp", *_ALWAYS_MOVE)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a request says about the form of its answer. None leaves it open."""

    format: str | None = None
    """Of ``FORMATS``; None: as the header Accept says."""
    columns: int | None = None
    """Of a sheet."""
    fps: float | None = None
    """Of an animation, frames a second."""
    quality: int | None = None
    """Of JPEG and WebP, 1 to 100."""


@dataclass(frozen=True, slots=True)
class AnswerForm:
    """How an answer is written."""

    format: str
    layout: Literal["sheet", "animation", "separate"]
    columns: int = 1
    """Of a sheet."""
    fps: float = DEFAULT_FPS
    """Of an animation."""
    quality: int | None = None

    @property
    def media_type(self) -> str:
        """Of the answer."""
        return FORMATS[self.format]

    @property
    def picture(self) -> PictureForm:
        """Of the one file that it is."""
        return PictureForm(cast(PictureKind, self.format), self.quality)


def choose_form(wishes: Wishes, accept: str | None, source: LatentSource) -> AnswerForm:
    """The form of an answer.

    Several pictures become a sheet, those of an interpolation a strip: a sheet of one row. GIF and
    APNG show them one after another, and WebP does where they are an interpolation or ``fps`` is
    given; ``grid`` makes a sheet of these, too.

    Args:
        wishes: of the request.
        accept: the header; ``wishes.format`` goes before it.
        source: what pictures there will be.

    Raises:
        NotAcceptable: the client takes none of ``FORMATS``.
        InvalidInput: a wish does not fit the form; the text begins with its name.
    """
    name = wishes.format or _accepted(accept)
    check_quality(name, wishes.quality)
    if wishes.columns is not None and wishes.columns < 1:
        raise InvalidInput(f"grid: expected at least 1 column, got {wishes.columns}")
    if wishes.fps is not None and not MIN_FPS <= wishes.fps <= MAX_FPS:
        raise InvalidInput(
            f"fps: expected {MIN_FPS} to {MAX_FPS} frames a second, got {wishes.fps}"
        )
    if name in _SEPARATE:
        _refuse("grid", wishes.columns, name)
        _refuse("fps", wishes.fps, name)
        return AnswerForm(name, "separate")
    if _moves(name, wishes, source):
        return AnswerForm(name, "animation", fps=wishes.fps or DEFAULT_FPS, quality=wishes.quality)
    if wishes.fps is not None:
        still = "a sheet ('grid')" if name in _ANIMATIONS else name
        raise InvalidInput(
            f"fps: got {wishes.fps} with {still}, expected it with an animation: the format "
            f"{', '.join(_ANIMATIONS)}, without 'grid'"
        )
    columns = wishes.columns or _own_columns(source)
    return AnswerForm(name, "sheet", columns=columns, quality=wishes.quality)


def check_pixels(form: AnswerForm, count: int, task: ImageGenerationTask, max_pixels: int) -> None:
    """Refuse a file that is too large, before its pictures are made.

    Args:
        form: of the answer.
        count: pictures.
        task: their size.
        max_pixels: of the sheet, or of all frames together.

    Raises:
        InvalidInput: it is; the text begins with the name of what would help.
    """
    if form.layout == "separate":
        return
    rows, columns = 1, 1
    if form.layout == "sheet":
        columns = min(form.columns, count)
        rows = -(-count // columns)
    height, width = rows * task.height, columns * task.width
    pictures = rows * columns if form.layout == "sheet" else count
    pixels = pictures * task.height * task.width
    if pixels > max_pixels:
        raise InvalidInput(
            f"{'grid' if form.layout == 'sheet' else 'frames'}: {count} pictures of "
            f"{task.width} x {task.height} make {pixels} pixels in one file, expected at most "
            f"{max_pixels}; take fewer, or the format json, raw or npy"
        )
    side = MAX_SIDES[form.picture.kind]
    if max(height, width) > side:
        raise InvalidInput(
            f"grid: {columns} columns and {rows} rows make {width} x {height} pixels, expected "
            f"sides of at most {side} in {form.format}"
        )


def picture_count(source: LatentSource) -> int:
    """Pictures that ``source`` makes."""
    match source:
        case Samples(_, count):
            return count
        case SeedList(seeds):
            return len(seeds)
        case GivenLatents(z):
            return len(z)
        case Interpolation(_, frames):
            return frames
    return 1


def _accepted(accept: str | None) -> str:
    """Name of the format that the client likes best."""
    kinds = [item.partition(";")[0].strip().lower() for item in (accept or "").split(",")]
    # The weights of a browser that opens an address tell which types are newer, not better.
    if "text/html" in kinds and ("*/*" in kinds or "image/*" in kinds):
        return next(iter(FORMATS))
    return _BY_TYPE[choose_type(accept, tuple(FORMATS.values()))]


def _moves(name: str, wishes: Wishes, source: LatentSource) -> bool:
    if wishes.columns is not None or picture_count(source) == 1:
        return False
    asked = isinstance(source, Interpolation) or wishes.fps is not None
    return name in _ALWAYS_MOVE or (name == "webp" and asked)


def _own_columns(source: LatentSource) -> int:
    """One row for a way; else as near to a square as can be, rather wide than high."""
    count = picture_count(source)
    return count if isinstance(source, Interpolation) else math.isqrt(count - 1) + 1


def _refuse(name: str, value: float | None, format_name: str) -> None:
    if value is not None:
        raise InvalidInput(
            f"{name}: got {value} with the format {format_name}, which has pictures one by one; "
            "expected it with a picture file"
        )
