"""Sheets of pictures that show how a generator learns."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image


def save_sheet(path: Path, sheet: npt.NDArray[np.uint8]) -> None:
    """Write ``sheet``, uint8 [rows, columns, 1 or 3], as PNG; the folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet[..., 0] if sheet.shape[2] == 1 else sheet).save(path)
