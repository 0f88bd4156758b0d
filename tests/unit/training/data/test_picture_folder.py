"""Folders and zip files of pictures: order, classes, grey, what cannot be read."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.picture_data import png
from training.data import picture_folder
from training.data.idx import DataError
from training.data.picture_folder import load_picture_folder

RED, GREEN = (200, 0, 0), (0, 200, 0)


def plain(colour: tuple[int, int, int], rows: int = 8, columns: int = 8) -> bytes:
    return png(np.full((rows, columns, 3), colour, np.uint8))


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def pack(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as opened:
        for name, content in files.items():
            opened.writestr(name, content)
    return path


TWO = {"b/1.png": plain(GREEN), "a/1.png": plain(RED), "a/0.PNG": plain(RED), "readme.txt": b"no"}


def test_pictures_are_in_the_order_of_their_names(tmp_path: Path) -> None:
    found = load_picture_folder(write(tmp_path / "photos", TWO), 4, 3)
    assert found.names == ("a/0.PNG", "a/1.png", "b/1.png")
    assert found.classes == ("a", "b")
    assert found.labels.tolist() == [0, 0, 1]
    assert found.images.shape == (3, 3, 4, 4)
    assert found.images[:, :, 0, 0].tolist() == [list(RED), list(RED), list(GREEN)]
    assert found.faults == 0


def test_a_zip_file_reads_as_its_folder(tmp_path: Path) -> None:
    folder = load_picture_folder(write(tmp_path / "photos", TWO), 4, 3)
    packed = load_picture_folder(pack(tmp_path / "photos.zip", TWO), 4, 3)
    assert (packed.names, packed.classes) == (folder.names, folder.classes)
    assert torch.equal(packed.images, folder.images)
    assert torch.equal(packed.labels, folder.labels)


@pytest.mark.parametrize("where", ["", "cats/"])
def test_one_folder_is_no_class(tmp_path: Path, where: str) -> None:
    files = {f"{where}{row}.png": plain(RED) for row in range(2)}
    found = load_picture_folder(write(tmp_path / "photos", files), 4, 3)
    assert found.classes == ()
    assert found.labels.tolist() == [0, 0]


def test_a_picture_is_squeezed_not_cut(tmp_path: Path) -> None:
    halves = np.zeros((4, 16, 3), np.uint8)
    halves[:, 8:] = 200
    found = load_picture_folder(write(tmp_path / "photos", {"1.png": png(halves)}), 4, 3)
    assert found.images[0, 0, 1].tolist() == pytest.approx([0, 0, 200, 200], abs=40)


@pytest.mark.parametrize("at_once", [1, 2, 1000])
def test_grey_is_the_brightness_of_bt601(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(picture_folder, "_AT_ONCE", at_once)
    files = {"1.png": plain(RED), "2.png": plain(GREEN), "3.png": plain((200, 200, 200))}
    found = load_picture_folder(write(tmp_path / "photos", files), 4, 1)
    assert found.images.shape == (3, 1, 4, 4)
    assert found.images[:, 0, 0, 0].tolist() == [60, 117, 200]  # 0.299, 0.587 and 1 of 200


def test_a_picture_that_cannot_be_decoded_is_left_out_and_counted(tmp_path: Path) -> None:
    files = {**TWO, "c/broken.png": b"no picture", "a/cut.png": plain(RED)[:40]}
    found = load_picture_folder(write(tmp_path / "photos", files), 4, 3)
    assert found.names == ("a/0.PNG", "a/1.png", "b/1.png")
    assert found.classes == ("a", "b")
    assert found.faults == 2


def test_checksum_changes_with_what_is_there(tmp_path: Path) -> None:
    one = load_picture_folder(write(tmp_path / "one", TWO), 4, 3)
    two = load_picture_folder(write(tmp_path / "two", TWO), 8, 3)
    more = load_picture_folder(write(tmp_path / "two", {"b/2.png": plain(RED)}), 4, 3)
    assert one.checksum == two.checksum != more.checksum


def test_a_file_that_is_no_zip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photos.tar").write_bytes(b"no zip")
    with pytest.raises(DataError, match=r"photos\.tar: expected a folder or a zip file"):
        load_picture_folder(tmp_path / "photos.tar", 4, 3)


def test_a_damaged_zip_file_is_refused(tmp_path: Path) -> None:
    path = pack(tmp_path / "photos.zip", {"1.png": plain(RED)})
    content = bytearray(path.read_bytes())
    place = content.index(b"IDAT")  # stored as it is, so this spoils its checksum
    content[place + 6] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match=r"photos\.zip: Bad CRC-32"):
        load_picture_folder(path, 4, 3)


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    source = write(tmp_path / "texts", {"readme.txt": b"text"})
    with pytest.raises(DataError, match=r"texts: expected pictures \(\.jpg.*none in 1 files"):
        load_picture_folder(source, 4, 3)


def test_a_folder_of_broken_pictures_is_refused(tmp_path: Path) -> None:
    source = write(tmp_path / "photos", {f"{row}.png": b"no" for row in range(30)})
    with pytest.raises(DataError, match=r"photos: none of 30 pictures could be decoded") as caught:
        load_picture_folder(source, 4, 3)
    assert len(str(caught.value)) < 500 + len(str(source))
