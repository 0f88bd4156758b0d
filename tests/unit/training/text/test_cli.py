"""``quartet train text`` end to end on a made-up text."""

import json
import shutil
from pathlib import Path

import pytest

from training.cli import train

SMALL = [
    "--model.width", "8", "--model.embedding", "4", "--data.batch-size", "18",
    "--data.sequence-length", "25", "--run.epochs", "1", "--run.device", "cpu",
    "--no-run.progress", "--run.log-every", "1",
]  # fmt: skip
"""Flags of a run of one epoch of four steps."""


def flags(text: Path, runs: Path, *more: str) -> list[str]:
    return ["text", "--corpus", str(text), "--run.dir", str(runs), *SMALL, *more]


def test_train_takes_any_text_and_publishes_no_folder(text_file: Path, tmp_path: Path) -> None:
    assert train(flags(text_file, tmp_path)) == 0
    run = tmp_path / "text" / "words-lstm8-seed1"
    summary = (run / "summary.json").read_text()
    assert list(json.loads(summary)["data"]) == ["words"]
    assert json.loads(summary)["command"].startswith("quartet train text --corpus words.txt ")
    for text in (summary, (run / "config.json").read_text()):
        assert str(text_file.parent) not in text


def test_train_resumes_a_text_that_has_moved(text_file: Path, tmp_path: Path) -> None:
    assert train(flags(text_file, tmp_path / "runs", "--run.max-steps", "2")) == 0
    run = tmp_path / "runs" / "text" / "words-lstm8-seed1"
    shutil.copy(text_file, tmp_path / "words.txt")
    resume = ["text", "--resume", str(run), "--no-run.progress"]
    assert train([*resume, "--data-dir", str(tmp_path)]) == 0
    summary = json.loads((run / "summary.json").read_text())
    assert (summary["steps"], summary["outcome"]) == (4, "finished")


def test_train_refuses_to_resume_with_another_text(
    text_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(flags(text_file, tmp_path / "runs", "--run.max-steps", "2")) == 0
    run = tmp_path / "runs" / "text" / "words-lstm8-seed1"
    other = tmp_path / text_file.name
    other.write_text(text_file.read_text(encoding="utf-8")[::-1], encoding="utf-8")
    assert train(["text", "--resume", str(run), "--corpus", str(other), "--no-run.progress"]) == 2
    assert "the run was trained on a text of SHA-256" in capsys.readouterr().err


def test_train_explains_a_missing_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(flags(tmp_path / "none.txt", tmp_path)) == 2
    assert "none.txt: no such file; corpus" in capsys.readouterr().err
