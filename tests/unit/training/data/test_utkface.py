"""UTKFace: labels from names, splits from a hash of the name, what cannot be read."""

import zipfile
from pathlib import Path

import pytest
import torch

from tests.picture_data import face, face_names, png, write_faces
from training.data.idx import DataError
from training.data.utkface import Split, UtkFace, load_utkface, split_of

ARCHIVE = "utkface64.zip"
NAME = "20_0_0_20170110224238891.jpg.chip.jpg"


def rewrite(folder: Path, **files: bytes) -> None:
    """The archive of ``write_faces`` with more files."""
    write_faces(folder / ARCHIVE)
    with zipfile.ZipFile(folder / ARCHIVE, "a") as opened:
        for name, content in files.items():
            opened.writestr(name, content)


def same(one: Split, two: Split) -> bool:
    return (
        torch.equal(one.images, two.images)
        and torch.equal(one.ages, two.ages)
        and torch.equal(one.female, two.female)
    )


def splits(data: UtkFace) -> tuple[Split, Split, Split]:
    return data.train, data.validation, data.test


def test_labels_and_pictures_belong_together(tmp_path: Path) -> None:
    write_faces(tmp_path / ARCHIVE)
    data = load_utkface(tmp_path)
    assert [len(split) for split in splits(data)] == [3, 3, 3]
    for split in splits(data):
        assert split.images.shape == (3, 3, 64, 64)
        for picture, age, female in zip(split.images, split.ages, split.female, strict=True):
            wanted = torch.from_numpy(face(int(age), bool(female), 64)).permute(2, 0, 1)
            assert torch.equal(picture, wanted)
    labels = {
        (int(a), bool(f)) for s in splits(data) for a, f in zip(s.ages, s.female, strict=True)
    }
    assert labels == {(age, female) for _, age, female in face_names(3)}


def test_pictures_are_brought_to_the_side(tmp_path: Path) -> None:
    write_faces(tmp_path / ARCHIVE)
    data, small = load_utkface(tmp_path), load_utkface(tmp_path, side=16)
    assert small.train.images.shape == (3, 3, 16, 16)
    assert torch.equal(small.train.images, data.train.images[..., :16, :16])


def test_a_folder_reads_as_the_archive(tmp_path: Path) -> None:
    write_faces(tmp_path / ARCHIVE)
    packed = load_utkface(tmp_path)
    with zipfile.ZipFile(tmp_path / ARCHIVE) as opened:
        opened.extractall(tmp_path)
    (tmp_path / ARCHIVE).unlink()
    folder = load_utkface(tmp_path)
    assert all(same(*pair) for pair in zip(splits(packed), splits(folder), strict=True))
    assert folder.checksum != packed.checksum
    assert len(folder.checksum) == 64


def test_split_depends_on_the_name_alone() -> None:
    assert split_of(NAME) == "train"
    counts = {"train": 0, "validation": 0, "test": 0}
    for number in range(5000):
        counts[split_of(f"{number}.jpg")] += 1
    # A tenth of 5,000 with four standard deviations of 21; 26 of 256 first bytes end on 5 or less.
    assert counts["validation"] == pytest.approx(500, abs=90)
    assert counts["test"] == pytest.approx(500, abs=90)


def test_a_copy_in_another_folder_stays_in_its_split(tmp_path: Path) -> None:
    """Archives on the web hold each face twice; a copy must not leak from training to testing."""
    names = [name for name, _, _ in face_names(3)]
    write_faces(tmp_path / ARCHIVE)
    with zipfile.ZipFile(tmp_path / ARCHIVE, "a") as opened:
        for name in names:
            opened.writestr(f"copies/{name}", opened.read(f"UTKFace/{name}"))
    data = load_utkface(tmp_path)
    assert [len(split) for split in splits(data)] == [6, 6, 6]
    assert torch.equal(data.test.images[:3], data.test.images[3:])


@pytest.mark.parametrize(
    "name",
    [
        "39_1_20170116174525125.jpg.chip.jpg",  # the gender or the third label is missing
        "0_0_0_20170110224238891.jpg.chip.jpg",
        "117_0_0_20170110224238891.jpg.chip.jpg",
        "20_2_0_20170110224238891.jpg.chip.jpg",
        "portrait.png",
    ],
)
def test_a_name_without_labels_is_left_out_and_named(tmp_path: Path, name: str) -> None:
    rewrite(tmp_path, **{f"UTKFace/{name}": png(face(20, False, 8))})
    data = load_utkface(tmp_path)
    assert sum(map(len, splits(data))) == 9
    assert data.faults == {f"UTKFace/{name}": "its name gives no age and gender"}


def test_a_picture_that_cannot_be_decoded_is_left_out_and_named(tmp_path: Path) -> None:
    rewrite(tmp_path, **{f"UTKFace/{NAME}": b"no picture", "UTKFace/readme.txt": b"text"})
    data = load_utkface(tmp_path)
    assert sum(map(len, splits(data))) == 9
    assert list(data.faults) == [f"UTKFace/{NAME}"]


def test_nothing_to_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"utkface64\.zip: no such file, nor .*UTKFace"):
        load_utkface(tmp_path)


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / ARCHIVE).write_bytes(b"no zip")
    with pytest.raises(DataError, match=r"utkface64\.zip"):
        load_utkface(tmp_path)


def test_an_archive_without_faces_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / ARCHIVE, "w") as opened:
        opened.writestr("cat.jpg", png(face(20, False, 8)))
    with pytest.raises(DataError, match="expected files <age>_<gender>"):
        load_utkface(tmp_path)


def test_too_few_faces_for_three_splits_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / ARCHIVE, "w") as opened:
        opened.writestr(NAME, png(face(20, False, 8)))
    with pytest.raises(DataError, match="1 faces leave none for split 'validation'"):
        load_utkface(tmp_path)


def test_the_real_archive_has_three_splits_of_both_genders(data_dir: Path) -> None:
    if not (data_dir / ARCHIVE).is_file():
        pytest.skip(f"no {ARCHIVE} at {data_dir}")
    with zipfile.ZipFile(data_dir / ARCHIVE) as opened:
        names = [n.rpartition("/")[2] for n in opened.namelist() if n.endswith(".jpg")]
    counts = {split: [0, 0] for split in ("train", "validation", "test")}
    for name in names:
        gender = name.split("_")[1]
        if gender in {"0", "1"}:
            counts[split_of(name)][int(gender)] += 1
    assert sum(counts["train"]) == pytest.approx(0.8 * len(names), rel=0.02)
    for men, women in counts.values():
        assert 0.45 < women / (men + women) < 0.55
