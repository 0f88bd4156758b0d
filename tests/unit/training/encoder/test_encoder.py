"""Training of encoders on a made-up Tiny-ImageNet."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from training.checkpoint import save_checkpoint
from training.data.idx import DataError
from training.data.tiny_imagenet import NAME, load_tiny_imagenet
from training.encoder import evaluation
from training.encoder.config import EncoderConfig
from training.encoder.task import EncoderTask
from training.rundir import RunDirectory
from training.runtime import Runtime

COLOURS = ((220, 30, 30), (30, 220, 30), (30, 30, 220), (220, 220, 30), (220, 30, 220), (9, 9, 9))
CONFIG = EncoderConfig.model_validate(
    {
        "model": {"channels": (4, 4, 8, 8), "blocks": 1},
        "data": {"batch_size": 12, "sides": (32,), "validation_side": 32},
        "optimizer": {"name": "adamw", "lr": 1e-2},
        "schedule": {"name": "constant"},
        "regularisation": {"dropout": 0.0},
        "run": {"epochs": 8},
    }
)


def picture(colour: tuple[int, int, int], random: np.random.Generator) -> bytes:
    noise = random.integers(-20, 20, (64, 64, 3))
    pixels = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def write_archive(folder: Path, *, broken: bool = False) -> None:
    """A class a colour: six training and four validation pictures of each."""
    random = np.random.default_rng(1)
    wnids = [f"n{number:08}" for number in range(len(COLOURS))]
    notes = []
    with zipfile.ZipFile(folder / f"{NAME}.zip", "w") as archive:
        archive.writestr(f"{NAME}/wnids.txt", "\n".join(wnids))
        archive.writestr(f"{NAME}/words.txt", f"{wnids[0]}\tgoldfish, Carassius auratus\n")
        for number, wnid in enumerate(wnids):
            for row in range(6):
                name = f"{NAME}/train/{wnid}/images/{wnid}_{row}.png"
                archive.writestr(name, picture(COLOURS[number], random))
            for row in range(4):
                file = f"val_{row}_{number}"
                archive.writestr(f"{NAME}/val/images/{file}.png", picture(COLOURS[number], random))
                notes.append((row, f"{file}.JPEG\t{wnid}\t0\t0\t63\t63"))
        if broken:
            archive.writestr(f"{NAME}/train/{wnids[0]}/images/{wnids[0]}_9.png", b"no picture")
        text = "\n".join(note for _, note in sorted(notes))
        archive.writestr(f"{NAME}/val/val_annotations.txt", text)


def test_the_splits_have_their_classes_and_the_held_out_half_is_kept_apart(tmp_path: Path) -> None:
    write_archive(tmp_path)
    data = load_tiny_imagenet(tmp_path)
    assert (len(data.train), len(data.validation), len(data.test)) == (36, 12, 12)
    assert data.names[0] == "goldfish, Carassius auratus"
    assert data.validation.labels.tolist() == data.test.labels.tolist() == [*range(6), *range(6)]
    assert data.train.images.shape == (36, 3, 64, 64)
    reds = data.train.images[data.train.labels == 0].float().mean((0, 2, 3))
    assert reds[0] > reds[1] + 100


def test_an_unpacked_folder_reads_as_the_archive(tmp_path: Path) -> None:
    write_archive(tmp_path)
    packed = load_tiny_imagenet(tmp_path)
    with zipfile.ZipFile(tmp_path / f"{NAME}.zip") as archive:
        archive.extractall(tmp_path)
    (tmp_path / f"{NAME}.zip").unlink()
    folder = load_tiny_imagenet(tmp_path)
    assert torch.equal(folder.train.images, packed.train.images)
    assert torch.equal(folder.test.labels, packed.test.labels)


def test_a_picture_that_cannot_be_read_is_left_out_and_named(tmp_path: Path) -> None:
    write_archive(tmp_path, broken=True)
    data = load_tiny_imagenet(tmp_path)
    assert len(data.train) == 36
    assert list(data.faults) == [f"{NAME}/train/n00000000/images/n00000000_9.png"]


def test_absent_and_damaged_archives_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        load_tiny_imagenet(tmp_path)
    (tmp_path / f"{NAME}.zip").write_bytes(b"no zip")
    with pytest.raises(DataError, match=NAME):
        load_tiny_imagenet(tmp_path)


def test_colours_are_told_apart_and_the_evaluation_says_so(tmp_path: Path) -> None:
    write_archive(tmp_path)
    task = EncoderTask(CONFIG, load_tiny_imagenet(tmp_path), Runtime())
    for step in range(task.plan.total_steps):
        torch.manual_seed(step)
        task.train_step(step)
    assert task.validate()["accuracy"] > 0.8  # a sixth by chance
    run = RunDirectory(tmp_path / "run")
    run.create("encoder", CONFIG)
    save_checkpoint(run.best, {"model": task.best_model().state_dict()})
    figures = evaluation.open_run(run.path, tmp_path).evaluate("validation").figures
    assert figures["accuracy"] == pytest.approx(task.validate()["accuracy"])
    assert f"{figures['accuracy']:.2%} of 12 pictures" in evaluation.describe(figures)
