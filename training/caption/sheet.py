"""Draws captions below their pictures: a sheet of pictures drawn by lot, and where words look.

The pictures are of the data set and the sheets are not for publishing where its terms forbid it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from training.caption.marks import Mark

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
_SIDE = 220
_COLUMNS = 6
_GAP = 14
_SIZE = 15
_LINE = 19
_LINES = 3
_TITLE = 20
_INK, _GREY = (30, 30, 30), (125, 125, 125)
_COLOURS: dict[Mark | None, tuple[int, int, int]] = {
    "right": (24, 128, 56),
    "nearly right": (190, 120, 0),
    "wrong": (190, 30, 30),
    None: _GREY,
}
_SMALL = 160
_DIM = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetEntry:
    """One picture of the sheet."""

    picture: Pixels
    """[H, W, 3]."""
    caption: str
    reference: str
    """What a person wrote of it."""
    cider_d: float
    """CIDEr-D of the caption against all references of its picture."""
    mark: Mark | None
    """A person's; None: not judged."""


@dataclass(frozen=True, slots=True)
class Looked:
    """A caption with the attention of its words."""

    picture: Pixels
    """[H, W, 3]."""
    words: tuple[str, ...]
    shares: Floats
    """[words, rows, columns], each summing to 1."""


def draw_sheet(entries: Sequence[SheetEntry], title: str, path: Path) -> None:
    """Write a PNG of all entries, ``title`` above."""
    rows = -(-len(entries) // _COLUMNS)
    cell = _SIDE + _GAP, _SIDE + _GAP + _LINE * (2 * _LINES + 1)
    size = _GAP + min(_COLUMNS, len(entries)) * cell[0], _TITLE + 3 * _GAP + rows * cell[1]
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP, _GAP), title, _INK, ImageFont.load_default(_TITLE))
    for place, entry in enumerate(entries):
        row, column = divmod(place, _COLUMNS)
        corner = _GAP + column * cell[0], _TITLE + 3 * _GAP + row * cell[1]
        _draw_entry(sheet, draw, entry, corner)
    sheet.save(path)


def draw_attention(looked: Sequence[Looked], path: Path) -> None:
    """Write a PNG with a row for each caption: the picture, then one panel for each word.

    A panel is bright where the word looks, from its least share, dim, to its greatest.
    """
    columns = 1 + max(len(one.words) for one in looked)
    cell = _SMALL + _GAP, _SMALL + _LINE + _GAP
    size = _GAP + columns * cell[0], _GAP + len(looked) * cell[1]
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(_SIZE)
    for row, one in enumerate(looked):
        photo = Image.fromarray(one.picture).resize((_SMALL, _SMALL), Image.Resampling.BICUBIC)
        panels = [photo, *(_lit(photo, shares) for shares in one.shares)]
        for column, (panel, word) in enumerate(zip(panels, ("", *one.words), strict=True)):
            left, top = _GAP + column * cell[0], _GAP + row * cell[1]
            draw.text((left, top), word, _INK, font)
            sheet.paste(panel, (left, top + _LINE))
    sheet.save(path)


def _draw_entry(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, entry: SheetEntry, corner: tuple[int, int]
) -> None:
    left, top = corner
    photo = Image.fromarray(entry.picture).resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)
    sheet.paste(photo, corner)
    font = ImageFont.load_default(_SIZE)
    top += _SIDE + 4
    judged = f"{entry.mark or 'not judged'}   CIDEr-D {entry.cider_d:.2f}"
    draw.text((left, top), judged, _COLOURS[entry.mark], font)
    lines = [(line, _INK) for line in _wrapped(entry.caption, font)]
    lines += [(line, _GREY) for line in _wrapped(f"person: {entry.reference}", font)]
    for number, (line, ink) in enumerate(lines, start=1):
        draw.text((left, top + number * _LINE), line, ink, font)


def _wrapped(text: str, font: "ImageFont.FreeTypeFont | ImageFont.ImageFont") -> list[str]:
    """``text`` in at most ``_LINES`` lines of a cell's width; three dots where it is cut."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".lstrip()
        if font.getlength(longer) <= _SIDE or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    if len(lines) > _LINES:
        lines = [*lines[: _LINES - 1], f"{lines[_LINES - 1]} ..."]
    return lines


def _lit(photo: Image.Image, shares: Floats) -> Image.Image:
    """``photo`` dimmed by the shares [rows, columns], spread smoothly over it."""
    span = float(shares.max() - shares.min())
    levels = (shares - shares.min()) / span if span > 0 else np.full_like(shares, 0.5)
    cells = Image.fromarray(np.rint(255 * (_DIM + (1 - _DIM) * levels)).astype(np.uint8))
    mask = cells.resize(photo.size, Image.Resampling.BICUBIC)
    return Image.composite(photo, Image.new("RGB", photo.size), mask)
