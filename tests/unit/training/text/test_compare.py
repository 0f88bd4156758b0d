"""The comparison of runs: table, picture, exit status."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from training.checkpoint import save_checkpoint
from training.text.compare import compare_run, main, plot_lags, table_text
from training.text.config import TextConfig
from training.text.data import Corpus
from training.text.lags import LagPlan
from training.text.model import build_model

PLAN = LagPlan(places=3, lags=8, context=4)


def make_run(folder: Path, cell: str, text_file: Path, corpus: Corpus) -> Path:
    """A finished run of random weights."""
    settings = {
        "model": {"cell": cell, "layers": 1, "width": 8, "embedding": 4},
        "data": {"batch_size": 4, "sequence_length": 8},
    }
    folder.mkdir()
    torch.manual_seed(1)
    model = build_model(TextConfig.model_validate(settings), corpus.symbols)
    config = {"family": "text", "corpus": str(text_file), **settings}
    (folder / "config.json").write_text(json.dumps(config))
    save_checkpoint(folder / "best.pt", {"model": model.state_dict(), "step": 0, "metrics": {}})
    summary = {
        "parameters": 1234,
        "epochs": 2.0,
        "elapsed_s": 65.0,
        "best": {"validation": {"loss": 1.23456}},
        "data": {corpus.name: corpus.checksum},
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


@pytest.fixture
def run_dirs(tmp_path: Path, text_file: Path, corpus: Corpus) -> list[Path]:
    return [make_run(tmp_path / cell, cell, text_file, corpus) for cell in ("rnn", "tcn")]


def test_table_has_a_line_for_each_run(run_dirs: list[Path]) -> None:
    runs = [compare_run(path, path, PLAN) for path in run_dirs]
    lines = table_text(runs).split("\n")
    assert len(lines) == 4
    assert lines[2].startswith("| `rnn` | rnn | 1 x 8 | 1,234 | 2 | 1.2346 | ")
    assert f"{runs[0].figures['held_out']['loss']:.4f}" in lines[2]
    assert "| -, trained - |" in lines[3]


def test_comparison_stores_the_evaluation_beside_the_weights(run_dirs: list[Path]) -> None:
    run = compare_run(run_dirs[0], run_dirs[0], PLAN)
    stored = json.loads((run_dirs[0] / "evaluation.json").read_text())
    assert stored["splits"]["test"] == run.figures


def test_picture_is_drawn(run_dirs: list[Path], tmp_path: Path) -> None:
    plot_lags([compare_run(path, path, PLAN) for path in run_dirs], tmp_path / "lags.png")
    with Image.open(tmp_path / "lags.png") as picture:
        assert min(picture.size) > 300


def test_command_says_what_is_no_finished_run(
    run_dirs: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    (run_dirs[0] / "summary.json").unlink()
    assert main([str(run_dirs[0])]) == 2
    assert "no finished run: it has no summary.json" in capsys.readouterr().err
