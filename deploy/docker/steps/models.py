"""Copies a model repository with the versions that an image is to serve."""

import argparse
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHOICES = ("all", "default", "float32")


class ModelChoiceError(ValueError):
    """The repository has no version of the kind that was asked for."""


def copy_models(source: Path, target: Path, choice: str) -> dict[str, list[int]]:
    """Copy every model of ``source`` with the versions that ``choice`` means.

    Args:
        source: a model repository; versions say in ``run.json`` what they are.
        target: the folder to make.
        choice: ``default``: the one that requests get which name none, the fastest on a CPU;
            ``float32``: the one that a GPU runs best; ``all``: every version.

    Returns: model -> the versions copied.

    Raises:
        ModelChoiceError: a model has no such version, or the repository has no model.
    """
    copied: dict[str, list[int]] = {}
    for folder in sorted(f for f in source.iterdir() if f.is_dir() and f.name[0] not in "._"):
        versions = {int(v.name): v for v in folder.iterdir() if v.is_dir() and v.name.isdecimal()}
        copied[folder.name] = _chosen(folder.name, versions, choice)
        dropped = {str(version) for version in set(versions) - set(copied[folder.name])}
        shutil.copytree(
            folder,
            target / folder.name,
            ignore=_without(folder, dropped),
        )
    if not copied:
        raise ModelChoiceError(f"{source} has no model")
    return copied


def _without(folder: Path, dropped: set[str]) -> Callable[[str, list[str]], set[str]]:
    """For ``copytree``: leave out these names of ``folder`` itself, and nothing below."""
    return lambda parent, names: dropped & set(names) if Path(parent) == folder else set()


def _chosen(name: str, versions: dict[int, Path], choice: str) -> list[int]:
    if choice == "all":
        return sorted(versions)
    runs = {version: _run(folder) for version, folder in versions.items()}
    if choice == "default":
        found = [version for version, run in runs.items() if run.get("default")]
    else:
        found = [version for version, run in runs.items() if run.get("precision") == choice]
    if not found:
        raise ModelChoiceError(
            f"model {name!r} has no version of the kind {choice!r}; it has {sorted(versions)}"
        )
    return [max(found)]


def _run(folder: Path) -> dict[str, Any]:
    run: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    return run


def main(argv: list[str]) -> int:
    """Copy and say what."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--versions", choices=CHOICES, default="default")
    arguments = parser.parse_args(argv)
    copied = copy_models(arguments.source, arguments.target, arguments.versions)
    sys.stdout.write(f"{json.dumps(copied)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
