"""One number for what a version computes: what changes it and what does not."""

from collections.abc import Callable
from pathlib import Path

import pytest

from serving.version_hash import version_sha256


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("model.onnx", "prefill.onnx", "weights.bin"):
        (tmp_path / name).write_bytes(name.encode() * 100)
    return tmp_path


def test_hash_is_of_the_content_and_not_of_time_or_place(folder: Path, tmp_path: Path) -> None:
    first = version_sha256(folder)
    assert len(bytes.fromhex(first)) == 32
    other = tmp_path / "copy"
    other.mkdir()
    for file in ("weights.bin", "prefill.onnx", "model.onnx"):
        (other / file).write_bytes((folder / file).read_bytes())
    assert version_sha256(other) == first


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "weights.bin").write_bytes(b"other"),
        lambda folder: (folder / "prefill.onnx").unlink(),
        lambda folder: (folder / "prefill.onnx").rename(folder / "other.onnx"),
        lambda folder: (folder / "more.bin").write_bytes(b""),
    ],
    ids=["content", "missing", "renamed", "added"],
)
def test_hash_changes_with_what_the_version_computes(
    folder: Path, change: Callable[[Path], object]
) -> None:
    before = version_sha256(folder)
    change(folder)
    assert version_sha256(folder) != before


@pytest.mark.parametrize(
    "name", ["golden.npz", "prefill.golden.npz", "run.json", ".nfs0001", "folder"]
)
def test_hash_leaves_out_what_only_speaks_of_the_version(folder: Path, name: str) -> None:
    before = version_sha256(folder)
    if name == "folder":
        (folder / name).mkdir()
    else:
        (folder / name).write_bytes(b"text")
    assert version_sha256(folder) == before
