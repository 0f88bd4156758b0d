"""A captioner of random weights with the made-up photographs it is judged by."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.photo_data import make_photos
from tests.unit.training.caption.test_caption_task import make_config
from training.caption.model import Captioner, CaptionModel
from training.checkpoint import save_checkpoint
from training.data.caption_text import build_vocabulary, tokenize
from training.data.captioned_images import CaptionedImages
from training.rundir import RunDirectory
from training.vision.pretrained import make_encoder

DATASET = "photos"
PICTURES = 12


@dataclass(frozen=True)
class PhotoRun:
    """A run directory and its data."""

    path: Path
    data_dir: Path
    photos: CaptionedImages


def write_photos(folder: Path, photos: CaptionedImages) -> None:
    """``photos`` as a folder that ``training.data.coco_captions`` reads."""
    folder.mkdir(parents=True)
    listed = []
    for split, part in (("train", photos.train), ("val", photos.validation), ("test", photos.test)):
        for image, name, texts in zip(part.images, part.names, part.captions, strict=True):
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / name, "PNG")
            sentences = [{"raw": text} for text in texts]
            listed.append({"filename": name, "split": split, "sentences": sentences})
    (folder / "dataset_photos.json").write_text(json.dumps({"images": listed}))


def make_run(folder: Path, decoder: str = "attention") -> PhotoRun:
    """A run of random weights in ``folder``, whose data may be there already."""
    photos = make_photos(PICTURES)
    if not (folder / DATASET).is_dir():
        write_photos(folder / DATASET, photos)
    config = make_config(dataset=DATASET)
    config = config.model_copy(
        update={"model": config.model.model_copy(update={"decoder": decoder})}
    )
    texts = (tokenize(text) for captions in photos.train.captions for text in captions)
    torch.manual_seed(0)
    made = make_encoder("", config.model.residual)
    model = CaptionModel(config.model, made.channels, build_vocabulary(texts, 1), 0.0)
    run = RunDirectory(folder / "caption" / decoder)
    run.create("caption", config)
    save_checkpoint(run.best, {"model": Captioner(made.encoder, model).state_dict()})
    return PhotoRun(run.path, folder, photos)


@pytest.fixture
def photo_run(tmp_path: Path) -> PhotoRun:
    """A run of the attention network, not evaluated."""
    return make_run(tmp_path)
