"""``quartet kit`` as users run it: a process of its own, on repositories of their own."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quartet.config import load_config
from quartet.kit.measurements import load_measurements
from quartet.kit.options import KitOptions
from quartet.kit.sizing import Sizing, size
from tests.deploy.tools import REPOSITORY_ROOT
from tests.e2e.graphs import sum_and_difference, write_model

MNIST = REPOSITORY_ROOT / "model_repo" / "mnist"
TIMEOUT_S = 280.0


def small_repository(folder: Path) -> Path:
    """The shipped digits model, which has golden samples, and a tiny one, which has none."""
    folder.mkdir()
    (folder / "mnist").symlink_to(MNIST, target_is_directory=True)
    write_model(folder, "sums", sum_and_difference())
    return folder


def run_kit(
    *words: str | Path, package: Path = REPOSITORY_ROOT, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command from the packages below ``package``."""
    return subprocess.run(
        [sys.executable, "-m", "quartet", "kit", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
        cwd=cwd or package,
        env={**os.environ, "PYTHONPATH": str(package)},
    )


def made_kit(out: Path, *words: str | Path) -> Path:
    """The folder of a kit that must be made."""
    # Of a machine that runs tests, measurements are never beyond doubt.
    done = run_kit(*words, "--out", out, "--accept-doubts")
    assert done.returncode == 0, done.stderr
    return out


def sizing_of(out: Path, *words: str | Path) -> Sizing:
    """What the measurements in ``out`` come to with the flags ``words``."""
    flags = ["repo", "--out", str(out), *map(str, words)]
    options = load_config(KitOptions, flags, prog="quartet kit")
    return size(load_measurements(out / "measurements.json"), options)


def files_of(out: Path) -> Mapping[str, bytes]:
    """Every file below ``out`` by its path."""
    files = (file for file in out.rglob("*") if file.is_file())
    return {str(file.relative_to(out)): file.read_bytes() for file in files}


def milli(quantity: str) -> int:
    """Thousandths: 700m is 700, 2 is 2000."""
    return int(quantity.removesuffix("m")) * (1 if quantity.endswith("m") else 1000)


def mebibytes(quantity: str) -> int:
    """Mi: 512Mi is 512, 1Gi is 1024."""
    return int(quantity[:-2]) * {"Mi": 1, "Gi": 1024}[quantity[-2:]]


def targets_of(autoscaler: Mapping[str, Any]) -> dict[str, int]:
    """Metric of a HorizontalPodAutoscaler -> thousandths of its target."""
    return {
        metric["pods"]["metric"]["name"]: milli(metric["pods"]["target"]["averageValue"])
        for metric in autoscaler["spec"]["metrics"]
    }
