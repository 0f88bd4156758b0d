"""UTKFace: aligned faces of 64x64 pixels with age and gender, read from its zip file or folder.

Source: Zhang, Song, Qi 2017, "Age Progression/Regression by Conditional Adversarial Autoencoder",
section 4.1. A file is called ``<age>_<gender>_<race>_<time>.jpg.chip.jpg``, gender 0 male and
1 female. The third label is not read: nothing here sorts people by it.

The data set publishes no splits. Ours follow from a hash of each file's name, so that they do not
depend on the order or the number of files: eight tenths train, one validates, one tests.
"""

import hashlib
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from training.data.idx import DataError
from training.vision.pictures import decode_pictures

SIDE = 64
"""Height and width of a stored picture, pixels."""
_ARCHIVES = ("utkface64.zip", "UTKFace.zip")
_FOLDER = "UTKFace"
_NAME = re.compile(r"(\d{1,3})_([01])_\d_\d+\.jpg")
_OLDEST = 116
"""Highest age that the data set knows, years."""


@dataclass(frozen=True, slots=True)
class Split:
    """Faces and their labels."""

    images: Tensor
    """uint8 [N, 3, 64, 64]."""
    ages: Tensor
    """int64 [N], years, 1 to 116."""
    female: Tensor
    """bool [N]."""

    def __len__(self) -> int:
        return len(self.ages)


@dataclass(frozen=True, slots=True)
class UtkFace:
    """The three splits and where they come from."""

    train: Split
    """About eight tenths."""
    validation: Split
    """About a tenth; chooses everything that is chosen."""
    test: Split
    """About a tenth; looked at once."""
    checksum: str
    """SHA-256 of the zip file, or of the names and sizes of all files of the folder."""
    faults: Mapping[str, str]
    """Pictures left out, and why: not decodable, or a name without age or gender."""


def load_utkface(data_dir: Path, side: int = SIDE) -> UtkFace:
    """Read ``<data_dir>/utkface64.zip`` or ``UTKFace.zip``, or the folder ``UTKFace``.

    Args:
        data_dir: folder of data sets.
        side: height and width to which pictures are brought, pixels.

    Raises:
        DataError: absent, damaged, or without a face in some split.
    """
    for archive in (data_dir / name for name in _ARCHIVES):
        if archive.is_file():
            checksum = hashlib.sha256(archive.read_bytes()).hexdigest()
            try:
                with zipfile.ZipFile(archive) as opened:
                    return _load(opened.namelist(), opened.read, side, checksum)
            except zipfile.BadZipFile as error:
                raise DataError(f"{archive}: {error}") from error
    folder = data_dir / _FOLDER
    if folder.is_dir():
        files = sorted(p for p in folder.rglob("*") if p.is_file())
        listing = "".join(f"{p.name} {p.stat().st_size}\n" for p in files)
        checksum = hashlib.sha256(listing.encode()).hexdigest()
        names = [p.relative_to(data_dir).as_posix() for p in files]
        return _load(names, lambda name: (data_dir / name).read_bytes(), side, checksum)
    raise DataError(f"{data_dir / _ARCHIVES[0]}: no such file, nor {folder}; set --data-dir")


def split_of(name: str) -> Literal["train", "validation", "test"]:
    """Where the file called ``name``, without folders, belongs."""
    tenth = hashlib.sha256(name.encode()).digest()[0] % 10
    return "validation" if tenth == 8 else "test" if tenth == 9 else "train"


def _load(names: Sequence[str], read: Callable[[str], bytes], side: int, checksum: str) -> UtkFace:
    labels: dict[str, tuple[int, int]] = {}
    faults: dict[str, str] = {}
    for name in sorted(n for n in names if n.lower().endswith((".jpg", ".png"))):
        found = _NAME.match(name.rpartition("/")[2])
        if found is None or not 1 <= int(found[1]) <= _OLDEST:
            faults[name] = "its name gives no age and gender"
        else:
            labels[name] = (int(found[1]), int(found[2]))
    if not labels:
        raise DataError("UTKFace: expected files <age>_<gender>_<race>_<time>.jpg, found none")
    images, broken = decode_pictures(list(labels), read, side)
    faults.update(broken)
    kept = [name for name in labels if name not in broken]
    ages = torch.tensor([labels[name][0] for name in kept])
    female = torch.tensor([labels[name][1] == 1 for name in kept])
    places = [split_of(name.rpartition("/")[2]) for name in kept]

    def cut(split: str) -> Split:
        rows = torch.tensor([i for i, place in enumerate(places) if place == split])
        if not len(rows):
            raise DataError(f"UTKFace: {len(kept)} faces leave none for split {split!r}")
        return Split(images[rows], ages[rows], female[rows])

    return UtkFace(cut("train"), cut("validation"), cut("test"), checksum, faults)
