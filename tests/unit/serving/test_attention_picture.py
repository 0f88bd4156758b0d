"""The picture of a caption's attention: where it is bright, what it covers, how large it is."""

import io
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from quartet.artifact import ImageSpec
from serving.attention_picture import COLUMNS, MAX_WORDS, PANEL_SIDE, draw_attention
from serving.caption_types import Caption, Word
from serving.errors import InvalidInput
from serving.generation_types import FinishReason

GAP = 12
LABEL = 28
HEAD = GAP + 34
"""Height of a title of one line."""

Brightness = npt.NDArray[np.float64]


def peak(row: int, column: int, size: tuple[int, int] = (4, 4)) -> npt.NDArray[np.float32]:
    weights = np.full(size, 0.01, np.float32)
    weights[row, column] = 1
    weights /= weights.sum()
    return weights


def caption_with(*maps: Any) -> Caption:
    words = tuple(Word(f"w{place}", -1.0, weights) for place, weights in enumerate(maps))
    return Caption(
        text=" ".join(word.text for word in words),
        words=words,
        log_probability=-3.0,
        finish_reason=FinishReason.STOP,
    )


def spec_with(fit: str = "stretch", height: int = 64, width: int = 64) -> ImageSpec:
    return ImageSpec.model_validate({"height": height, "width": width, "mode": "RGB", "fit": fit})


def drawn(image: Image.Image, caption: Caption, spec: ImageSpec | None = None) -> Image.Image:
    png = draw_attention(image, caption, spec or spec_with())
    assert png.startswith(b"\x89PNG")
    return Image.open(io.BytesIO(png))


def panel(sheet: Image.Image, place: int, size: tuple[int, int]) -> Brightness:
    """Luminance of panel number ``place`` of a sheet with a title of one line, [height, width]."""
    cell = size[0] + GAP, size[1] + LABEL + GAP
    left = GAP + place % COLUMNS * cell[0]
    top = HEAD + place // COLUMNS * cell[1] + LABEL
    cut = sheet.crop((left, top, left + size[0], top + size[1])).convert("L")
    return np.asarray(cut, np.float64)


GREY = Image.new("RGB", (80, 80), (100, 100, 100))
SQUARE = (PANEL_SIDE, PANEL_SIDE)


def test_first_panel_is_the_plain_picture() -> None:
    sheet = drawn(GREY, caption_with(peak(0, 0)))
    assert np.all(panel(sheet, 0, SQUARE) == 100)


@pytest.mark.parametrize("place", [(0, 0), (0, 3), (3, 0), (2, 1)])
def test_picture_is_brightest_where_the_attention_is(place: tuple[int, int]) -> None:
    seen = panel(drawn(GREY, caption_with(peak(*place))), 1, SQUARE)
    row, column = np.unravel_index(int(seen.argmax()), seen.shape)
    cell = PANEL_SIDE / 4
    assert (int(row // cell), int(column // cell)) == place
    assert seen.min() < 0.5 * 100 < 100 < seen.max(), "dim elsewhere, lit there"


def test_each_word_has_a_panel_of_its_own() -> None:
    sheet = drawn(GREY, caption_with(*[peak(0, column % 4) for column in range(6)]))
    lit = [int(panel(sheet, place, SQUARE)[30].argmax() // 60) for place in range(1, 7)]
    assert lit == [0, 1, 2, 3, 0, 1]


def test_map_changes_smoothly() -> None:
    seen = panel(drawn(GREY, caption_with(peak(1, 1))), 1, SQUARE)
    steps = max(np.abs(np.diff(seen, axis=axis)).max() for axis in (0, 1))
    assert steps < 0.1 * np.ptp(seen), "no edge between the grid's cells"


def test_even_attention_is_drawn_pale() -> None:
    even = np.full((4, 4), 1 / 16, np.float32)
    almost = even.copy()
    almost[0, 0] *= 1.01
    sheet = drawn(GREY, caption_with(even, almost, peak(0, 0)))
    contrasts = [np.ptp(panel(sheet, place, SQUARE)) for place in (1, 2, 3)]
    assert contrasts[0] == 0
    # 1 % more weight may show, but not as a peak does.
    assert contrasts[1] < 0.1 * contrasts[2]


def test_all_zero_attention_is_drawn() -> None:
    sheet = drawn(GREY, caption_with(np.zeros((2, 2), np.float32)))
    assert np.ptp(panel(sheet, 1, SQUARE)) == 0


def test_stretched_picture_is_covered_from_side_to_side() -> None:
    wide = Image.new("RGB", (160, 80), (100, 100, 100))
    seen = panel(drawn(wide, caption_with(peak(0, 3))), 1, (240, 120))
    row, column = np.unravel_index(int(seen.argmax()), seen.shape)
    assert row < 30
    assert column >= 180


def test_cropped_picture_is_dim_where_the_model_did_not_look() -> None:
    wide = Image.new("RGB", (160, 80), (100, 100, 100))
    even = np.full((4, 4), 1 / 16, np.float32)
    seen = panel(drawn(wide, caption_with(even), spec_with("crop")), 1, (240, 120))
    outside = np.r_[0:59, 181:240]
    assert np.ptp(seen[:, outside]) == 0
    assert seen[:, 60:180].min() > seen[:, outside].max()


def test_padding_of_a_picture_is_not_shown() -> None:
    wide = Image.new("RGB", (160, 80), (100, 100, 100))
    above, within = peak(0, 1), peak(1, 1)
    sheet = drawn(wide, caption_with(above, within), spec_with("pad"))
    hidden, shown = (panel(sheet, place, (240, 120)) for place in (1, 2))
    # The grid is 240 pixels high, of which the picture has the middle 120: rows 1 and 2 of 4.
    assert hidden.max() < 100 < shown.max()
    row, column = np.unravel_index(int(shown.argmax()), shown.shape)
    assert row < 60
    assert 60 <= column < 120


def test_digit_is_drawn_as_the_model_saw_it() -> None:
    page = Image.new("L", (300, 100), 255)
    page.paste(0, (40, 20, 60, 80))
    spec = spec_with("digit", 28, 28)
    seen = panel(drawn(page, caption_with(peak(0, 0)), spec), 0, SQUARE)
    assert seen[0, 0] == 0, "MNIST's ground is black"
    assert seen[120, 120] > 128


@pytest.mark.parametrize("size", [(4000, 2), (2, 4000), (1, 1), (3000, 2000)])
@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
def test_size_is_bounded_for_any_picture(size: tuple[int, int], fit: str) -> None:
    sheet = drawn(Image.new("L", size, 9), caption_with(peak(0, 0)), spec_with(fit))
    assert sheet.mode == "RGB"
    assert sheet.width <= 1272
    assert sheet.height <= HEAD + LABEL + PANEL_SIDE + GAP


def test_long_caption_is_cut_and_says_so() -> None:
    flat = Image.new("RGB", (80, 2))
    longest = drawn(flat, replace(caption_with(*[peak(0, 0)] * MAX_WORDS), text="short"))
    longer = drawn(flat, replace(caption_with(*[peak(0, 0)] * (MAX_WORDS + 40)), text="short"))
    assert longer.height == longest.height + LABEL
    foot = np.asarray(longer.convert("L"))[-LABEL:]
    assert foot.min() < 200, "there are letters below the panels"


def test_height_is_bounded_for_the_longest_caption() -> None:
    word = Word("x" * 400, -1.0, peak(0, 0))
    caption = Caption(
        text=" ".join(["x" * 400] * 100),
        words=(word,) * 100,
        log_probability=-9.0,
        finish_reason=FinishReason.LENGTH,
    )
    assert drawn(GREY, caption).size == (1272, 3604)


def test_caption_without_words_is_the_picture_alone() -> None:
    sheet = drawn(GREY, caption_with())
    assert sheet.height == GAP + LABEL + PANEL_SIDE + GAP


def test_word_without_attention_is_refused() -> None:
    with pytest.raises(InvalidInput, match="attention: none is known for the word 'w1'"):
        draw_attention(GREY, caption_with(peak(0, 0), None), spec_with())
