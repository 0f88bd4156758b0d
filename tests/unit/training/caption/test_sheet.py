"""Pictures with their captions."""

from pathlib import Path

import numpy as np
from PIL import Image

from training.caption.sheet import Looked, SheetEntry, draw_attention, draw_sheet

GREY = np.full((40, 40, 3), 128, np.uint8)


def test_a_sheet_has_a_cell_for_each_picture(tmp_path: Path) -> None:
    entry = SheetEntry(
        picture=GREY, caption="a dog " * 40, reference="a man", cider_d=0.3, mark="right"
    )
    sizes = []
    for count in (1, 6, 7):
        draw_sheet([entry] * count, "title", tmp_path / "sheet.png")
        with Image.open(tmp_path / "sheet.png") as sheet:
            sizes.append(sheet.size)
            greys = (np.asarray(sheet) == 128).all(axis=2).sum()
        assert greys >= count * 200**2
    assert sizes[0][0] < sizes[1][0] == sizes[2][0]
    assert sizes[0][1] == sizes[1][1] < sizes[2][1]


def test_a_word_is_bright_where_it_looks(tmp_path: Path) -> None:
    shares = np.zeros((1, 4, 4), np.float32)
    shares[0, 0, 3] = 1.0
    draw_attention([Looked(GREY, ("dog",), shares)], tmp_path / "attention.png")
    with Image.open(tmp_path / "attention.png") as sheet:
        pixels = np.asarray(sheet.convert("L")).astype(int)
    panel = pixels[:, pixels.shape[1] // 2 :]
    inside = panel[40:-20, 10:-20]
    top_right, bottom_left = inside[:30, -30:].mean(), inside[-30:, :30].mean()
    assert top_right > 110
    assert bottom_left < 50


def test_even_attention_is_even_light(tmp_path: Path) -> None:
    draw_attention(
        [Looked(GREY, ("dog", "runs"), np.full((2, 4, 4), 1 / 16, np.float32))],
        tmp_path / "attention.png",
    )
    with Image.open(tmp_path / "attention.png") as sheet:
        pixels = np.asarray(sheet.convert("L"))
    last = pixels[60:120, -100:-60]
    assert last.min() == last.max() < 128
