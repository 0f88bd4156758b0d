"""The folder of one run, ``<runs>/<family>/<name>/``, the contract with evaluation and export.

::

    config.json    effective configuration, and the family under "family"
    command.txt    the command that began it, without this machine's folders
    metrics.jsonl  one line a measurement (training.loggers)
    best.pt        weights of the best validation (training.checkpoint)
    last.pt        all that a resumed run needs
    summary.json   seed, checksums of the data, best metrics, steps, seconds, command, versions
    curves.png     loss and metrics over the steps
    sheets/        what the model makes after each epoch, where that is pictures
    tensorboard/   the same for TensorBoard
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from quartet.config import ConfigError, explain
from training.config import TrainingConfig

MACHINE_KEYS: dict[str, bool | dict[str, bool]] = {
    "data_dir": True,
    "download": True,
    "run": {"dir": True},
}
"""Left out of config.json: where data and runs lie is the machine's business, the data's checksums
tell what they are, and a run directory is published with the model."""


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """Paths of one run."""

    path: Path
    """The folder."""

    @property
    def config(self) -> Path:
        """config.json."""
        return self.path / "config.json"

    @property
    def command(self) -> Path:
        """command.txt."""
        return self.path / "command.txt"

    @property
    def metrics(self) -> Path:
        """metrics.jsonl."""
        return self.path / "metrics.jsonl"

    @property
    def best(self) -> Path:
        """best.pt."""
        return self.path / "best.pt"

    @property
    def last(self) -> Path:
        """last.pt."""
        return self.path / "last.pt"

    @property
    def summary(self) -> Path:
        """summary.json."""
        return self.path / "summary.json"

    @property
    def curves(self) -> Path:
        """curves.png."""
        return self.path / "curves.png"

    def sheet(self, name: str, epoch: int) -> Path:
        """Pictures called ``name`` made after ``epoch`` (1 is the first)."""
        return self.path / "sheets" / f"{name}-{epoch:04d}.png"

    @property
    def tensorboard(self) -> Path:
        """Folder of TensorBoard's event files."""
        return self.path / "tensorboard"

    def create(self, family: str, config: TrainingConfig, command: str = "") -> None:
        """Make the folder and write what was asked for.

        Raises:
            ConfigError: the run exists already.
        """
        try:
            self.path.mkdir(parents=True)
        except FileExistsError:
            raise ConfigError(
                f"run.name: {self.path} exists already; resume it with --resume {self.path}, "
                "or choose another --run.name"
            ) from None
        values = config.model_dump(mode="json", exclude=MACHINE_KEYS)
        write_json(self.config, {"family": family, **values})
        self.command.write_text(f"{command}\n", encoding="utf-8")

    def first_command(self) -> str:
        """The command that began the run, which is the one that repeats it; empty if unknown."""
        try:
            return self.command.read_text(encoding="utf-8").strip()
        except FileNotFoundError:  # a run of an earlier version
            return ""

    def read_config(self) -> tuple[str, dict[str, Any]]:
        """Family and configuration values of an existing run. Raises ConfigError."""
        try:
            values = json.loads(self.config.read_text(encoding="utf-8"))
            family = values.pop("family")
        except FileNotFoundError:
            raise ConfigError(f"{self.path} is no run directory: it has no config.json") from None
        except (json.JSONDecodeError, AttributeError, KeyError, TypeError) as error:
            raise ConfigError(f"{self.config} is not a run's configuration: {error!r}") from error
        return family, values


ConfigT = TypeVar("ConfigT", bound=TrainingConfig)


def read_run(run: RunDirectory, family: str, schema: type[ConfigT]) -> ConfigT:
    """The configuration of a run of ``family``. Raises ConfigError if it is none."""
    found, values = run.read_config()
    if found != family:
        raise ConfigError(f"{run.path}: expected a run of family {family!r}, got {found!r}")
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{run.config}: {explain(error)}") from error


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Replace ``path`` by ``value`` in one step."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8") as stream:
        json.dump(value, stream, indent=2)
        stream.write("\n")
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)
