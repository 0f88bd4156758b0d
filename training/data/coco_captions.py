"""Captioned pictures in a folder: the COCO captions layout, or a ``dataset_*.json`` with splits.

Sources: Chen et al., "Microsoft COCO Captions" (2015), whose published test pictures have no
captions, so the published validation pictures are cut in two by the order of their list: the first
half chooses, the second half is reported. Karpathy, Fei-Fei, "Deep Visual-Semantic Alignments"
(2015), published files ``dataset_<name>.json`` that name each picture's split; ``restval`` is
training data, as is usual.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ValidationError

from training.data.caption_files import CaptionedFile, CaptionFiles, SplitName
from training.data.idx import DataError

YEARS = ("2017", "2014")
"""Releases of COCO that are looked for, the newest first."""
_KARPATHY_SPLITS: Mapping[str, SplitName] = {
    "train": "train",
    "restval": "train",
    "val": "validation",
    "test": "test",
}


class _CocoPicture(BaseModel):
    id: int
    file_name: str


class _CocoCaption(BaseModel):
    image_id: int
    caption: str


class _CocoFile(BaseModel):
    images: list[_CocoPicture]
    annotations: list[_CocoCaption]


class _Sentence(BaseModel):
    raw: str


class _KarpathyPicture(BaseModel):
    filename: str
    filepath: str = ""
    split: Literal["train", "restval", "val", "test"]
    sentences: list[_Sentence]


class _KarpathyFile(BaseModel):
    images: list[_KarpathyPicture]


_Content = TypeVar("_Content", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class _Collected:
    """Pictures found so far."""

    folder: Path
    files: dict[SplitName, dict[str, CaptionedFile]] = field(
        default_factory=lambda: {"train": {}, "validation": {}, "test": {}}
    )
    dropped: dict[str, str] = field(default_factory=dict)

    def add(self, split: SplitName, name: str, path: str, captions: Sequence[str]) -> None:
        """Take the picture ``name`` at ``path``, or note why not."""
        written = tuple(caption.strip() for caption in captions if caption.strip())
        if not (self.folder / path).is_file():
            self.dropped[name] = f"no such picture: {path}"
        elif any(name in files for files in self.files.values()):
            self.dropped[f"{name}, once more"] = "is listed already"
        elif not written:
            self.dropped[name] = "no captions"
        else:
            self.files[split][name] = CaptionedFile(path, written)


def coco_files(folder: Path) -> CaptionFiles:
    """Files of ``folder``.

    Either ``annotations/captions_train2017.json`` and ``captions_val2017.json`` beside the folders
    ``train2017`` and ``val2017`` (or 2014), or one ``dataset_*.json`` with the pictures in
    ``<filepath>``, in ``Images`` or beside it.

    Raises DataError: none of these, or a file that is not what its name promises.
    """
    collected = _Collected(folder)
    for year in YEARS:
        train, val = (folder / f"annotations/captions_{s}{year}.json" for s in ("train", "val"))
        if train.is_file() and val.is_file():
            _add_coco(collected, "train", train, f"train{year}")
            _add_coco(collected, "validation", val, f"val{year}")
            _cut_validation(collected)
            return _described(collected, (train, val))
    found = sorted(folder.glob("dataset_*.json"))
    if len(found) == 1:
        _add_karpathy(collected, found[0])
        return _described(collected, (found[0],))
    raise DataError(
        f"{folder}: expected annotations/captions_train2017.json and captions_val2017.json, "
        f"or one dataset_*.json, of which there are {len(found)}"
    )


def _described(collected: _Collected, read: Sequence[Path]) -> CaptionFiles:
    folder, digest = collected.folder, hashlib.sha256()
    for path in read:
        digest.update(path.read_bytes())
    pictures = (file.path for split in collected.files.values() for file in split.values())
    for name in sorted(pictures):
        digest.update(f"{name} {(folder / name).stat().st_size}\n".encode())
    return CaptionFiles(
        splits=collected.files,
        read=lambda name: (folder / name).read_bytes(),
        checksum=digest.hexdigest(),
        dropped=collected.dropped,
    )


def _parse(path: Path, form: type[_Content]) -> _Content:
    try:
        return form.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise DataError(f"{path}: {place}: {first['msg']}") from error


def _add_coco(collected: _Collected, split: SplitName, path: Path, pictures: str) -> None:
    """Add the pictures of one file of annotations, in the order of its list."""
    content = _parse(path, _CocoFile)
    captions: dict[int, list[str]] = {picture.id: [] for picture in content.images}
    for number, annotation in enumerate(content.annotations):
        if annotation.image_id in captions:
            captions[annotation.image_id].append(annotation.caption)
        else:
            place = f"{path.name}, annotation {number}"
            collected.dropped[place] = f"no picture has the id {annotation.image_id}"
    for picture in content.images:
        inside = f"{pictures}/{picture.file_name}"
        collected.add(split, picture.file_name, inside, captions[picture.id])


def _cut_validation(collected: _Collected) -> None:
    """Move the second half of the validation pictures to the test split."""
    held_out = list(collected.files["validation"].items())
    half = len(held_out) // 2
    collected.files["validation"] = dict(held_out[:half])
    collected.files["test"] = dict(held_out[half:])


def _add_karpathy(collected: _Collected, path: Path) -> None:
    for picture in _parse(path, _KarpathyFile).images:
        folders = [picture.filepath, "Images", ""] if picture.filepath else ["", "Images"]
        places = [f"{folder}/{picture.filename}".removeprefix("/") for folder in folders]
        stored = (place for place in places if (collected.folder / place).is_file())
        captions = [sentence.raw for sentence in picture.sentences]
        split = _KARPATHY_SPLITS[picture.split]
        collected.add(split, picture.filename, next(stored, places[0]), captions)
