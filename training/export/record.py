"""What each published version says of itself: ``run.json``."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quartet.artifact import (
    CAPTION_GOLDEN_FILE,
    MODEL_FILE,
    RUN_FILE,
    WEIGHTS_FILE,
    save_caption_golden,
    save_golden,
)
from training.export.card import PublishedVersion
from training.export.files import write_graphs
from training.export.spec import Variant
from training.export.variants import Choice
from training.provenance import git_commit, package_versions, sha256_of
from training.rundir import RunDirectory, write_json


@dataclass(frozen=True, kw_only=True)
class ExportRequest:
    """What to export and where to."""

    run_dir: Path
    repository: Path
    name: str
    """Folder of the model in ``repository``."""
    int8: bool = True
    """Also try the int8 variant."""


def common_record(
    request: ExportRequest, evaluation: Mapping[str, Any], choice: Choice
) -> dict[str, Any]:
    """What ``run.json`` says alike in every version."""
    run = RunDirectory(request.run_dir)
    family, config = run.read_config()
    summary = json.loads(run.summary.read_text(encoding="utf-8")) if run.summary.is_file() else {}
    return {
        "family": family,
        "config": config,
        "training": summary,
        "evaluation": evaluation,
        "choice": choice.reason,
        "speed": [comparison.as_dict() for comparison in choice.speed],
        "commands": _commands(request, summary, "validation" in evaluation["splits"]),
        "versions": package_versions("torch", "onnx", "onnxruntime", "numpy"),
        "git_commit": git_commit(),
    }


def _commands(
    request: ExportRequest, summary: Mapping[str, Any], validated: bool
) -> dict[str, str]:
    """What repeats the model; folders outside the working directory are the reader's own."""
    run_dir = request.run_dir
    if run_dir.is_absolute():
        run_dir = Path("runs", *run_dir.parts[-2:])
    commands = {
        **_earlier_commands(summary),
        "train": str(summary.get("command", "")),
        "validate": f"quartet evaluate {run_dir} --split validation --data-dir DIR"
        if validated
        else "",
        "evaluate": f"quartet evaluate {run_dir} --data-dir DIR",
        "export": f"quartet export {run_dir} --name {request.name} --data-dir DIR"
        + ("" if request.int8 else " --no-int8"),
    }
    return {name: text for name, text in commands.items() if text}


def _earlier_commands(summary: Mapping[str, Any]) -> dict[str, str]:
    """What trained the runs whose weights this one took over, the first one first."""
    commands: dict[str, str] = {}
    start = summary.get("start")
    while start and "command" in start:
        commands = {f"train {start['from']}": str(start["command"]), **commands}
        start = start.get("start")
    return commands


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What a version is called and how good it is."""

    number: int
    default: bool
    metric: str
    """Name of the figures."""
    test: float
    """Figure on the test split, by ONNX Runtime."""


def write_version(
    folder: Path, variant: Variant, figures: Figures, context: Mapping[str, Any]
) -> PublishedVersion:
    """Fill one version folder."""
    paths = [*write_graphs(folder, variant.graphs)]
    weights = next(p for p in reversed(paths) if p.name in (WEIGHTS_FILE, MODEL_FILE))
    for file, golden in variant.goldens.items():
        save_golden(folder / file, golden)
        paths.append(folder / file)
    if variant.captions is not None:
        save_caption_golden(folder / CAPTION_GOLDEN_FILE, variant.captions)
        paths.append(folder / CAPTION_GOLDEN_FILE)
    checksums = {path.name: sha256_of(path) for path in paths}
    reports = {file: report.as_dict() for file, report in variant.parity.items()}
    write_json(
        folder / RUN_FILE,
        {
            "precision": variant.precision,
            "default": figures.default,
            "metrics": {
                "validation": {figures.metric: variant.validation},
                "test": {figures.metric: figures.test},
            },
            "parity": reports if len(reports) > 1 else next(iter(reports.values())),
            "sha256": checksums,
            **({"times": [time.as_dict() for time in variant.times]} if variant.times else {}),
            **context,
        },
    )
    return PublishedVersion(
        number=figures.number,
        precision=variant.precision,
        default=figures.default,
        file=weights.name,
        size_bytes=weights.stat().st_size,
        validation=variant.validation,
        test=figures.test,
        sha256=checksums[weights.name],
    )
