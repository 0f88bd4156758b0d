"""Any folder or zip file of pictures."""

import hashlib
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from training.data.idx import DataError
from training.vision.pictures import decode_pictures

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")
"""Of files taken for pictures, in lower case."""
_LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in brightness (ITU-R BT.601)."""
_AT_ONCE = 1000
"""Pictures made grey at a time, for in between they take twelve times as much memory."""


@dataclass(frozen=True, slots=True)
class PictureFolder:
    """All pictures of a folder, in the order of their names."""

    names: tuple[str, ...]
    """Path of each inside the folder."""
    images: Tensor
    """uint8 [N, C, side, side]."""
    classes: tuple[str, ...]
    """Names of the folders that hold pictures, sorted; empty where there is only one."""
    labels: Tensor
    """int64 [N], positions in ``classes``; zeros where there is only one folder."""
    checksum: str
    """SHA-256 of the zip file, or of the names and sizes of all files of the folder."""
    faults: int
    """Pictures left out because they could not be decoded."""


def load_picture_folder(source: Path, side: int, channels: int) -> PictureFolder:
    """Read ``source``, each picture cut to nothing but squeezed to ``side`` x ``side`` pixels.

    Raises DataError: neither a folder nor a zip file, damaged, or without a picture that can be
    decoded.
    """
    try:
        return _read(source, side, channels)
    except (zipfile.BadZipFile, DataError) as error:
        raise DataError(f"{source}: {error}") from error


def _read(source: Path, side: int, channels: int) -> PictureFolder:
    if source.is_dir():
        files = sorted(p.relative_to(source).as_posix() for p in source.rglob("*") if p.is_file())
        listing = "".join(f"{n} {(source / n).stat().st_size}\n" for n in files)
        checksum = hashlib.sha256(listing.encode()).hexdigest()
        return _load(files, lambda name: (source / name).read_bytes(), side, channels, checksum)
    if not zipfile.is_zipfile(source):
        raise DataError("expected a folder or a zip file of pictures")
    checksum = hashlib.sha256(source.read_bytes()).hexdigest()
    with zipfile.ZipFile(source) as opened:
        return _load(sorted(opened.namelist()), opened.read, side, channels, checksum)


def _load(
    files: Sequence[str], read: Callable[[str], bytes], side: int, channels: int, checksum: str
) -> PictureFolder:
    names = [name for name in files if name.lower().endswith(ENDINGS)]
    if not names:
        raise DataError(
            f"expected pictures ({', '.join(ENDINGS)}), found none in {len(files)} files"
        )
    images, faults = decode_pictures(names, read, side)
    kept = tuple(name for name in names if name not in faults)
    folders = [name.rpartition("/")[0].rpartition("/")[2] for name in kept]
    classes = tuple(sorted(set(folders)))
    labels = torch.tensor([classes.index(folder) for folder in folders])
    if channels == 1:
        images = torch.cat([_grey(part) for part in torch.split(images, _AT_ONCE)])
    return PictureFolder(
        kept, images, classes if len(classes) > 1 else (), labels, checksum, len(faults)
    )


def _grey(images: Tensor) -> Tensor:
    """Brightness uint8 [N, 1, H, W] of uint8 [N, 3, H, W]."""
    luma = torch.tensor(_LUMA).view(3, 1, 1)
    return (images * luma).sum(1, keepdim=True).round().to(torch.uint8)
