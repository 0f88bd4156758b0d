"""Fixtures of the training tests: a made-up data set in MNIST's form, one PyTorch thread."""

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from training.data.mnist import VALIDATION_ROWS, Mnist, Split

TRAIN_ROWS, SMALL_VALIDATION_ROWS, TEST_ROWS = 128, 64, 16


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """One PyTorch thread in each test, and PyTorch's process-wide modes as they were after it."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)


@pytest.fixture(scope="session")
def digits() -> Mnist:
    """Three small splits in memory."""
    sizes = (TRAIN_ROWS, SMALL_VALIDATION_ROWS, TEST_ROWS)
    train, validation, test = (_split(*_make_digits(seed, rows)) for seed, rows in enumerate(sizes))
    return Mnist(train, validation, test, checksums={"made-up": "0" * 64})


@pytest.fixture(scope="session")
def mnist_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four plain IDX files with 128 training, 5,000 validation and 16 test pictures."""
    folder = tmp_path_factory.mktemp("data")
    sizes = (("train", TRAIN_ROWS + VALIDATION_ROWS), ("t10k", TEST_ROWS))
    for seed, (prefix, rows) in enumerate(sizes):
        images, labels = _make_digits(seed, rows)
        _write_idx(folder / f"{prefix}-images-idx3-ubyte", images)
        _write_idx(folder / f"{prefix}-labels-idx1-ubyte", labels)
    return folder


def _make_digits(seed: int, rows: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Noise with one bright block, whose place is the class."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 10, rows, dtype=np.uint8)
    images = random.integers(0, 60, (rows, 28, 28), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        row, column = divmod(int(label), 4)
        image[row * 7 + 3 : row * 7 + 9, column * 6 + 3 : column * 6 + 8] = 255
    return images, labels


def _split(images: npt.NDArray[np.uint8], labels: npt.NDArray[np.uint8]) -> Split:
    return Split(torch.from_numpy(images), torch.from_numpy(labels).long())


def _write_idx(path: Path, values: npt.NDArray[np.uint8]) -> None:
    header = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    path.write_bytes(header + values.tobytes())
