"""Captioned pictures in a folder: COCO annotations and files of splits."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from training.data.captioned_images import CaptionedImages, load_captioned_images
from training.data.idx import DataError

SIDE = 4


def write_picture(path: Path, colour: str = "red", width: int = SIDE) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (width, SIDE), colour).save(buffer, "PNG")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())


def write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), "utf-8")


def annotations(**captions: list[str]) -> dict[str, Any]:
    """A file of COCO annotations; the picture ``name`` is ``<name>.jpg``."""
    names = list(captions)
    return {
        "info": {"year": 2017},
        "images": [{"id": 10 + n, "file_name": f"{name}.jpg"} for n, name in enumerate(names)],
        "annotations": [
            {"id": 7, "image_id": 10 + names.index(name), "caption": text}
            for name, texts in captions.items()
            for text in texts
        ],
    }


def write_coco(folder: Path, year: str = "2017") -> None:
    write_json(
        folder / f"annotations/captions_train{year}.json",
        annotations(one=["A cup .", "A blue cup ."], two=["A spoon ."]),
    )
    write_json(
        folder / f"annotations/captions_val{year}.json",
        annotations(five=["A fork ."], four=["A pan ."], three=["A pot ."]),
    )
    write_picture(folder / f"train{year}/one.jpg", "blue", width=2 * SIDE)
    write_picture(folder / f"train{year}/two.jpg")
    for name in ("three", "four", "five"):
        write_picture(folder / f"val{year}/{name}.jpg")


def load(folder: Path) -> CaptionedImages:
    return load_captioned_images(folder.parent, folder.name, SIDE)


@pytest.mark.parametrize("year", ["2017", "2014"])
def test_load_reads_coco_annotations(tmp_path: Path, year: str) -> None:
    write_coco(tmp_path / "dishes", year)
    data = load(tmp_path / "dishes")
    assert data.name == "dishes"
    assert data.train.names == ("one.jpg", "two.jpg")
    assert data.train.captions == (("A cup .", "A blue cup ."), ("A spoon .",))
    assert data.train.images.dtype == torch.uint8
    assert data.train.images.shape == (2, 3, SIDE, SIDE)
    assert data.train.images[0, :, 0, 0].tolist() == [0, 0, 255]
    assert data.dropped == {}


def test_load_cuts_the_coco_validation_pictures_in_two(tmp_path: Path) -> None:
    write_coco(tmp_path / "dishes")
    data = load(tmp_path / "dishes")
    assert data.validation.names == ("five.jpg",)
    assert data.test.names == ("four.jpg", "three.jpg")
    assert data.test.captions == (("A pan .",), ("A pot .",))


def test_load_takes_an_absolute_folder(tmp_path: Path) -> None:
    write_coco(tmp_path / "dishes")
    data = load_captioned_images(Path("elsewhere"), str(tmp_path / "dishes"), SIDE)
    assert len(data.train) == 2


def test_load_names_what_it_left_out_of_coco(tmp_path: Path) -> None:
    write_coco(tmp_path / "dishes")
    content = annotations(one=["A cup ."], two=[" "], gone=["A lid ."], broken=["A jar ."])
    content["annotations"].append({"image_id": 99, "caption": "A ladle ."})
    content["images"].append({"id": 10, "file_name": "one.jpg"})
    write_json(tmp_path / "dishes/annotations/captions_train2017.json", content)
    (tmp_path / "dishes/train2017/broken.jpg").write_bytes(b"no picture")
    data = load(tmp_path / "dishes")
    assert data.train.names == ("one.jpg",)
    broken = dict(data.dropped).pop("train2017/broken.jpg")
    assert "cannot identify image file" in broken
    assert data.dropped == {
        "two.jpg": "no captions",
        "gone.jpg": "no such picture: train2017/gone.jpg",
        "one.jpg, once more": "is listed already",
        "captions_train2017.json, annotation 4": "no picture has the id 99",
        "train2017/broken.jpg": broken,
    }


def test_load_changes_the_checksum_with_a_caption(tmp_path: Path) -> None:
    write_coco(tmp_path / "dishes")
    before = load(tmp_path / "dishes").checksum
    assert load(tmp_path / "dishes").checksum == before
    write_json(
        tmp_path / "dishes/annotations/captions_train2017.json", annotations(one=["A mug ."])
    )
    assert load(tmp_path / "dishes").checksum != before


def karpathy(name: str, split: str, **more: str) -> dict[str, Any]:
    sentences = [{"raw": f"A {name} .", "tokens": ["a", name]}]
    return {"filename": f"{name}.jpg", "split": split, "sentences": sentences, **more}


def test_load_reads_a_file_of_splits(tmp_path: Path) -> None:
    images = [
        karpathy("cup", "train", filepath="train2014"),
        karpathy("jug", "restval", filepath="val2014"),
        karpathy("pan", "val"),
        karpathy("pot", "test"),
    ]
    write_json(tmp_path / "dataset_dishes.json", {"dataset": "dishes", "images": images})
    for path in ("train2014/cup.jpg", "val2014/jug.jpg", "Images/pan.jpg", "pot.jpg"):
        write_picture(tmp_path / path)
    data = load(tmp_path)
    assert data.train.names == ("cup.jpg", "jug.jpg")
    assert (data.validation.names, data.test.names) == (("pan.jpg",), ("pot.jpg",))
    assert data.test.captions == (("A pot .",),)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"images": []}, r"captions_val2017\.json: annotations: Field required"),
        (
            {"images": [{"id": "x", "file_name": "a.jpg"}], "annotations": []},
            r"captions_val2017\.json: images\.0\.id: Input should be a valid integer",
        ),
        ({"images": [], "annotations": []}, "validation: no picture with captions"),
    ],
)
def test_load_refuses_annotations_of_another_form(
    tmp_path: Path, content: object, message: str
) -> None:
    write_coco(tmp_path)
    write_json(tmp_path / "annotations/captions_val2017.json", content)
    with pytest.raises(DataError, match=message):
        load(tmp_path)


def test_load_refuses_a_file_that_is_no_json(tmp_path: Path) -> None:
    write_coco(tmp_path)
    (tmp_path / "annotations/captions_train2017.json").write_text("{", "utf-8")
    with pytest.raises(DataError, match=r"captions_train2017\.json: the file: Invalid JSON"):
        load(tmp_path)


@pytest.mark.parametrize("files", [0, 2])
def test_load_refuses_a_folder_without_one_file_of_captions(tmp_path: Path, files: int) -> None:
    for number in range(files):
        write_json(tmp_path / f"dataset_{number}.json", {"images": []})
    with pytest.raises(DataError, match=rf"one dataset_\*\.json, of which there are {files}"):
        load(tmp_path)


def test_load_refuses_an_unknown_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"dishes: no such folder; expected 'flickr8k' or"):
        load_captioned_images(tmp_path, "dishes", SIDE)
