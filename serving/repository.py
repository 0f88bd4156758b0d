"""The models of a folder: which versions are wanted, loaded, failed, and which one is meant."""

import asyncio
import logging
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from quartet.artifact import CONFIG_FILE
from quartet.config import ConfigError
from serving.errors import InvalidInput, ModelNotFound, ModelNotReady
from serving.loaded_model import Engines, LoadedModel
from serving.loading import load_version
from serving.model_config import ModelConfig, VersionPolicy
from serving.pbtxt import read_config

logger = logging.getLogger(__name__)

_VERSION_FOLDER = re.compile(r"[1-9][0-9]{0,17}")
_VERSION_DIGITS = 18
"""Longer numbers name no version, and Python refuses to convert very long ones."""


class ModelState(StrEnum):
    """Where a version is in its life."""

    LOADING = "LOADING"
    """Being read, checked and warmed up; not served."""
    READY = "READY"
    """Served."""
    UNAVAILABLE = "UNAVAILABLE"
    """Failed to load; the reason says why."""


@dataclass(slots=True)
class VersionEntry:
    """One version of one model."""

    state: ModelState = ModelState.LOADING
    reason: str = ""
    """Why it is UNAVAILABLE."""
    model: LoadedModel | None = None
    """Set while READY."""


@dataclass(slots=True)
class ModelEntry:
    """One model: its versions, or why none could even be tried."""

    versions: dict[int, VersionEntry] = field(default_factory=dict)
    reason: str = ""

    def ready_versions(self) -> list[int]:
        """Versions that are served, ascending."""
        return sorted(v for v, e in self.versions.items() if e.state is ModelState.READY)


class ModelRepository:
    """Loads the models under ``root`` and finds them by name and version."""

    def __init__(self, root: Path, engines: Engines) -> None:
        """Nothing is read before ``load_all``."""
        self._root = root
        self._engines = engines
        self._models: dict[str, ModelEntry] = {}
        self.loaded = False
        """Whether every model has been tried."""

    @property
    def models(self) -> Mapping[str, ModelEntry]:
        """All models found, by name."""
        return self._models

    async def load_all(self) -> None:
        """Load every wanted version, one after the other, off the event loop.

        A model that fails is logged and marked; it does not keep the others from loading.

        Raises:
            ConfigError: the repository folder does not exist.
        """
        if not self._root.is_dir():
            raise ConfigError(f"model repository {str(self._root)!r} is not a folder")
        folders = sorted(
            f for f in self._root.iterdir() if f.is_dir() and not f.name.startswith(".")
        )
        plans = [self._plan(folder) for folder in folders]
        for folder, config in plans:
            for version in sorted(self._models[folder.name].versions):
                await self._load(folder, version, config)
        self.loaded = True

    def get(self, name: str, version: str = "") -> LoadedModel:
        """The ready model that ``name`` and ``version`` mean; no version means the highest ready.

        A part of a model has the model's name, a dot and its own. A folder of that name wins.

        Raises:
            InvalidInput: ``version`` is not a positive integer.
            ModelNotFound: there is no such model or version.
            ModelNotReady: there is, but it is loading or has failed.
        """
        entry = self._models.get(name)
        if entry is None:
            return self._part(name, version)
        if not version:
            ready = entry.ready_versions()
            if not ready:
                raise _not_ready(name, entry)
            version_entry = entry.versions[ready[-1]]
        else:
            version_entry = self._version_entry(name, entry, version)
        if version_entry.model is None:
            raise _version_not_ready(name, version, version_entry)
        return version_entry.model

    def ready_models(self) -> list[LoadedModel]:
        """Every version that is served, without the parts of models."""
        entries = (e for model in self._models.values() for e in model.versions.values())
        return [entry.model for entry in entries if entry.model is not None]

    def ready_parts(self) -> list[LoadedModel]:
        """The parts of all of these that ``get`` finds."""
        parts = (part for model in self.ready_models() for part in model.parts.values())
        return [part for part in parts if part.name not in self._models]

    def ready_matches(self, name: str = "", version: str = "") -> list[LoadedModel]:
        """Every version that is meant, parts too: all of a model, or all of all if it is empty.

        Raises as ``get``.
        """
        served = [*self.ready_models(), *self.ready_parts()]
        if not name:
            return served
        self.get(name, version)
        return [m for m in served if m.name == name and version in ("", str(m.version))]

    def ready_versions(self, name: str) -> list[int]:
        """Versions of a model or a part that are served, ascending; none if there is no such."""
        entry = self._models.get(name)
        if entry is not None:
            return entry.ready_versions()
        return sorted(part.version for part in self.ready_parts() if part.name == name)

    async def drain(self) -> None:
        """Wait until no model has work."""
        for model in self.ready_models():
            await model.drain()

    def close(self) -> None:
        """Fail what still waits, and end what still runs."""
        for model in self.ready_models():
            model.close()
            model.interrupt()

    def _part(self, name: str, version: str) -> LoadedModel:
        """See ``get``; ``name`` is no model's."""
        model_name, _, part = name.rpartition(".")
        if model_name in self._models:
            found = self.get(model_name, version).parts.get(part)
            if found is not None:
                return found
        raise ModelNotFound(f"Request for unknown model: {name!r} is not found")

    @staticmethod
    def _version_entry(name: str, entry: ModelEntry, version: str) -> VersionEntry:
        if not version.isdecimal() or not version.isascii():
            raise InvalidInput(
                f"failed to get model version from specified version string {version!r}: "
                "expected a positive integer"
            )
        found = entry.versions.get(int(version)) if len(version) <= _VERSION_DIGITS else None
        if found is None:
            raise ModelNotFound(
                f"Request for unknown model: {name!r} version {version} is not found"
            )
        return found

    def _plan(self, folder: Path) -> tuple[Path, ModelConfig]:
        """Read the model's configuration and enter the versions it wants."""
        entry = self._models[folder.name] = ModelEntry()
        try:
            config = _read_config(folder)
            wanted = _wanted_versions(folder, config.version_policy)
        except (ConfigError, OSError) as error:
            entry.reason = self._without_root(error)
            logger.error("model %s cannot be served: %s", folder.name, error)
            return folder, ModelConfig()
        entry.versions = {version: VersionEntry() for version in wanted}
        return folder, config

    def _without_root(self, error: Exception) -> str:
        """The text with paths as from the repository: clients read it, the log has it whole."""
        text = str(error)
        for root in (self._root.resolve(), self._root.absolute(), self._root):
            if root != Path():
                text = text.replace(f"{root}{os.sep}", "")
        return text

    async def _load(self, folder: Path, version: int, config: ModelConfig) -> None:
        name = folder.name
        entry = self._models[name].versions[version]
        started = time.monotonic()
        try:
            entry.model = await asyncio.to_thread(
                load_version, name, version, folder, config, self._engines
            )
        except Exception as error:
            entry.state = ModelState.UNAVAILABLE
            known = isinstance(error, ConfigError)
            entry.reason = (
                self._without_root(error) if known else f"unexpected {type(error).__name__}"
            )
            logger.error(
                "model %s version %d failed to load: %s",
                name,
                version,
                error,
                exc_info=None if known else error,
            )
            return
        entry.state = ModelState.READY
        logger.info(
            "model %s version %d is ready",
            name,
            version,
            extra={"load_s": round(time.monotonic() - started, 3), **entry.model.properties},
        )


def _read_config(folder: Path) -> ModelConfig:
    file = folder / CONFIG_FILE
    if not file.is_file():
        return ModelConfig()
    config = read_config(file)
    for ignored in config.ignored:
        logger.warning("model %s: %s: %s has no effect here", folder.name, CONFIG_FILE, ignored)
    return config


def _wanted_versions(folder: Path, policy: VersionPolicy) -> list[int]:
    found = sorted(
        int(f.name) for f in folder.iterdir() if f.is_dir() and _VERSION_FOLDER.fullmatch(f.name)
    )
    if not found:
        raise ConfigError(
            f"{folder.name} has no version folder; expected {folder.name}/1/model.onnx"
        )
    if policy.kind == "specific":
        missing = sorted(set(policy.versions) - set(found))
        if missing:
            raise ConfigError(f"version_policy wants versions {missing}, found are {found}")
        return sorted(policy.versions)
    return found if policy.kind == "all" else found[-policy.num_versions :]


def _not_ready(name: str, entry: ModelEntry) -> ModelNotReady:
    if any(e.state is ModelState.LOADING for e in entry.versions.values()):
        return ModelNotReady(f"model {name!r} is loading", retry_after_s=1.0)
    reasons = [entry.reason] if entry.reason else []
    reasons += [f"version {v}: {e.reason}" for v, e in sorted(entry.versions.items())]
    return ModelNotReady(f"model {name!r} has no available versions: {'; '.join(reasons)}")


def _version_not_ready(name: str, version: str, entry: VersionEntry) -> ModelNotReady:
    if entry.state is ModelState.LOADING:
        return ModelNotReady(f"model {name!r} version {version} is loading", retry_after_s=1.0)
    return ModelNotReady(f"model {name!r} version {version} is not ready: {entry.reason}")
