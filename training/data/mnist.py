"""MNIST from its four IDX files: 55,000 training, 5,000 validation and 10,000 test pictures.

Source: LeCun, Cortes, Burges, "The MNIST database of handwritten digits" (1998). The validation
split is the last 5,000 pictures of the training files; the test split is the test files.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from training.data.download import download
from training.data.idx import DataError, IdxFile, read_idx

VALIDATION_ROWS = 5000
"""Pictures at the end of the training files that are kept for validation."""
SplitName = Literal["train", "validation", "test"]
"""The three splits."""
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist",
    "https://storage.googleapis.com/cvdf-datasets/mnist",
)
"""Public copies of the four files."""


@dataclass(frozen=True, slots=True)
class _Original:
    """Checksums of one published file."""

    compressed: str
    """SHA-256 of the .gz file."""
    plain: str
    """SHA-256 of its content."""


_ORIGINALS = {
    "train-images-idx3-ubyte": _Original(
        compressed="71524e2cd1ad2968737f7f2f2ff69cbfc32df8ccddff51593f7cb2d4e0eb5b64",
        plain="ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    "train-labels-idx1-ubyte": _Original(
        compressed="fe03b8bd7915f70bf5aa08be480aa413fbd85afcaa58b35d230d335f284fd88e",
        plain="65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    "t10k-images-idx3-ubyte": _Original(
        compressed="5634745efa576a17e7d4cf5cd9d09123c75e6538e5114267c2d156edaf519341",
        plain="0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    "t10k-labels-idx1-ubyte": _Original(
        compressed="ae18e77e031ccde52407f794d123116439864147d33ac992975f85dd4dc42af6",
        plain="ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
}


@dataclass(frozen=True, slots=True)
class Split:
    """Pictures and their labels."""

    images: Tensor
    """uint8 [N, 28, 28], 0 (background) to 255 (ink)."""
    labels: Tensor
    """int64 [N], 0 to 9."""

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> "Split":
        """The same split on ``device``."""
        return Split(self.images.to(device), self.labels.to(device))


@dataclass(frozen=True, slots=True)
class Mnist:
    """The three splits and where they come from."""

    train: Split
    """55,000 pictures of the published set."""
    validation: Split
    """5,000; chooses everything that is chosen."""
    test: Split
    """10,000; looked at once, by the final report."""
    checksums: Mapping[str, str]
    """File name without .gz -> SHA-256 of its uncompressed content."""


def load_mnist(data_dir: Path, *, download_missing: bool = False, verify: bool = True) -> Mnist:
    """Read MNIST from ``<data_dir>/mnist`` or ``data_dir`` itself, each file plain or as .gz.

    Args:
        data_dir: folder of data sets.
        download_missing: fetch absent files into ``<data_dir>/mnist``.
        verify: refuse files that are not the published ones.

    Raises:
        DataError: a file is missing, damaged, or not what its name promises.
    """
    files = {name: _read(data_dir, name, download_missing) for name in _ORIGINALS}
    checksums = {name: file.sha256 for name, file in files.items()}
    if verify:
        _check_originals(checksums)
    train = _make_split(files, "train")
    if len(train) <= VALIDATION_ROWS:
        raise DataError(
            f"train-images-idx3-ubyte: expected more than {VALIDATION_ROWS} pictures, "
            f"the size of the validation split, got {len(train)}"
        )
    border = len(train) - VALIDATION_ROWS
    return Mnist(
        train=Split(train.images[:border], train.labels[:border]),
        validation=Split(train.images[border:], train.labels[border:]),
        test=_make_split(files, "t10k"),
        checksums=checksums,
    )


def _read(data_dir: Path, name: str, download_missing: bool) -> IdxFile:
    folders = (data_dir / "mnist", data_dir)
    for candidate in (folder / file for folder in folders for file in (f"{name}.gz", name)):
        if candidate.is_file():
            return read_idx(candidate)
    if not download_missing:
        raise DataError(
            f"{folders[0] / name}.gz: no such file, nor {name} in {data_dir}; "
            "set --data-dir, or fetch MNIST with --download"
        )
    target = folders[0] / f"{name}.gz"
    urls = [f"{mirror}/{name}.gz" for mirror in MIRRORS]
    download(urls, target, _ORIGINALS[name].compressed)
    return read_idx(target)


def _check_originals(checksums: Mapping[str, str]) -> None:
    for name, got in checksums.items():
        if got != _ORIGINALS[name].plain:
            raise DataError(
                f"{name}: not the published file: expected SHA-256 {_ORIGINALS[name].plain} "
                f"uncompressed, got {got}; --no-data.verify takes other data"
            )


def _make_split(files: Mapping[str, IdxFile], prefix: str) -> Split:
    """Pictures and labels of one pair of files, checked against each other."""
    image_name, label_name = f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"
    images, labels = files[image_name].values, files[label_name].values
    if images.dtype != "uint8" or images.shape[1:] != (28, 28):
        raise DataError(
            f"{image_name}: expected uint8 pictures [N, 28, 28], "
            f"got {images.dtype} {list(images.shape)}"
        )
    if labels.dtype != "uint8" or labels.shape != images.shape[:1]:
        raise DataError(
            f"{label_name}: expected {len(images)} uint8 labels, one for each picture of "
            f"{image_name}, got {labels.dtype} {list(labels.shape)}"
        )
    if len(labels) and int(labels.max()) > 9:
        raise DataError(f"{label_name}: expected labels 0 to 9, got {int(labels.max())}")
    return Split(torch.from_numpy(images), torch.from_numpy(labels).long())
