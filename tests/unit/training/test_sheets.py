"""Sheets of pictures on disk."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.sheets import save_sheet


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_sheet_is_written_without_loss_and_its_folder_is_made(
    tmp_path: Path, channels: int, mode: str
) -> None:
    sheet = np.random.default_rng(0).integers(0, 256, (6, 10, channels), dtype=np.uint8)
    path = tmp_path / "sheets" / "samples" / "1.png"
    save_sheet(path, sheet)
    with Image.open(path) as picture:
        assert (picture.mode, picture.size) == (mode, (10, 6))
        assert np.array_equal(np.asarray(picture).reshape(sheet.shape), sheet)
