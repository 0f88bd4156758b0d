"""Made-up pictures for generators, and made-up faces in UTKFace's form."""

import io
import zipfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from training.data.utkface import Split, UtkFace, split_of
from training.dcgan.pictures import LabelledPictures, PictureSet
from training.dcgan.prompts import Grammar, Sentence

SQUARES = Grammar(
    [
        Sentence("a square", {}),
        Sentence("a left square", {0: frozenset([0])}),
        Sentence("a right square", {0: frozenset([1])}),
    ],
    (2,),
)
"""What may be said of a picture of ``make_pictures``."""


def make_pictures(
    rows: int = 24, side: int = 16, channels: int = 1, *, labelled: bool = True
) -> PictureSet:
    """Three splits of ``rows`` dark pictures with a bright square on the left or on the right."""
    train, validation, test = (_squares(seed, rows, side, channels) for seed in range(3))
    classes, grammar = (("left", "right"), SQUARES) if labelled else ((), None)
    return PictureSet(train, validation, test, classes, grammar, {"made-up": "0" * 64})


def _squares(seed: int, rows: int, side: int, channels: int) -> LabelledPictures:
    random = np.random.default_rng(seed)
    images = random.integers(0, 40, (rows, channels, side, side), dtype=np.uint8)
    right = random.integers(0, 2, rows)
    for image, place in zip(images, right, strict=True):
        start = 1 + int(place) * side // 2
        image[:, side // 4 : 3 * side // 4, start : start + side // 2 - 2] += 200
    labels = torch.from_numpy(right)
    return LabelledPictures(torch.from_numpy(images), labels, labels[:, None])


def make_faces(rows: int = 24, side: int = 16) -> UtkFace:
    """Three splits of ``rows`` pictures: red ones are female, and the brighter the older."""
    train, validation, test = (_faces(seed, rows, side) for seed in range(3))
    return UtkFace(train, validation, test, "0" * 64, {"broken.jpg": "no picture"})


def _faces(seed: int, rows: int, side: int) -> Split:
    random = np.random.default_rng(seed)
    ages, female = random.integers(1, 101, rows), random.integers(0, 2, rows) == 1
    pictures = [face(int(age), bool(woman), side) for age, woman in zip(ages, female, strict=True)]
    images = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()
    return Split(images, torch.from_numpy(ages), torch.from_numpy(female))


def face(age: int, female: bool, side: int) -> npt.NDArray[np.uint8]:
    """A plain picture uint8 [side, side, 3] that tells age and gender."""
    level = 50 + 2 * min(age, 100)
    colour = (level, 20, 20) if female else (20, 20, level)
    return np.full((side, side, 3), colour, np.uint8)


def face_names(per_split: int) -> Iterator[tuple[str, int, bool]]:
    """File names in UTKFace's form with age and whether female, ``per_split`` for each split."""
    wanted = dict.fromkeys(("train", "validation", "test"), per_split)
    for number in count():
        age, female = 1 + number * 7 % 110, number % 2 == 1
        name = f"{age}_{int(female)}_0_{number:017}.jpg.chip.jpg"
        if wanted[split_of(name)]:
            wanted[split_of(name)] -= 1
            yield name, age, female
        if not any(wanted.values()):
            return


def png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """``pixels``, uint8 [rows, columns, 3] or [rows, columns], as a PNG file."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def write_faces(archive: Path, per_split: int = 3, side: int = 64) -> None:
    """A zip file in UTKFace's form. Its pictures are PNG inside, so that pixels are exact."""
    with zipfile.ZipFile(archive, "w") as opened:
        for name, age, female in face_names(per_split):
            opened.writestr(f"UTKFace/{name}", png(face(age, female, side)))
