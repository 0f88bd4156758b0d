"""Compares two trained runs of family ``caption`` on the test split.

``python -m training.caption.compare runs/caption/plain runs/caption/attention`` writes a table as
Markdown to the terminal, or to a file with ``--table``: every metric of both, their difference, and
its interval over the pictures (``training.caption.bootstrap``).
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quartet.config import ConfigError
from training.caption.bootstrap import LEVEL, SAMPLES, Difference, compare_measures, make_measures
from training.caption.config import CaptionConfig
from training.caption.evaluation import open_run
from training.caption.judge import read_record
from training.caption.references import References, Words
from training.checkpoint import CheckpointError
from training.data.caption_text import tokenize
from training.data.captioned_images import open_caption_files
from training.data.idx import DataError
from training.evaluation.runner import evaluate
from training.rundir import RunDirectory, read_run
from training.trained import add_data_dir

DECISIVE = "CIDEr-D"
"""The metric that says which run is better; it chose everything else too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedRun:
    """One run and its captions of the test split."""

    name: str
    config: CaptionConfig
    summary: Mapping[str, Any]
    """summary.json; empty if there is none."""
    width: int
    """Beam width that validation chose."""
    length_penalty: float
    """As chosen by validation."""
    captions: Mapping[str, Words]
    """Name of the picture -> caption."""


def main(argv: Sequence[str]) -> int:
    """Returns the exit status: 0, or 2 for a run or data that cannot be used."""
    arguments = _parser().parse_args(argv)
    try:
        first, second = (compared_run(path, arguments.data_dir) for path in arguments.runs)
        references = read_references(first.config, arguments.data_dir)
        text = report(first, second, references)
    except (ConfigError, CheckpointError, DataError) as error:
        sys.stderr.write(f"compare: {error}\n")
        return 2
    if arguments.table:
        arguments.table.write_text(text + "\n", encoding="utf-8")
    else:
        sys.stdout.write(text + "\n")
    return 0


def compared_run(run_dir: Path, data_dir: Path) -> ComparedRun:
    """Evaluate ``run_dir`` once, as ``quartet evaluate`` does, and read its captions.

    Raises:
        ConfigError: no finished run of family caption, or its record of captions is missing.
        CheckpointError: its weights are missing or damaged.
        DataError: the data set is missing or damaged.
    """
    run = RunDirectory(run_dir)
    config = read_run(run, "caption", CaptionConfig)
    figures, _ = evaluate(run_dir, "test", lambda: open_run(run_dir, data_dir))
    record = read_record(run_dir, "test")
    width = str(record["width"])
    texts = zip(record["pictures"], record["captions"][width], strict=True)
    found = run.summary.is_file()
    return ComparedRun(
        name="/".join(run_dir.parts[-2:]),
        config=config,
        summary=json.loads(run.summary.read_text(encoding="utf-8")) if found else {},
        width=record["width"],
        length_penalty=figures["widths"][width]["length_penalty"],
        captions={picture: tuple(text.split()) for picture, text in texts},
    )


def read_references(config: CaptionConfig, data_dir: Path) -> dict[str, list[Words]]:
    """Name of each test picture -> what people wrote of it. Raises DataError."""
    _, files = open_caption_files(data_dir, config.dataset, verify=config.data.verify)
    return {
        name: [tokenize(text) for text in file.captions]
        for name, file in files.splits["test"].items()
    }


def report(
    first: ComparedRun, second: ComparedRun, references: Mapping[str, Sequence[Words]]
) -> str:
    """The comparison as Markdown. Raises ConfigError if the runs captioned other pictures."""
    if set(first.captions) != set(second.captions) or not set(first.captions) <= set(references):
        raise ConfigError(f"{first.name} and {second.name} were not judged on the same pictures")
    names = list(first.captions)
    differences = compare_captions(
        [first.captions[name] for name in names],
        [second.captions[name] for name in names],
        [references[name] for name in names],
    )
    parts = [_run_table((first, second)), _score_table(first, second, differences)]
    return "\n\n".join((*parts, _statement(first, second, differences, len(names))))


def compare_captions(
    first: Sequence[Words], second: Sequence[Words], references: References
) -> dict[str, Difference]:
    """Every metric of captions of the same pictures."""
    one, two = make_measures(first, references), make_measures(second, references)
    return {name: compare_measures(one[name], two[name]) for name in one}


def _run_table(runs: Sequence[ComparedRun]) -> str:
    lines = [
        "| run | decoder | parameters | epochs | training | beam | length penalty |",
        "|---|---|---|---|---|---|---|",
    ]
    for run in runs:
        summary = run.summary
        parameters = f"{summary['parameters']:,}" if "parameters" in summary else "-"
        epochs = f"{summary['epochs']:.3g}" if "epochs" in summary else "-"
        seconds = f"{summary['elapsed_s']:,.0f} s" if "elapsed_s" in summary else "-"
        tuned = ", encoder too" if run.config.fine_tune else ""
        lines.append(
            f"| `{run.name}` | {run.config.model.decoder}{tuned} | {parameters} | {epochs} | "
            f"{seconds} | {run.width} | {run.length_penalty:g} |"
        )
    return "\n".join(lines)


def _score_table(
    first: ComparedRun, second: ComparedRun, differences: Mapping[str, Difference]
) -> str:
    lines = [
        f"| metric | `{first.name}` | `{second.name}` | difference | {LEVEL:.0%} interval | "
        "better |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in differences.items():
        better = f"`{second.name if row.low > 0 else first.name}`" if row.decided else "not decided"
        lines.append(
            f"| {name} | {row.first:.4f} | {row.second:.4f} | {row.second - row.first:+.4f} | "
            f"{row.low:+.4f} to {row.high:+.4f} | {better} |"
        )
    return "\n".join(lines)


def _statement(
    first: ComparedRun,
    second: ComparedRun,
    differences: Mapping[str, Difference],
    pictures: int,
) -> str:
    row = differences[DECISIVE]
    if row.decided:
        better, worse = (second, first) if row.low > 0 else (first, second)
        verdict = f"By {DECISIVE}, `{better.name}` is better than `{worse.name}`."
    else:
        verdict = f"{DECISIVE} does not decide between `{first.name}` and `{second.name}`."
    return (
        f"{verdict} Intervals: paired bootstrap over {pictures:,} pictures, {SAMPLES:,} draws; "
        "they tell of the luck of the pictures, not of the luck of a training seed."
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.caption.compare",
        description="Compares two trained runs of family caption on the test split, with intervals "
        "over the pictures. Evaluates a run that has not been evaluated.",
    )
    parser.add_argument("runs", type=Path, nargs=2, metavar="RUN", help="run directory")
    add_data_dir(parser)
    parser.add_argument("--table", type=Path, help="file for the tables; default: the terminal")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
