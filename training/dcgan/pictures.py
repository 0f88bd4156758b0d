"""The pictures a generator learns from, with what may be said of them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from quartet.config import ConfigError
from training.data.idx import DataError
from training.data.mnist import load_mnist
from training.data.picture_folder import load_picture_folder
from training.data.utkface import Split as FaceSplit
from training.data.utkface import UtkFace, load_utkface
from training.dcgan import digit_form
from training.dcgan.config import DcganConfig
from training.dcgan.prompts import AGE_GROUPS, Grammar, digit_grammar, face_grammar

FACE_CLASSES = tuple(
    f"{age} {minor if age in ('baby', 'teenage') else adult}" if age else minor
    for adult, minor in (("man", "boy"), ("woman", "girl"))
    for age in ("baby", "", "teenage", "young", "middle-aged", "old")
)
"""Classes of UTKFace: gender times group of age, boys and men first."""


@dataclass(frozen=True, slots=True)
class LabelledPictures:
    """One split."""

    images: Tensor
    """uint8 [N, C, S, S]."""
    classes: Tensor
    """int64 [N], positions in ``PictureSet.classes``; zeros where there are none."""
    attributes: Tensor
    """int64 [N, A], as the grammar has them; A is 0 where there is none."""

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True, slots=True)
class PictureSet:
    """A data set for a generator."""

    train: LabelledPictures
    """What it learns from."""
    validation: LabelledPictures
    """Held out; chooses everything that is chosen."""
    test: LabelledPictures
    """Looked at once."""
    classes: tuple[str, ...] = ()
    """Names of the classes."""
    grammar: Grammar | None = None
    """Prompts."""
    checksums: Mapping[str, str] = field(default_factory=dict)
    """File -> SHA-256."""
    faults: int = 0
    """Pictures left out because they could not be read."""
    borders: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Of digits: ``weight`` and ``slant`` that cut the training split into thirds."""


def load_pictures(config: DcganConfig) -> PictureSet:
    """Read the data set that ``config`` names, at its size.

    Raises:
        ConfigError: the model wants pictures of a size or form that the data do not have.
        DataError: a file is missing or damaged.
    """
    if config.dataset == "mnist":
        return _digits(config)
    if config.dataset == "utkface":
        _want_channels(config, 3)
        return _faces(load_utkface(config.data_dir, config.model.side))
    return _folder(config)


def _want_channels(config: DcganConfig, channels: int) -> None:
    if config.model.channels != channels:
        raise ConfigError(
            f"model.channels: {config.dataset} has {channels}, got {config.model.channels}"
        )


def _digits(config: DcganConfig) -> PictureSet:
    """MNIST at 28x28, or with a black margin at 32x32."""
    _want_channels(config, 1)
    if config.model.side not in (28, 32):
        raise ConfigError(f"model.side: mnist wants 28 or 32, got {config.model.side}")
    margin = (config.model.side - 28) // 2
    data = load_mnist(config.data_dir, download_missing=config.download, verify=config.data.verify)
    borders = {
        "weight": digit_form.thirds(digit_form.weight(data.train.images)),
        "slant": digit_form.thirds(digit_form.slant(data.train.images)),
    }

    def split(images: Tensor, labels: Tensor) -> LabelledPictures:
        attributes = digit_attributes(images, labels, borders)
        padded = torch.nn.functional.pad(images, [margin] * 4)[:, None]
        return LabelledPictures(padded, labels, attributes)

    return PictureSet(
        train=split(data.train.images, data.train.labels),
        validation=split(data.validation.images, data.validation.labels),
        test=split(data.test.images, data.test.labels),
        classes=tuple(str(digit) for digit in range(10)),
        grammar=digit_grammar(),
        checksums=data.checksums,
        borders=borders,
    )


def digit_attributes(
    images: Tensor, digits: Tensor, borders: Mapping[str, tuple[float, float]]
) -> Tensor:
    """Attributes int64 [N, 3] of uint8 [N, 28, 28]: digit, weight, slant (``digit_grammar``)."""
    line = digit_form.in_thirds(digit_form.weight(images), borders["weight"])
    lean = digit_form.in_thirds(digit_form.slant(images), borders["slant"])
    return torch.stack([digits, line, lean], dim=1)


def face_attributes(ages: Tensor, female: Tensor) -> Tensor:
    """Attributes int64 [N, 2] of ages in years [N] and bool [N] (``face_grammar``)."""
    return torch.stack(
        [female.long(), torch.bucketize(ages, torch.tensor(AGE_GROUPS), right=True)], 1
    )


def _faces(data: UtkFace) -> PictureSet:
    def split(faces: FaceSplit) -> LabelledPictures:
        attributes = face_attributes(faces.ages, faces.female)
        classes = attributes[:, 0] * (len(AGE_GROUPS) + 1) + attributes[:, 1]
        return LabelledPictures(faces.images, classes, attributes)

    return PictureSet(
        train=split(data.train),
        validation=split(data.validation),
        test=split(data.test),
        classes=FACE_CLASSES,
        grammar=face_grammar(),
        checksums={"utkface": data.checksum},
        faults=len(data.faults),
    )


def _folder(config: DcganConfig) -> PictureSet:
    """Any folder or zip file; the split follows from a hash of each picture's name."""
    source = Path(config.dataset)
    if not source.exists():
        source = config.data_dir / config.dataset
    if not source.exists():
        raise DataError(
            f"dataset: expected mnist, utkface, or a folder or zip file, got {config.dataset!r}"
        )
    found = load_picture_folder(source, config.model.side, config.model.channels)
    tenths = torch.tensor([hashlib.sha256(n.encode()).digest()[0] % 10 for n in found.names])

    def split(rows: Tensor, name: str) -> LabelledPictures:
        if not rows.any():
            raise DataError(f"{source}: {len(rows)} pictures leave none for split {name!r}")
        images, labels = found.images[rows], found.labels[rows]
        return LabelledPictures(images, labels, labels.new_zeros(len(labels), 0))

    return PictureSet(
        train=split(tenths < 8, "train"),
        validation=split(tenths == 8, "validation"),
        test=split(tenths == 9, "test"),
        classes=found.classes,
        checksums={source.name: found.checksum},
        faults=found.faults,
    )
