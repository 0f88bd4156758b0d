"""Lets a person judge captions of pictures that were drawn by lot.

``python -m training.caption.judge runs/caption/attention`` writes the sheet of 24 pictures of the
test split, ``captions-test.png``, and a place for each mark in ``marks-test.json`` (see
``training.caption.marks``). Called again when the marks are filled in, it draws them on the sheet
and puts their counts into ``evaluation.json``, from where they come into the model card.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from quartet.config import ConfigError
from training.caption.config import CaptionConfig
from training.caption.marks import Marks, mark_counts, marks_file, read_marks, write_marks
from training.caption.sheet import SheetEntry, draw_sheet
from training.checkpoint import CheckpointError
from training.data.captioned_images import CaptionedSplit, open_caption_files
from training.data.idx import DataError
from training.evaluation.runner import EVALUATION_FILE, stored_evaluation
from training.evaluation.spec import Figures, Split
from training.rundir import RunDirectory, read_run, write_json
from training.trained import add_data_dir
from training.vision.pictures import decode_pictures

SHOWN = 24
"""Pictures of the sheet."""
_SEED = 0
RECORD = "captions"
"""Kind of the record with all captions, and of the sheet."""


@dataclass(frozen=True, slots=True)
class Captioned:
    """Some pictures of a split with the captions found for them."""

    part: CaptionedSplit
    """N pictures."""
    captions: Sequence[str]
    """N captions."""
    cider_d: Sequence[float]
    """N scores, each against all references of its picture."""

    def by_picture(self) -> dict[str, str]:
        """Name of the picture -> caption."""
        return dict(zip(self.part.names, self.captions, strict=True))


def chosen_rows(pictures: int) -> list[int]:
    """The rows shown of a split: ``SHOWN`` of them, drawn with a fixed seed before any was seen."""
    drawn = np.random.default_rng(_SEED).permutation(pictures)[:SHOWN]
    return [int(row) for row in drawn]


def sheet_entries(shown: Captioned, marks: Marks) -> list[SheetEntry]:
    """What ``draw_sheet`` draws of each picture."""
    part = shown.part
    rows = zip(part.images, part.names, part.captions, shown.captions, shown.cider_d, strict=True)
    return [
        SheetEntry(
            picture=image.permute(1, 2, 0).numpy(),
            caption=caption,
            reference=texts[0],
            cider_d=score,
            mark=marks.mark(name, caption),
        )
        for image, name, texts, caption, score in rows
    ]


def sheet_title(split: Split, width: int, counts: Figures) -> str:
    """What the sheet is, with the counts of ``Marks.count``."""
    text = f"{split} split, pictures drawn by lot, beam {width}: {mark_counts(counts)}"
    return f"{text} (judged by {counts['judge']})" if counts["judge"] else text


def main(argv: Sequence[str]) -> int:
    """Returns the exit status: 0, or 2 for a run, marks or data that cannot be used."""
    arguments = _parser().parse_args(argv)
    try:
        counts = judge(arguments.run, arguments.data_dir, arguments.split, arguments.out)
    except (ConfigError, CheckpointError, DataError) as error:
        sys.stderr.write(f"judge: {error}\n")
        return 2
    sys.stdout.write(
        f"{mark_counts(counts)}; marks: {marks_file(arguments.run, arguments.split)}\n"
    )
    return 0


def judge(run_dir: Path, data_dir: Path, split: Split, out: Path | None = None) -> Figures:
    """Draw the sheet with the marks there are, make places for the others, store the counts.

    Args:
        run_dir: a run that was evaluated.
        data_dir: folder of data sets.
        split: which captions.
        out: PNG to be written; None: ``captions-<split>.png`` in ``run_dir``.

    Returns:
        What ``Marks.count`` gives.

    Raises:
        ConfigError: the run was not evaluated, or its marks are damaged.
        DataError: the pictures are missing.
    """
    stored = stored_evaluation(run_dir)
    if split not in stored["splits"]:
        raise ConfigError(f"{run_dir} was not evaluated on the {split} split: quartet evaluate")
    record = read_record(run_dir, split)
    shown = _read_shown(run_dir, data_dir, split, record)
    file = marks_file(run_dir, split)
    marks = read_marks(file).with_places_for(shown.by_picture())
    counts = marks.count(shown.by_picture())
    title = sheet_title(split, record["width"], counts)
    draw_sheet(sheet_entries(shown, marks), title, out or run_dir / f"{RECORD}-{split}.png")
    write_marks(file, marks)
    stored["splits"][split]["judgement"] = counts
    write_json(run_dir / EVALUATION_FILE, stored)
    return counts


def read_record(run_dir: Path, split: Split) -> dict[str, Any]:
    """The record of all captions that the evaluation wrote.

    ``width`` that is shown, N ``pictures``, ``captions`` (width -> N texts), N ``cider_d``. Raises
    ConfigError: missing or damaged.
    """
    path = run_dir / f"{RECORD}-{split}.json"
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        record["width"], record["pictures"], record["captions"], record["cider_d"]
    except (OSError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: {error!r}; quartet evaluate --force writes it") from error
    return record


def _read_shown(
    run_dir: Path, data_dir: Path, split: Split, record: Mapping[str, Any]
) -> Captioned:
    """The chosen pictures alone."""
    config = read_run(RunDirectory(run_dir), "caption", CaptionConfig)
    _, files = open_caption_files(data_dir, config.dataset, verify=config.data.verify)
    rows = chosen_rows(len(record["pictures"]))
    names = [record["pictures"][row] for row in rows]
    listed = files.splits[split]
    missing = [name for name in names if name not in listed]
    if missing:
        raise DataError(f"{config.dataset}: no picture {missing[0]} in the {split} split")
    paths = [listed[name].path for name in names]
    images, broken = decode_pictures(paths, files.read, config.data.side)
    if broken:
        raise DataError(f"{config.dataset}: {broken}")
    captions = record["captions"][str(record["width"])]
    return Captioned(
        CaptionedSplit(images, tuple(names), tuple(listed[name].captions for name in names)),
        [captions[row] for row in rows],
        [record["cider_d"][row] for row in rows],
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.caption.judge",
        description="Draws captions of pictures drawn by lot, with the marks that a person gave "
        "them in marks-<split>.json of RUN, and counts the marks.",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="run directory")
    add_data_dir(parser)
    parser.add_argument(
        "--split", choices=("test", "validation"), default="test", help="default: test"
    )
    parser.add_argument("--out", type=Path, help="PNG; default: captions-<split>.png in RUN")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
