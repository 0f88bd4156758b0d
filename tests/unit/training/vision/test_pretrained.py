"""Encoders that come from elsewhere."""

from pathlib import Path

import pytest
import torch

from quartet.config import ConfigError
from training.checkpoint import CheckpointError, save_checkpoint
from training.rundir import write_json
from training.vision.classifier import EncoderClassifier
from training.vision.config import ResidualConfig
from training.vision.pretrained import load_encoder, origin
from training.vision.resnet import STRIDE, ResidualEncoder

SMALL = ResidualConfig(channels=(4, 4, 6, 8), blocks=1)


def make_run(folder: Path, family: str = "encoder") -> ResidualEncoder:
    """A run directory as far as ``load_encoder`` looks; its encoder."""
    folder.mkdir(parents=True)
    encoder = ResidualEncoder(SMALL.channels, SMALL.blocks)
    write_json(folder / "config.json", {"family": family, "model": SMALL.model_dump(mode="json")})
    (folder / "command.txt").write_text("quartet train encoder\n")
    model = EncoderClassifier(encoder, encoder.channels, 3, 0.0)
    save_checkpoint(folder / "best.pt", {"model": model.state_dict()})
    return encoder


def test_an_encoder_halves_the_sides_four_times() -> None:
    features = ResidualEncoder(SMALL.channels, SMALL.blocks)(torch.zeros(2, 3, 64, 48))
    assert features.shape == (2, 8, 64 // STRIDE, 48 // STRIDE)


def test_a_runs_encoder_comes_with_its_weights_and_its_command(tmp_path: Path) -> None:
    encoder = make_run(tmp_path / "encoder" / "small")
    loaded = load_encoder(str(tmp_path / "encoder" / "small"), SMALL)
    assert loaded.channels == 8
    assert loaded.facts["command"] == "quartet train encoder"
    assert loaded.facts["from"] == "encoder/small"
    assert len(loaded.facts["sha256"]) == 64
    for got, expected in zip(
        loaded.encoder.state_dict().values(), encoder.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(got, expected, atol=0, rtol=0)


def test_the_whole_line_of_commands_is_known(tmp_path: Path) -> None:
    make_run(tmp_path / "words" / "small", "words")
    assert "start" not in origin(str(tmp_path / "words" / "small"))
    start = {"from": "encoder/classes", "command": "quartet train encoder", "sha256": "0" * 64}
    write_json(tmp_path / "words" / "small" / "summary.json", {"start": start})
    assert origin(str(tmp_path / "words" / "small"))["start"] == start


def test_an_encoder_of_another_shape_is_refused(tmp_path: Path) -> None:
    make_run(tmp_path / "run")
    with pytest.raises(ConfigError, match="but the model asks for"):
        load_encoder(str(tmp_path / "run"), ResidualConfig(channels=(4, 4, 6, 16), blocks=1))


def test_a_run_without_an_encoder_is_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", {"family": "text", "model": {"cell": "lstm"}})
    with pytest.raises(ConfigError, match="family 'text', which has no encoder"):
        load_encoder(str(tmp_path), SMALL)


def test_weights_that_are_no_encoder_are_refused(tmp_path: Path) -> None:
    make_run(tmp_path / "run")
    save_checkpoint(tmp_path / "run" / "best.pt", {"model": {"head.weight": torch.zeros(1)}})
    with pytest.raises(CheckpointError, match="holds no encoder"):
        load_encoder(str(tmp_path / "run"), SMALL)


def test_torchvision_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torchvision.models", None)
    with pytest.raises(ConfigError, match="needs torchvision, which is not installed"):
        load_encoder("torchvision:resnet50", SMALL)
