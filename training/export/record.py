"""What each published version says of itself: ``run.json``."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quartet.artifact import GOLDEN_FILE, MODEL_FILE, RUN_FILE, save_golden
from training.export.card import PublishedVersion
from training.export.variants import Choice, Variant
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
        "commands": _commands(request, summary),
        "versions": package_versions("torch", "onnx", "onnxruntime", "numpy"),
        "git_commit": git_commit(),
    }


def _commands(request: ExportRequest, summary: Mapping[str, Any]) -> dict[str, str]:
    """What repeats the model; folders outside the working directory are the reader's own."""
    run_dir = request.run_dir
    if run_dir.is_absolute():
        run_dir = Path("runs", *run_dir.parts[-2:])
    commands = {
        "train": str(summary.get("command", "")),
        "evaluate": f"quartet evaluate {run_dir} --data-dir DIR",
        "export": f"quartet export {run_dir} --name {request.name} --data-dir DIR"
        + ("" if request.int8 else " --no-int8"),
    }
    return {name: text for name, text in commands.items() if text}


def write_version(
    folder: Path,
    variant: Variant,
    number: int,
    test: float,
    default: bool,
    context: Mapping[str, Any],
) -> PublishedVersion:
    """Fill one version folder."""
    model, golden = folder / MODEL_FILE, folder / GOLDEN_FILE
    model.write_bytes(variant.model.SerializeToString())
    save_golden(golden, variant.golden)
    checksums = {path.name: sha256_of(path) for path in (model, golden)}
    write_json(
        folder / RUN_FILE,
        {
            "precision": variant.precision,
            "default": default,
            "metrics": {
                "validation": {"accuracy": variant.validation},
                "test": {"accuracy": test},
            },
            "parity": variant.parity.as_dict(),
            "sha256": checksums,
            **context,
        },
    )
    return PublishedVersion(
        number=number,
        precision=variant.precision,
        default=default,
        size_bytes=model.stat().st_size,
        validation=variant.validation,
        test=test,
        sha256=checksums[MODEL_FILE],
    )
