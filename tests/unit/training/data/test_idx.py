"""IDX files: good ones are read, bad ones are named."""

import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest

from training.data.idx import DataError, parse_idx, read_idx


def encode(values: np.ndarray, kind: int = 0x08) -> bytes:
    header = bytes([0, 0, kind, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    return header + values.tobytes()


PICTURES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)


def test_parse_idx_gives_shape_and_values() -> None:
    got = parse_idx(encode(PICTURES), "file")
    assert got.dtype == np.uint8
    assert np.array_equal(got, PICTURES)


def test_parse_idx_turns_big_endian_values_round() -> None:
    got = parse_idx(encode(np.array([1, -300, 70_000], ">i4"), 0x0C), "file")
    assert got.dtype == np.int32
    assert got.tolist() == [1, -300, 70_000]


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_read_idx_takes_plain_and_gzip_and_hashes_the_content(tmp_path: Path, suffix: str) -> None:
    content = encode(PICTURES)
    path = tmp_path / f"pictures{suffix}"
    path.write_bytes(gzip.compress(content) if suffix else content)
    file = read_idx(path)
    assert np.array_equal(file.values, PICTURES)
    assert file.sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "not an IDX file: expected magic 00 00 <type> <axes>, got an empty file"),
        (b"PK\x03\x04rest", "not an IDX file: .* got 50 4b 03 04"),
        (b"\0\0\x07\x01\0\0\0\0", "not an IDX file: .* got 00 00 07 01"),
        (b"\0\0\x08\x03\0\0", "truncated: expected a header of 16 bytes, got 6"),
        (encode(PICTURES)[:-1], r"truncated: shape \[2, 3, 4\] wants 40 bytes, got 39"),
        (b"\0\0\x08\x04" + b"\0\1\0\0" * 4, r"truncated: .* wants 18446744073709551636 bytes"),
        (encode(PICTURES) + b"x", r"too long: shape \[2, 3, 4\] wants 40 bytes, got 41"),
    ],
)
def test_read_idx_names_the_file_and_its_fault(tmp_path: Path, content: bytes, fault: str) -> None:
    path = tmp_path / "bad-file"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"bad-file: {fault}"):
        read_idx(path)


def test_read_idx_names_a_truncated_gzip_file(tmp_path: Path) -> None:
    path = tmp_path / "cut.gz"
    path.write_bytes(gzip.compress(encode(PICTURES))[:-10])
    with pytest.raises(DataError, match=r"cut\.gz: truncated or damaged gzip file"):
        read_idx(path)


def test_read_idx_names_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="absent: cannot be read: No such file"):
        read_idx(tmp_path / "absent")
