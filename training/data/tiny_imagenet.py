"""Tiny-ImageNet: 200 classes of 64x64 photographs, read from its zip file or folder.

Source: Stanford CS231n, "Tiny ImageNet" (2015), cut from ImageNet (Russakovsky et al. 2015). Its
published test pictures have no labels, so the 10,000 labelled validation pictures are cut in two by
their order in ``val_annotations.txt``: the first half chooses, the second half is reported.
"""

import hashlib
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from training.data.idx import DataError
from training.vision.pictures import decode_pictures

NAME = "tiny-imagenet-200"
"""Name of the folder, and of the zip file without its ending."""
SIDE = 64
"""Height and width of a stored picture, pixels."""
_ENDINGS = (".jpeg", ".jpg", ".webp", ".png")


@dataclass(frozen=True, slots=True)
class Split:
    """Pictures and their classes."""

    images: Tensor
    """uint8 [N, 3, 64, 64]."""
    labels: Tensor
    """int64 [N], positions in ``TinyImageNet.classes``."""

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True)
class TinyImageNet:
    """The three splits and what they hold."""

    train: Split
    """Up to 500 pictures a class."""
    validation: Split
    """5,000 pictures; chooses everything that is chosen."""
    test: Split
    """5,000 pictures; looked at once."""
    classes: tuple[str, ...]
    """WordNet identifiers in the order of ``wnids.txt``."""
    names: tuple[str, ...]
    """Words of each class, from ``words.txt``."""
    checksum: str
    """SHA-256 of the zip file, or of the names and sizes of all files of the folder."""
    faults: Mapping[str, str]
    """Pictures left out, and why."""


def load_tiny_imagenet(data_dir: Path) -> TinyImageNet:
    """Read ``<data_dir>/tiny-imagenet-200.zip``, or the folder it unpacks to.

    Raises DataError: absent, damaged, or not laid out as published.
    """
    archive, folder = data_dir / f"{NAME}.zip", data_dir / NAME
    if archive.is_file():
        checksum = hashlib.sha256(archive.read_bytes()).hexdigest()
        try:
            with zipfile.ZipFile(archive) as opened:
                names = [n for n in opened.namelist() if not n.endswith("/")]
                # ZipFile serialises its own reads; decoding is what runs side by side.
                return _load(archive, names, opened.read, checksum)
        except zipfile.BadZipFile as error:
            raise DataError(f"{archive}: {error}") from error
    if folder.is_dir():
        files = sorted(p for p in folder.rglob("*") if p.is_file())
        names = [p.relative_to(data_dir).as_posix() for p in files]
        listing = "".join(f"{n} {p.stat().st_size}\n" for n, p in zip(names, files, strict=True))
        checksum = hashlib.sha256(listing.encode()).hexdigest()
        return _load(folder, names, lambda name: (data_dir / name).read_bytes(), checksum)
    raise DataError(f"{archive}: no such file, nor {folder}; set --data-dir")


def _load(
    source: Path, names: Sequence[str], read: Callable[[str], bytes], checksum: str
) -> TinyImageNet:
    missing = [
        name
        for name in ("wnids.txt", "words.txt", "val/val_annotations.txt")
        if f"{NAME}/{name}" not in names
    ]
    if missing:
        raise DataError(f"{source}: expected {NAME}/{missing[0]}, which is not there")
    classes = tuple(read(f"{NAME}/wnids.txt").decode().split())
    places = {wnid: place for place, wnid in enumerate(classes)}
    words = dict(
        line.split("\t", 1) for line in read(f"{NAME}/words.txt").decode().splitlines() if line
    )
    faults: dict[str, str] = {}
    train = _decode(_training_files(names, places), read, faults)
    held_out = _decode(_validation_files(names, read, places, source), read, faults)
    half = len(held_out) // 2
    return TinyImageNet(
        train=train,
        validation=Split(held_out.images[:half], held_out.labels[:half]),
        test=Split(held_out.images[half:], held_out.labels[half:]),
        classes=classes,
        names=tuple(words.get(wnid, wnid) for wnid in classes),
        checksum=checksum,
        faults=faults,
    )


def _training_files(names: Sequence[str], places: Mapping[str, int]) -> dict[str, int]:
    """Training pictures by name, with their class."""
    labels = {}
    for name in sorted(names):
        parts = name.split("/")
        if len(parts) >= 4 and parts[1] == "train" and name.lower().endswith(_ENDINGS):
            if parts[2] not in places:
                raise DataError(f"{name}: {parts[2]} is not in wnids.txt")
            labels[name] = places[parts[2]]
    return labels


def _validation_files(
    names: Sequence[str], read: Callable[[str], bytes], places: Mapping[str, int], source: Path
) -> dict[str, int]:
    """Validation pictures by name in the order of the annotations, with their class."""
    stored = {
        name.rpartition(".")[0]: name for name in names if name.startswith(f"{NAME}/val/images/")
    }
    labels = {}
    for line in read(f"{NAME}/val/val_annotations.txt").decode().splitlines():
        file, wnid, *_ = line.split("\t")
        stem = f"{NAME}/val/images/{file.rpartition('.')[0]}"
        if stem not in stored:
            raise DataError(f"{source}: val_annotations.txt names {file}, which is not there")
        labels[stored[stem]] = places[wnid]
    return labels


def _decode(
    labels: Mapping[str, int], read: Callable[[str], bytes], faults: dict[str, str]
) -> Split:
    images, broken = decode_pictures(list(labels), read, SIDE)
    faults.update(broken)
    kept = [label for name, label in labels.items() if name not in broken]
    return Split(images, torch.tensor(kept))
