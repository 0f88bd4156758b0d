"""The commands ``quartet evaluate`` and ``quartet export``: options, messages, exit status."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from training.evaluation.cli import main as evaluate_main
from training.evaluation.runner import EVALUATION_FILE, stored_evaluation
from training.export.cli import main as export_main

Main = Callable[[Sequence[str]], int]
BOTH = pytest.mark.parametrize("main", [evaluate_main, export_main])


@BOTH
def test_command_explains_its_options(main: Main, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    assert "--data-dir" in capsys.readouterr().out


@BOTH
def test_command_says_what_is_no_run_directory(
    main: Main, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path)]) == 2
    assert f"{tmp_path} is no " in capsys.readouterr().err


@BOTH
def test_command_names_an_unknown_family(
    main: Main, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "best.pt").write_bytes(b"weights")
    (tmp_path / "config.json").write_text('{"family": "speech"}')
    assert main([str(tmp_path)]) == 2
    assert "family 'speech'; this version knows mnist" in capsys.readouterr().err


def test_evaluate_prints_stored_figures_without_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "best.pt").write_bytes(b"weights")
    (tmp_path / "config.json").write_text('{"family": "mnist"}')
    report = {
        "accuracy": 0.99,
        "correct": 99,
        "count": 100,
        "accuracy_interval_95": [0.95, 0.998],
        "nll": 0.03,
        "ece": 0.004,
        "macro_f1": 0.9899,
        "per_class": {"7": {"precision": 1.0, "recall": 0.9, "f1": 0.95, "support": 10}},
    }
    stored = {**stored_evaluation(tmp_path), "splits": {"test": report}}
    (tmp_path / EVALUATION_FILE).write_text(json.dumps(stored))
    assert evaluate_main([str(tmp_path), "--data-dir", str(tmp_path / "none")]) == 0
    text = capsys.readouterr().out
    assert "99.00% (99 of 100), 95 % interval 95.00% to 99.80%" in text
    assert "stored figures" in text
