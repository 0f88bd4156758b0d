"""Flickr8k: zip file and folder, faults of public copies, and the published figures."""

import io
import zipfile
from pathlib import Path

import pytest
import torch
from PIL import Image

from training.data import flickr8k
from training.data.caption_text import build_vocabulary, tokenize
from training.data.captioned_images import CaptionedImages, load_captioned_images
from training.data.idx import DataError

SIDE = 4
TOKENS = """\
one.jpg#1\tA second caption .
one.jpg#0\tA first caption .
two.jpg#0\tGlued to the next .three.jpg#0\tStill read .
three.jpg#1\tMore .
four.jpg#0\tLast one .
one.jpg.1#0\tCopied twice .
e999.jpg#0\tNo such picture .
e999.jpg#1\tNor here .
a line without a tab
"""
LISTS = {
    "Flickr_8k.trainImages.txt": "two.jpg\none.jpg\n",
    "Flickr_8k.devImages.txt": "three.jpg\n",
    "Flickr_8k.testImages.txt": "four.jpg\n",
}


def picture(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (SIDE, SIDE), colour).save(buffer, "PNG")
    return buffer.getvalue()


def make_files(**changed: str | bytes) -> dict[str, bytes]:
    """A small set; ``changed`` replaces files by the part of their name before the first dot."""
    names = ("one.jpg", "two.jpg", "three.jpg", "four.jpg", "unlisted.jpg")
    files: dict[str, str | bytes] = {"Flickr8k.token.txt": TOKENS, **LISTS}
    files |= {f"Images/{name}": picture("red" if name == "two.jpg" else "blue") for name in names}
    for name in files:
        stem = name.rpartition("/")[2].removeprefix("Flickr_8k.").partition(".")[0]
        files[name] = changed.get(stem, files[name])
    return {name: v.encode() if isinstance(v, str) else v for name, v in files.items()}


def write_zip(folder: Path, **changed: str | bytes) -> Path:
    with zipfile.ZipFile(folder / "flickr8k.zip", "w") as archive:
        for name, content in make_files(**changed).items():
            archive.writestr(name, content)
    return folder


def load(folder: Path) -> CaptionedImages:
    return load_captioned_images(folder, "flickr8k", SIDE, verify=False)


def test_load_follows_the_order_of_the_lists(tmp_path: Path) -> None:
    data = load(write_zip(tmp_path))
    assert data.train.names == ("two.jpg", "one.jpg")
    assert (data.validation.names, data.test.names) == (("three.jpg",), ("four.jpg",))
    assert data.train.images.dtype == torch.uint8
    assert data.train.images[:, :, 0, 0].tolist() == [[255, 0, 0], [0, 0, 255]]


def test_load_orders_captions_by_their_number(tmp_path: Path) -> None:
    data = load(write_zip(tmp_path))
    assert data.train.captions[1] == ("A first caption .", "A second caption .")


def test_load_recovers_both_records_of_a_glued_line(tmp_path: Path) -> None:
    data = load(write_zip(tmp_path))
    assert data.train.captions[0] == ("Glued to the next .",)
    assert data.validation.captions[0] == ("Still read .", "More .")
    assert data.dropped["Flickr8k.token.txt, line 3"] == (
        "2 records in one line; all of them were recovered"
    )


def test_load_names_what_it_left_out(tmp_path: Path) -> None:
    dropped = dict(load(write_zip(tmp_path)).dropped)
    dropped.pop("Flickr8k.token.txt, line 3")
    assert dropped == {
        "one.jpg.1": "has captions but no picture",
        "e999.jpg": "has captions but no picture",
        "Flickr8k.token.txt, line 9": "not <picture>#<number><tab><caption>",
    }


@pytest.mark.parametrize(
    ("changed", "key", "why"),
    [
        ({"trainImages": "one.jpg\ngone.jpg\n"}, "gone.jpg", "no such picture"),
        ({"trainImages": "one.jpg\nunlisted.jpg\n"}, "unlisted.jpg", "no captions"),
        (
            {"trainImages": "one.jpg\nfour.jpg\n"},
            "four.jpg",
            "is in Flickr_8k.testImages.txt already",
        ),
    ],
)
def test_load_drops_an_entry_of_a_list_with_a_reason(
    tmp_path: Path, changed: dict[str, str], key: str, why: str
) -> None:
    data = load(write_zip(tmp_path, **changed))
    assert data.dropped[f"Flickr_8k.trainImages.txt: {key}"] == why
    assert data.train.names == ("one.jpg",)


def test_load_drops_a_picture_that_cannot_be_decoded(tmp_path: Path) -> None:
    data = load(write_zip(tmp_path, two=b"no picture"))
    assert data.train.names == ("one.jpg",)
    assert len(data.train) == len(data.train.images) == len(data.train.captions) == 1
    assert "cannot identify image file" in data.dropped["Images/two.jpg"]


def test_load_keeps_the_first_of_two_records_of_one_number(tmp_path: Path) -> None:
    token = TOKENS + "four.jpg#0\tAnother .\nfour.jpg#2\t \n"
    data = load(write_zip(tmp_path, Flickr8k=token))
    assert data.test.captions == (("Last one .",),)
    assert data.dropped["four.jpg#0, line 10"] == "a second record of that number"
    assert data.dropped["four.jpg#2"] == "an empty caption"


def write_folder(folder: Path, pictures: str = "Images", **changed: str | bytes) -> None:
    for name, content in make_files(**changed).items():
        path = folder / name.replace("Images/", f"{pictures}/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


@pytest.mark.parametrize("pictures", ["Images", "Flicker8k_Dataset"])
@pytest.mark.parametrize("place", ["flickr8k", "Flickr8k", "."])
def test_load_reads_the_original_folder(tmp_path: Path, place: str, pictures: str) -> None:
    write_folder(tmp_path / place, pictures)
    data = load_captioned_images(tmp_path, "flickr8k", SIDE)
    assert data.train.names == ("two.jpg", "one.jpg")
    assert data.train.captions[0] == ("Glued to the next .",)


@pytest.mark.parametrize(
    "changed", [{"Flickr8k": TOKENS + "four.jpg#1\tMore .\n"}, {"trainImages": "one.jpg\n"}]
)
def test_load_changes_the_checksum_of_a_folder_with_its_texts(
    tmp_path: Path, changed: dict[str, str]
) -> None:
    write_folder(tmp_path)
    before = load(tmp_path).checksum
    assert load(tmp_path).checksum == before
    write_folder(tmp_path, **changed)
    assert load(tmp_path).checksum != before


def test_load_refuses_another_zip_when_it_verifies(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"flickr8k\.zip: not the published .*--no-data\.verify"):
        load_captioned_images(write_zip(tmp_path), "flickr8k", SIDE)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"trainImages": ""}, "train: no picture with captions"),
        ({"Flickr8k": b"\xff\xfe\xff"}, r"flickr8k\.zip: Flickr8k\.token\.txt: not UTF-8"),
    ],
)
def test_load_refuses_a_zip_that_holds_nothing_to_learn(
    tmp_path: Path, content: dict[str, str | bytes], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        load(write_zip(tmp_path, **content))


def test_load_refuses_a_file_that_is_no_zip(tmp_path: Path) -> None:
    (tmp_path / "flickr8k.zip").write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match=r"flickr8k\.zip: File is not a zip file"):
        load(tmp_path)


def test_load_refuses_a_zip_without_a_list(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "flickr8k.zip", "w") as archive:
        archive.writestr("Images/one.jpg", picture("red"))
    with pytest.raises(DataError, match=r"expected Flickr_8k\.trainImages\.txt, which is not"):
        load(tmp_path)


def test_load_refuses_an_empty_data_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"flickr8k\.zip: no such file, nor Flickr8k\.token\.txt"):
        load(tmp_path)


@pytest.mark.data
def test_files_of_the_published_zip_have_the_published_counts(data_dir: Path) -> None:
    if not (data_dir / flickr8k.ARCHIVE).is_file():
        pytest.skip(f"no {flickr8k.ARCHIVE} in {data_dir}")
    files = flickr8k.flickr8k_files(data_dir, verify=True)
    assert {split: len(listed) for split, listed in files.splits.items()} == {
        "train": 6000,
        "validation": 1000,
        "test": 1000,
    }
    assert {len(f.captions) for listed in files.splits.values() for f in listed.values()} == {5}
    assert files.dropped == {}
    train = [tokenize(c) for f in files.splits["train"].values() for c in f.captions]
    assert [len(build_vocabulary(train, least)) - 3 for least in (1, 3, 5)] == [7630, 3486, 2537]
    assert (sum(map(len, train)), max(map(len, train)), min(map(len, train))) == (323639, 36, 2)
