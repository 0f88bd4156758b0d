"""Downloads from file:// mirrors."""

import hashlib
from pathlib import Path

import pytest

from training.data.download import download
from training.data.idx import DataError

GOOD = b"the file"
SHA256 = hashlib.sha256(GOOD).hexdigest()


def test_download_takes_the_first_mirror_with_the_right_bytes(tmp_path: Path) -> None:
    absent, wrong, good = (tmp_path / name for name in ("absent", "wrong", "good"))
    wrong.write_bytes(b"another file")
    good.write_bytes(GOOD)
    target = tmp_path / "folder" / "target"
    download([path.as_uri() for path in (absent, wrong, good)], target, SHA256)
    assert target.read_bytes() == GOOD


def test_download_leaves_nothing_when_no_mirror_is_right(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_bytes(b"another file")
    target = tmp_path / "folder" / "target"
    with pytest.raises(DataError, match=f"target could not be downloaded: .*expected.*{SHA256}"):
        download([wrong.as_uri()], target, SHA256)
    assert list(target.parent.iterdir()) == []
