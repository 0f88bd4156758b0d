"""Decodes many pictures at once into one tensor."""

import io
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from training.data.idx import DataError
from training.runtime import available_cores


def decode_pictures(
    names: Sequence[str], read: Callable[[str], bytes], side: int
) -> tuple[Tensor, dict[str, str]]:
    """The pictures called ``names`` as uint8 [N, 3, side, side], red, green, blue.

    A picture is turned as its EXIF orientation says and squeezed to a square.

    Returns:
        The pictures that could be decoded, in order, and why each of the others could not.
    """
    with ThreadPoolExecutor(available_cores()) as pool:  # Pillow decodes outside the lock
        decoded = list(pool.map(lambda name: _decode(read(name), side), names))
    faults = {n: d for n, d in zip(names, decoded, strict=True) if isinstance(d, str)}
    arrays = [d for d in decoded if not isinstance(d, str)]
    if not arrays:
        name, fault = next(iter(faults.items()), ("", "there are none"))
        raise DataError(f"none of {len(names)} pictures could be decoded; {name}: {fault}")
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).contiguous(), faults


def _decode(content: bytes, side: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]] | str":
    """uint8 [side, side, 3], or what is wrong with ``content``."""
    try:
        with Image.open(io.BytesIO(content)) as picture:
            upright = ImageOps.exif_transpose(picture).convert("RGB")
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        return str(error)
    if upright.size != (side, side):
        upright = upright.resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(upright, dtype=np.uint8)
