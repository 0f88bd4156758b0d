"""Where a file came from."""

import hashlib
import re
from pathlib import Path

from training.provenance import git_commit, package_versions, sha256_of


def test_sha256_of_hashes_the_content(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert sha256_of(tmp_path / "file") == hashlib.sha256(b"abc").hexdigest()


def test_package_versions_names_python_and_each_package() -> None:
    versions = package_versions("numpy")
    assert set(versions) == {"python", "numpy"}
    assert all(re.match(r"\d+\.\d+", text) for text in versions.values())


def test_git_commit_is_a_hash_or_nothing() -> None:
    commit = git_commit()
    assert commit is None or re.fullmatch(r"[0-9a-f]{40}(-dirty)?", commit)
