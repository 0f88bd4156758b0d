"""Draws where a captioner looked: the picture once for each word, bright where its attention is.

After Xu et al. 2015, "Show, Attend and Tell", figures 2 to 5. The weights of a word are spread from
the grid's cells over the part of the picture that the model saw, smoothly, and scaled word by word.
"""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter, ImageFont

from quartet.artifact import ImageSpec
from serving.caption_types import Caption, Floats, Pixels, Word
from serving.digits import to_mnist_form
from serving.errors import InvalidInput

MAX_WORDS = 59
"""Words that are drawn; with the plain picture they fill 12 rows. Those behind are counted."""
COLUMNS = 5
PANEL_SIDE = 240
"""The longer side of the picture in one panel, pixels."""
_LABEL_ROOM = 120
"""A panel is at least as wide, pixels, however narrow its picture: its word must fit."""
_GAP = 12
_LABEL_SIZE = 19
_LABEL_HEIGHT = 28
_TITLE_SIZE = 24
_TITLE_HEIGHT = 34
_MAX_TITLE_LINES = 6
_INK = (32, 32, 32)
_PALE_INK = (120, 120, 120)
_WARM = (255, 120, 0)
"""What is shone on the places of attention."""
_DIM = 0.42
"""Brightness of the picture where there is no attention."""
_GLOW = 0.45
"""Strength of the warm light, 0 to 1."""

Size = tuple[int, int]


def draw_attention(image: Image.Image, caption: Caption, spec: ImageSpec) -> bytes:
    """Draw ``caption`` with the attention of its words.

    The whole caption stands on top; below come the plain picture and then one panel a word, row by
    row. A word's panel runs from its least weight, dim, to its greatest, bright and warm; where all
    weights are much alike it is drawn pale, not stretched to full contrast. What the model never
    saw (``spec.fit`` crop) is dim; weights beside the picture (pad) are not shown.

    Args:
        image: the decoded picture, any size, mode L or RGB.
        caption: with attention for every word; words beyond ``MAX_WORDS`` are counted alone.
        spec: how the picture became the encoder's input, which the grid covers.

    Returns:
        A PNG file of mode RGB, at most 1272 pixels wide and 3604 high.

    Raises:
        InvalidInput: a word has no attention.
    """
    maps = [_attention_of(word) for word in caption.words[:MAX_WORDS]]
    if spec.fit == "digit":
        image = Image.fromarray(to_mnist_form(np.asarray(image.convert("L"))))
    photo = _sized(image.convert("RGB"))
    grey = ImageEnhance.Color(photo).enhance(0.25)
    dim = ImageEnhance.Brightness(grey).enhance(_DIM)
    box = _seen(photo.size, spec)
    panels = [photo]
    panels += [_lit(photo, dim, _spread(weights, box, photo.size)) for weights in maps]
    left_out = len(caption.words) - len(maps)
    labels = ["", *(word.text for word in caption.words[:MAX_WORDS])]
    note = f"and {left_out} more words" if left_out else ""
    buffer = io.BytesIO()
    _tiled(caption.text, panels, labels, note).save(buffer, "PNG")
    return buffer.getvalue()


def _attention_of(word: Word) -> Floats:
    if word.attention is None:
        raise InvalidInput(
            f"attention: none is known for the word {word.text!r}; the model has no attention, so "
            "there is nothing to draw"
        )
    return word.attention


def _sized(image: Image.Image) -> Image.Image:
    """``image``, enlarged or reduced so that its longer side is ``PANEL_SIDE``."""
    scale = PANEL_SIDE / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3.0)


def _seen(size: Size, spec: ImageSpec) -> tuple[int, int, int, int]:
    """Left, top, width, height of what the encoder's input shows, in pixels of the panel.

    With fit ``pad`` it is larger than the picture, with ``crop`` smaller.
    """
    if spec.fit not in ("crop", "pad"):
        return 0, 0, *size
    ratios = size[0] / spec.width, size[1] / spec.height
    scale = min(ratios) if spec.fit == "crop" else max(ratios)
    width, height = max(1, round(scale * spec.width)), max(1, round(scale * spec.height))
    return (size[0] - width) // 2, (size[1] - height) // 2, width, height


def _spread(weights: Floats, box: tuple[int, int, int, int], size: Size) -> Image.Image:
    """The [rows, columns] ``weights`` as a mask (mode L) of ``size``, 0 outside of ``box``."""
    left, top, width, height = box
    cells = Image.fromarray(_levels(weights))
    # Cubic interpolation alone leaves creases along the cells' axes.
    radius = 0.35 * min(width / cells.width, height / cells.height)
    smooth = cells.resize((width, height), Image.Resampling.BICUBIC)
    smooth = smooth.filter(ImageFilter.GaussianBlur(radius))
    # It also lowers the peak of a single cell, which is restored.
    gain = int(np.asarray(cells).max()) / max(1, int(np.asarray(smooth).max()))
    mask = Image.new("L", size)
    mask.paste(smooth.point([min(255, round(gain * value)) for value in range(256)]), (left, top))
    return mask


def _levels(weights: Floats) -> Pixels:
    """``weights`` as 0..255, from the least to the greatest; near the middle if all are alike."""
    least, greatest = float(weights.min()), float(weights.max())
    if greatest <= least:
        return np.full(weights.shape, 128, np.uint8)
    contrast = min(1.0, 2 * (greatest - least) / greatest)
    shares = 0.5 + contrast * ((weights - least) / (greatest - least) - 0.5)
    levels: Pixels = np.rint(shares * 255).astype(np.uint8)
    return levels


def _lit(photo: Image.Image, dim: Image.Image, mask: Image.Image) -> Image.Image:
    """``photo`` where ``mask`` is white, in warm light; ``dim`` where it is black."""
    glow = Image.composite(
        Image.new("RGB", photo.size, _WARM), Image.new("RGB", photo.size), mask.point(_glow_table())
    )
    return ImageChops.screen(Image.composite(photo, dim, mask), glow)


def _glow_table() -> list[int]:
    """Strength of the light by mask value; its square, so that it stays near the peak."""
    return [round(_GLOW * value * value / 255) for value in range(256)]


def _tiled(
    title: str, panels: Sequence[Image.Image], labels: Sequence[str], note: str
) -> Image.Image:
    """All panels in rows, ``title`` above, ``note`` below."""
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    cell = max(panels[0].width, _LABEL_ROOM) + _GAP, panels[0].height + _LABEL_HEIGHT + _GAP
    width = max(columns * cell[0], 2 * PANEL_SIDE) + _GAP
    title_font, font = _font(_TITLE_SIZE), _font(_LABEL_SIZE)
    lines = _wrapped(title, title_font, width - 2 * _GAP)
    head = _GAP + _TITLE_HEIGHT * len(lines)
    foot = _LABEL_HEIGHT if note else 0
    sheet = Image.new("RGB", (width, head + rows * cell[1] + foot), "white")
    draw = ImageDraw.Draw(sheet)
    for number, line in enumerate(lines):
        draw.text((_GAP, _GAP + number * _TITLE_HEIGHT), line, _INK, title_font)
    for place, (panel, label) in enumerate(zip(panels, labels, strict=True)):
        left, top = _GAP + place % columns * cell[0], head + place // columns * cell[1]
        text = _shortened(label, font, cell[0] - _GAP)
        draw.text((left, top + _LABEL_HEIGHT - 6), text, _INK, font, anchor="ls")
        sheet.paste(panel, (left, top + _LABEL_HEIGHT))
    draw.text((_GAP, sheet.height - _LABEL_HEIGHT), note, _PALE_INK, font)
    return sheet


Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def _font(size: int) -> Font:
    """The font that is part of Pillow."""
    return ImageFont.load_default(size)


def _wrapped(text: str, font: Font, width: int) -> list[str]:
    """``text`` in lines of at most ``width`` pixels; if they are too many, the last is cut."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".lstrip()
        if not lines[-1] or font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    if len(lines) > _MAX_TITLE_LINES:
        lines[_MAX_TITLE_LINES - 1 :] = [" ".join(lines[_MAX_TITLE_LINES - 1 :])]
    return [_shortened(line, font, width) for line in lines if line]


def _shortened(text: str, font: Font, width: int) -> str:
    """``text``, or its beginning and three dots, at most ``width`` pixels long."""
    if font.getlength(text) <= width:
        return text
    kept = text[:width]  # no letter is narrower than a pixel
    while kept and font.getlength(kept + "...") > width:
        kept = kept[:-1]
    return kept + "..."
