"""``quartet train`` end to end on a made-up data set."""

import json
import re
from pathlib import Path

import pytest
import torch

from training.checkpoint import load_checkpoint
from training.cli import train

SMALL = [
    "--no-data.verify", "--model.channels", "2,3", "--model.hidden", "8", "--data.batch-size", "32",
    "--run.epochs", "1", "--run.device", "cpu", "--no-run.progress", "--run.log-every", "2",
]  # fmt: skip
"""Flags of a run of one epoch of four steps."""


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of runs; the environment sets nothing."""
    monkeypatch.delenv("QUARTET_DATA_DIR", raising=False)
    return tmp_path / "runs"


def flags(data: Path, runs: Path, *more: str) -> list[str]:
    return ["mnist", "--data-dir", str(data), "--run.dir", str(runs), *SMALL, *more]


def last_weights(run: Path) -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = load_checkpoint(run / "last.pt")["modules"]["model"]
    return weights


def test_train_leaves_a_whole_run_directory(
    mnist_dir: Path, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(flags(mnist_dir, runs)) == 0
    run = runs / "mnist" / "lenet-seed1"
    assert {path.name for path in run.iterdir()} == {
        "config.json", "command.txt", "metrics.jsonl", "best.pt", "last.pt", "summary.json",
        "curves.png", "tensorboard",
    }  # fmt: skip
    out = capsys.readouterr().out
    assert "model.channels = [2, 3]" in out
    assert "finished after 4 steps" in out


def test_train_summarises_seed_data_metrics_and_command(mnist_dir: Path, runs: Path) -> None:
    assert train(flags(mnist_dir, runs, "--run.seed", "7")) == 0
    text = (runs / "mnist" / "lenet-seed7" / "summary.json").read_text()
    summary = json.loads(text)
    assert (summary["seed"], summary["steps"], summary["outcome"]) == (7, 4, "finished")
    assert len(summary["data"]["train-images-idx3-ubyte"]) == 64
    assert 0 <= summary["best"]["validation"]["accuracy"] <= 1
    assert summary["command"].startswith("quartet train mnist --data-dir DIR --run.dir")
    assert summary["versions"]["torch"] == torch.__version__
    assert str(mnist_dir) not in text


def test_train_records_no_folder_of_this_machine(
    mnist_dir: Path, runs: Path, tmp_path: Path
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[run]\nseed = 2\n")
    assert train(flags(mnist_dir, runs, "--config", str(file), "--run.name=mine")) == 0
    run = runs / "mnist" / "mine"
    for name in ("config.json", "summary.json"):
        assert str(tmp_path) not in (run / name).read_text()
    command = json.loads((run / "summary.json").read_text())["command"]
    assert command.startswith("quartet train mnist --data-dir DIR --run.dir DIR --no-data.verify")
    assert command.endswith("--config mine.toml --run.name=mine")


def test_train_resumed_through_the_command_ends_at_the_same_weights(
    mnist_dir: Path, runs: Path
) -> None:
    assert train(flags(mnist_dir, runs, "--run.name", "whole")) == 0
    assert train(flags(mnist_dir, runs, "--run.name", "parts", "--run.max-steps", "3")) == 0
    run = runs / "mnist" / "parts"
    assert load_checkpoint(run / "last.pt")["progress"]["step"] == 3
    assert train(["mnist", "--resume", str(run), "--data-dir", str(mnist_dir)]) == 0
    command = json.loads((run / "summary.json").read_text())["command"]
    assert "--resume" not in command, "the command that repeats a run is the one that began it"
    whole, parts = last_weights(runs / "mnist" / "whole"), last_weights(run)
    assert all(torch.equal(whole[key], parts[key]) for key in whole)


def test_train_refuses_to_change_a_resumed_run(
    mnist_dir: Path, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(flags(mnist_dir, runs, "--run.max-steps", "1")) == 0
    run = runs / "mnist" / "lenet-seed1"
    assert train(["mnist", "--resume", str(run), "--optimizer.lr", "0.5"]) == 2
    assert "cannot change its course midway: optimizer.lr = 0.5" in capsys.readouterr().err


def test_train_refuses_an_existing_run(
    mnist_dir: Path, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(flags(mnist_dir, runs, "--run.max-steps", "1")) == 0
    assert train(flags(mnist_dir, runs)) == 2
    assert "exists already; resume it with --resume" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arch", "line"),
    [
        ("mlp", "model.hidden = [512, 512]"),
        ("lenet", "model.hidden = [256]"),
        ("resnet", "precision.compute = bfloat16"),
    ],
)
def test_print_config_shows_the_recipe_of_the_architecture(
    arch: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(["mnist", "--model.arch", arch, "--print-config"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"model.arch = {arch}" in lines
    assert line in lines


def test_flags_win_over_the_file_and_the_file_over_the_recipe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[model]\narch = "mlp"\n[optimizer]\nlr = 0.5\n[run]\nseed = 3\n')
    assert train(["mnist", "--config", str(file), "--run.seed", "4", "--print-config"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {"run.seed = 4", "optimizer.lr = 0.5", "run.epochs = 15"} <= set(lines)


def test_the_environment_gives_the_data_folder(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QUARTET_DATA_DIR", "/some/data")
    assert train(["mnist", "--print-config"]) == 0
    assert "data_dir = /some/data" in capsys.readouterr().out


def test_an_unknown_key_in_the_file_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[optimizer]\nlearning_rate = 0.5\n")
    assert train(["mnist", "--config", str(file), "--print-config"]) == 2
    assert "optimizer.learning_rate: unknown key" in capsys.readouterr().err


def test_an_unknown_flag_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        train(["mnist", "--optimizer.learning-rate", "1"])
    assert "--optimizer.learning-rate" in capsys.readouterr().err


def test_missing_data_is_named_and_leaves_no_run(
    tmp_path: Path, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(flags(tmp_path / "nowhere", runs)) == 2
    assert "train-images-idx3-ubyte.gz: no such file" in capsys.readouterr().err
    assert not runs.exists()


def test_help_lists_the_families(capsys: pytest.CaptureFixture[str]) -> None:
    assert train(["--help"]) == 0
    assert re.search(r"mnist +which digit", capsys.readouterr().out)


def test_help_of_a_family_shows_every_section(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        train(["mnist", "--help"])
    out = capsys.readouterr().out
    for flag in ("--model.arch", "--optimizer.lr", "--schedule.name", "--run.seed", "--data-dir"):
        assert flag in out


def test_an_unknown_family_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert train(["cats"]) == 2
    assert "unknown family 'cats'; expected one of: mnist" in capsys.readouterr().err
