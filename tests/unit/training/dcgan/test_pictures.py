"""The data sets of generators: sizes, classes, attributes, refusals."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from quartet.config import ConfigError
from tests.picture_data import write_faces
from training.data.idx import DataError
from training.data.mnist import load_mnist
from training.data.utkface import load_utkface
from training.dcgan.config import DcganConfig
from training.dcgan.digit_form import in_thirds, slant, thirds, weight
from training.dcgan.pictures import FACE_CLASSES, PictureSet, face_attributes, load_pictures


def load(dataset: str, folder: Path, side: int, channels: int) -> PictureSet:
    values: dict[str, Any] = {
        "dataset": dataset,
        "data_dir": folder,
        "data": {"verify": False},
        "model": {"side": side, "channels": channels},
    }
    return load_pictures(DcganConfig.model_validate(values))


def write_folder(folder: Path, per_class: int = 20, classes: tuple[str, ...] = ("a", "b")) -> None:
    """Plain pictures; the first class is dark, the last bright."""
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for row in range(per_class):
            pixels = np.full((8, 8, 3), 60 + 80 * number, np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{row}.png")


def test_digits_of_28_pixels_are_those_of_the_files(mnist_dir: Path) -> None:
    data, files = load("mnist", mnist_dir, 28, 1), load_mnist(mnist_dir, verify=False)
    assert torch.equal(data.train.images[:, 0], files.train.images)
    assert torch.equal(data.test.images[:, 0], files.test.images)
    assert torch.equal(data.validation.classes, files.validation.labels)
    assert data.checksums == files.checksums


def test_digits_of_32_pixels_have_a_black_margin(mnist_dir: Path) -> None:
    small, large = load("mnist", mnist_dir, 28, 1), load("mnist", mnist_dir, 32, 1)
    assert large.train.images.shape == (128, 1, 32, 32)
    assert torch.equal(large.train.images[..., 2:-2, 2:-2], small.train.images)
    assert large.train.images.sum() == small.train.images.sum()
    assert torch.equal(large.train.attributes, small.train.attributes)


@pytest.mark.parametrize("side", [24, 40, 64])
def test_digits_of_another_side_are_refused(mnist_dir: Path, side: int) -> None:
    with pytest.raises(ConfigError, match=rf"model\.side: mnist wants 28 or 32, got {side}"):
        load("mnist", mnist_dir, side, 1)


def test_digits_in_colour_are_refused(mnist_dir: Path) -> None:
    with pytest.raises(ConfigError, match=r"model\.channels: mnist has 1, got 3"):
        load("mnist", mnist_dir, 28, 3)


def test_attributes_of_digits_are_digit_and_thirds_of_the_training_split(mnist_dir: Path) -> None:
    data = load("mnist", mnist_dir, 28, 1)
    images, attributes = data.test.images[:, 0], data.test.attributes
    assert torch.equal(attributes[:, 0], data.test.classes)
    assert torch.equal(attributes[:, 1], in_thirds(weight(images), data.borders["weight"]))
    assert torch.equal(attributes[:, 2], in_thirds(slant(images), data.borders["slant"]))
    slants = torch.bincount(data.train.attributes[:, 2], minlength=3)
    assert slants.tolist() == pytest.approx([128 / 3] * 3, abs=1)
    assert set(data.borders) == {"weight", "slant"}
    assert data.classes == tuple("0123456789")
    assert data.grammar is not None


@pytest.mark.parametrize(
    ("age", "female", "name"),
    [
        (1, False, "baby boy"),
        (2, True, "baby girl"),
        (3, False, "boy"),
        (12, True, "girl"),
        (13, False, "teenage boy"),
        (19, True, "teenage girl"),
        (20, False, "young man"),
        (34, True, "young woman"),
        (35, False, "middle-aged man"),
        (54, True, "middle-aged woman"),
        (55, False, "old man"),
        (116, True, "old woman"),
    ],
)
def test_class_of_a_face_is_named_by_gender_and_age(age: int, female: bool, name: str) -> None:
    gender, group = face_attributes(torch.tensor([age]), torch.tensor([female]))[0].tolist()
    assert FACE_CLASSES[gender * 6 + group] == name
    assert len(set(FACE_CLASSES)) == 12


def test_faces_have_the_classes_of_their_labels(tmp_path: Path) -> None:
    write_faces(tmp_path / "utkface64.zip")
    data, faces = load("utkface", tmp_path, 32, 3), load_utkface(tmp_path, 32)
    assert torch.equal(data.train.images, faces.train.images)
    assert data.classes == FACE_CLASSES
    assert data.checksums == {"utkface": faces.checksum}
    for split, labelled in ((data.test, faces.test), (data.train, faces.train)):
        attributes = face_attributes(labelled.ages, labelled.female)
        assert torch.equal(split.attributes, attributes)
        assert torch.equal(split.classes, attributes[:, 0] * 6 + attributes[:, 1])


def test_grey_faces_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model\.channels: utkface has 3, got 1"):
        load("utkface", tmp_path, 32, 1)


def test_folders_are_the_classes_of_any_other_data(tmp_path: Path) -> None:
    write_folder(tmp_path / "photos")
    data = load("photos", tmp_path, 16, 3)
    assert data.classes == ("a", "b")
    assert data.grammar is None
    assert len(data.train) + len(data.validation) + len(data.test) == 40
    for split in (data.train, data.validation, data.test):
        assert split.images.shape == (len(split), 3, 16, 16)
        assert split.attributes.shape == (len(split), 0)
        assert torch.equal(split.images[:, 0, 0, 0], (60 + 80 * split.classes).byte())


def test_a_folder_is_found_by_its_path_and_below_the_data(tmp_path: Path) -> None:
    write_folder(tmp_path / "photos")
    below, beside = load("photos", tmp_path, 16, 3), load(str(tmp_path / "photos"), Path(), 16, 3)
    assert torch.equal(below.train.images, beside.train.images)
    assert below.checksums == beside.checksums


def test_the_split_of_a_picture_stays_when_others_are_added(tmp_path: Path) -> None:
    write_folder(tmp_path / "few", classes=("a", "b"))
    write_folder(tmp_path / "many", classes=("a", "b", "c"))
    few, many = load("few", tmp_path, 16, 1), load("many", tmp_path, 16, 1)
    for split in ("train", "validation", "test"):
        counts = torch.bincount(getattr(many, split).classes, minlength=3)
        assert counts[:2].tolist() == torch.bincount(getattr(few, split).classes).tolist()


def test_too_few_pictures_for_three_splits_are_refused(tmp_path: Path) -> None:
    write_folder(tmp_path / "photos", per_class=1)
    with pytest.raises(DataError, match="2 pictures leave none for split"):
        load("photos", tmp_path, 16, 3)


def test_data_that_are_nowhere_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected mnist, utkface, or a folder .*, got 'cats'"):
        load("cats", tmp_path, 16, 3)


def test_thirds_of_real_digits_are_thirds_of_held_out_ones(data_dir: Path) -> None:
    data = load_mnist(data_dir, verify=False)
    for measure in (weight, slant):
        places = in_thirds(measure(data.test.images), thirds(measure(data.train.images[:20000])))
        # Other writers, with other pens and slants, than those of the training split.
        shares = (torch.bincount(places) / len(places)).tolist()
        assert shares == pytest.approx([1 / 3] * 3, abs=0.06)
