"""MNIST's four files: splits, checks against each other, checksums."""

import gzip
import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from training.data import mnist
from training.data.idx import DataError, read_idx
from training.data.mnist import load_mnist

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.fixture
def folder(mnist_dir: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(mnist_dir, tmp_path / "data"))


def replace(path: Path, start: int, value: bytes) -> None:
    content = bytearray(path.read_bytes())
    content[start : start + len(value)] = value
    path.write_bytes(content)


def test_load_mnist_keeps_the_last_5000_training_rows_for_validation(mnist_dir: Path) -> None:
    data = load_mnist(mnist_dir, verify=False)
    stored = torch.from_numpy(read_idx(mnist_dir / IMAGES).values.astype(np.uint8))
    assert (len(data.train), len(data.validation), len(data.test)) == (128, 5000, 16)
    assert torch.equal(data.train.images, stored[:128])
    assert torch.equal(data.validation.images, stored[128:])


def test_load_mnist_records_the_checksum_of_each_content(mnist_dir: Path) -> None:
    data = load_mnist(mnist_dir, verify=False)
    content = (mnist_dir / LABELS).read_bytes()
    assert data.checksums[LABELS] == hashlib.sha256(content).hexdigest()
    assert len(data.checksums) == 4


def test_load_mnist_reads_gzip_files_in_a_subfolder(folder: Path) -> None:
    (folder / "mnist").mkdir()
    for path in [path for path in folder.iterdir() if path.is_file()]:
        (folder / "mnist" / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert len(load_mnist(folder, verify=False).test) == 16


def test_load_mnist_refuses_files_that_are_not_the_originals(mnist_dir: Path) -> None:
    with pytest.raises(DataError, match=f"{IMAGES}: not the published file: expected SHA-256 ba89"):
        load_mnist(mnist_dir)


def test_load_mnist_names_a_missing_file_and_both_ways_out(folder: Path) -> None:
    (folder / LABELS).unlink()
    with pytest.raises(DataError, match=rf"{LABELS}\.gz: no such file.*--data-dir.*--download"):
        load_mnist(folder, verify=False)


def test_load_mnist_names_labels_that_are_fewer_than_the_pictures(folder: Path) -> None:
    shutil.copy(folder / "t10k-labels-idx1-ubyte", folder / LABELS)
    with pytest.raises(DataError, match=f"{LABELS}: expected 5128 uint8 labels.*got uint8 .16."):
        load_mnist(folder, verify=False)


def test_load_mnist_names_labels_above_nine(folder: Path) -> None:
    replace(folder / LABELS, 8, b"\x0b")
    with pytest.raises(DataError, match=f"{LABELS}: expected labels 0 to 9, got 11"):
        load_mnist(folder, verify=False)


def test_load_mnist_names_pictures_of_another_size(folder: Path) -> None:
    content = (folder / IMAGES).read_bytes()
    side = (784).to_bytes(4, "big") + (1).to_bytes(4, "big")
    (folder / IMAGES).write_bytes(content[:8] + side + content[16:])
    with pytest.raises(DataError, match=rf"{IMAGES}: expected uint8 pictures \[N, 28, 28\]"):
        load_mnist(folder, verify=False)


def test_load_mnist_refuses_fewer_rows_than_validation_takes(folder: Path) -> None:
    for kind in ("images-idx3", "labels-idx1"):
        shutil.copy(folder / f"t10k-{kind}-ubyte", folder / f"train-{kind}-ubyte")
    with pytest.raises(DataError, match=r"more than 5000 pictures.*got 16"):
        load_mnist(folder, verify=False)


def test_load_mnist_downloads_what_is_missing_and_checks_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / f"{LABELS}.gz").write_bytes(gzip.compress((folder / LABELS).read_bytes()))
    (folder / LABELS).unlink()
    monkeypatch.setattr(mnist, "MIRRORS", (mirror.as_uri(),))
    with pytest.raises(DataError, match=f"{LABELS}.gz could not be downloaded.*expected SHA-256"):
        load_mnist(folder, download_missing=True, verify=False)
    assert not (folder / "mnist" / f"{LABELS}.gz").exists()


@pytest.mark.data
def test_load_mnist_reads_the_published_set(data_dir: Path) -> None:
    data = load_mnist(data_dir)
    assert (len(data.train), len(data.validation), len(data.test)) == (55_000, 5_000, 10_000)
    assert data.train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    pixels = torch.cat([data.train.images, data.validation.images]).float() / 255
    assert pixels.mean().item() == pytest.approx(0.1307, abs=1e-4)
    assert pixels.std().item() == pytest.approx(0.3081, abs=1e-4)
