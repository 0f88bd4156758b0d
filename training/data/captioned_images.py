"""Pictures with captions in three splits, decoded to one size.

``flickr8k`` is read as ``training.data.flickr8k`` says, any other name is a folder laid out as
``training.data.coco_captions`` says.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from training.data.caption_files import CaptionFiles, SplitName
from training.data.coco_captions import coco_files
from training.data.flickr8k import flickr8k_files
from training.data.idx import DataError
from training.vision.pictures import decode_pictures

FLICKR8K = "flickr8k"
"""Name of the data set that is not a folder."""


@dataclass(frozen=True, slots=True)
class CaptionedSplit:
    """Pictures and what people wrote of each."""

    images: Tensor
    """uint8 [N, 3, side, side], red, green, blue."""
    names: tuple[str, ...]
    """N file names, without their folder."""
    captions: tuple[tuple[str, ...], ...]
    """One or more captions of each of the N pictures, as they were written."""

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True, slots=True)
class CaptionedImages:
    """The three splits and where they come from."""

    name: str
    """``flickr8k``, or the name of the folder."""
    train: CaptionedSplit
    """Pictures to learn from."""
    validation: CaptionedSplit
    """Chooses everything that is chosen."""
    test: CaptionedSplit
    """Looked at once, by the final report."""
    checksum: str
    """SHA-256 of the zip file, or of the captions and the names and sizes of the pictures."""
    dropped: Mapping[str, str]
    """Each picture, record or list entry left out or mended, and why."""


def load_captioned_images(
    data_dir: Path, dataset: str, side: int, *, verify: bool = True
) -> CaptionedImages:
    """Read ``dataset`` with its pictures squeezed to ``side`` x ``side``.

    All pictures are held in memory, 3 * side^2 bytes each: 0.6 GB for Flickr8k at 160 pixels.

    Args:
        data_dir: folder of data sets.
        dataset: ``flickr8k``, or a folder of COCO captions, absolute or inside ``data_dir``.
        side: height and width of every picture, pixels.
        verify: refuse a ``flickr8k.zip`` that is not the published file.

    Raises:
        DataError: a file is missing, damaged, or not what its name promises.
    """
    name, files = open_caption_files(data_dir, dataset, verify=verify)
    dropped = dict(files.dropped)
    return CaptionedImages(
        name=name,
        train=_decode(files, "train", side, dropped),
        validation=_decode(files, "validation", side, dropped),
        test=_decode(files, "test", side, dropped),
        checksum=files.checksum,
        dropped=dropped,
    )


def open_caption_files(
    data_dir: Path, dataset: str, *, verify: bool = True
) -> tuple[str, CaptionFiles]:
    """Name, captions and undecoded pictures of ``dataset``; as ``load_captioned_images`` finds it.

    Raises:
        DataError: a file is missing, damaged, or not what its name promises.
    """
    if dataset == FLICKR8K:
        return FLICKR8K, flickr8k_files(data_dir, verify=verify)
    folder = data_dir / dataset
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; expected {FLICKR8K!r} or a folder")
    return folder.resolve().name, coco_files(folder)


def _decode(
    files: CaptionFiles, split: SplitName, side: int, dropped: dict[str, str]
) -> CaptionedSplit:
    listed = files.splits[split]
    if not listed:
        raise DataError(f"{split}: no picture with captions; left out: {_some(dropped)}")
    images, broken = decode_pictures([file.path for file in listed.values()], files.read, side)
    dropped.update(broken)
    kept = {name: file for name, file in listed.items() if file.path not in broken}
    return CaptionedSplit(images, tuple(kept), tuple(file.captions for file in kept.values()))


def _some(dropped: Mapping[str, str]) -> str:
    """The first faults, for a message."""
    first = [f"{name} ({why})" for name, why in list(dropped.items())[:3]]
    return ", ".join(first) + (f" and {len(dropped) - 3} more" if len(dropped) > 3 else "")
