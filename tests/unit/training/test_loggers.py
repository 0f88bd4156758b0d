"""Loggers: lines, event files, the bar."""

from dataclasses import replace
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]  # ships no types
    EventAccumulator,
)
from tensorboard.backend.event_processing.event_file_loader import (  # type: ignore[import-untyped]  # ships no types
    EventFileLoader,
)
from tensorboard.compat.proto.event_pb2 import (  # type: ignore[import-untyped]  # ships no types
    SessionLog,
)

from training.loggers import (
    JsonlLogger,
    Loggers,
    ProgressLogger,
    Record,
    TensorBoardLogger,
    read_records,
)

RECORD = Record(step=2, epoch=0.5, split="train", elapsed_s=1.5, metrics={"loss": 0.25})


def write(path: Path, step: int, *records: Record) -> None:
    with Loggers(JsonlLogger(path, step)) as loggers:
        for record in records:
            loggers.write(record)


def test_read_records_gives_back_what_was_logged(tmp_path: Path) -> None:
    validation = replace(RECORD, split="validation", metrics={"accuracy": 0.5})
    write(tmp_path / "metrics.jsonl", 0, RECORD, validation)
    assert list(read_records(tmp_path / "metrics.jsonl")) == [RECORD, validation]


def test_read_records_of_no_file_is_empty(tmp_path: Path) -> None:
    assert list(read_records(tmp_path / "metrics.jsonl")) == []


def test_read_records_leaves_out_a_line_cut_by_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    write(path, 0, RECORD)
    path.write_text(path.read_text() + '{"step": 4, "ep')
    assert list(read_records(path)) == [RECORD]


def test_jsonl_logger_drops_what_lies_past_its_start(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    write(path, 0, RECORD, replace(RECORD, step=4), replace(RECORD, step=6))
    write(path, 4, replace(RECORD, step=5))
    assert [record.step for record in read_records(path)] == [2, 4, 5]


def test_tensorboard_logger_writes_scalars_by_split(tmp_path: Path) -> None:
    with Loggers(TensorBoardLogger(tmp_path, 0)) as loggers:
        loggers.write(RECORD)
    events = EventAccumulator(str(tmp_path)).Reload()
    assert [(event.step, event.value) for event in events.Scalars("train/loss")] == [(2, 0.25)]


def test_tensorboard_logger_purges_what_lies_past_its_start(tmp_path: Path) -> None:
    with Loggers(TensorBoardLogger(tmp_path, 4)) as loggers:
        loggers.write(replace(RECORD, step=6))
    (file,) = tmp_path.iterdir()
    starts = [
        event.step
        for event in EventFileLoader(str(file)).Load()
        if event.session_log.status == SessionLog.START
    ]
    assert starts == [5]  # TensorBoard drops what other files hold from this step on


def test_progress_logger_shows_rows_and_values(capsys: pytest.CaptureFixture[str]) -> None:
    with Loggers(ProgressLogger(total_steps=10, step=3, rows_per_step=128)) as loggers:
        loggers.write(replace(RECORD, split="validation"))
        loggers.advance(10)
    shown = capsys.readouterr().err
    assert "1.28k/1.28k" in shown
    assert "row/s" in shown
    assert "val_loss=0.25" in shown
