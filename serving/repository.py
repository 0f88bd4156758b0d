"""The models of a folder: which versions are wanted, loaded, failed, and which one is meant."""

import asyncio
import logging
import os
import time
from collections.abc import Collection, Mapping
from pathlib import Path

from quartet.config import ConfigError
from serving.errors import InvalidInput, ModelNotFound
from serving.layout import (
    ModelFolder,
    find_models,
    read_model_config,
    version_bytes,
    wanted_versions,
)
from serving.loaded_model import Engines, LoadedModel
from serving.loading import load_version
from serving.model_config import ModelConfig
from serving.model_entries import (
    ModelEntry,
    ModelState,
    VersionEntry,
    not_ready,
    version_not_ready,
)

logger = logging.getLogger(__name__)

MAX_LOADS = 4
"""Versions that are loaded at once: while it is proved, each takes more memory than afterwards."""

_VERSION_DIGITS = 18
"""Longer numbers name no version, and Python refuses to convert very long ones."""


class ModelRepository:
    """Loads the models under ``root`` and finds them by name and version."""

    def __init__(
        self, root: Path, engines: Engines, only: Collection[str] = (), name: str = ""
    ) -> None:
        """Nothing is read before ``load_all``; ``only`` these models are, if any are named.

        ``name`` is another name of the only model, or one of several models.
        """
        self._root = root
        self._only = frozenset(only)
        self._name = name
        self._aliases: dict[str, str] = {}
        self._engines = engines
        self._models: dict[str, ModelEntry] = {}
        self.loaded = False
        """Whether every model has been tried."""

    @property
    def models(self) -> Mapping[str, ModelEntry]:
        """All models found, by name."""
        return self._models

    async def load_all(self) -> None:
        """Load every wanted version off the event loop, several at once, the largest first.

        A model that fails is logged and marked; it does not keep the others from loading.

        Raises:
            ConfigError: the repository folder does not exist, cannot be understood, or lacks a
                model that is to be served.
        """
        models = self._chosen(find_models(self._root, self._name))
        self._settle_name([model.name for model in models])
        plans = [self._plan(model) for model in models]
        wanted = [
            (model, version, config)
            for model, config in plans
            for version in self._models[model.name].versions
        ]
        # Who begins last is alone at the end, while other processors idle: let it be a small one.
        wanted.sort(key=lambda load: -version_bytes(load[0].path, load[1]))
        at_once = asyncio.Semaphore(min(self._engines.threads, MAX_LOADS))
        async with asyncio.TaskGroup() as loads:
            for model, version, config in wanted:
                loads.create_task(self._load(model, version, config, at_once))
        self.loaded = True

    @property
    def named(self) -> tuple[str, ...]:
        """The model that the operator named, if it is one of several."""
        return (self._name,) if self._name in self._models else ()

    def real_name(self, name: str) -> str:
        """The model that ``name`` is another name of; else ``name``."""
        return self._aliases.get(name, name)

    def get(self, name: str, version: str = "") -> LoadedModel:
        """The ready model that ``name`` and ``version`` mean; no version means the highest ready.

        A part of a model has the model's name, a dot and its own. A folder of that name wins.

        Raises:
            InvalidInput: ``version`` is not a positive integer.
            ModelNotFound: there is no such model or version.
            ModelNotReady: there is, but it is loading or has failed.
        """
        entry = self._models.get(self.real_name(name))
        if entry is None:
            return self._part(name, version)
        if not version:
            ready = entry.ready_versions()
            if not ready:
                raise not_ready(name, entry)
            version_entry = entry.versions[ready[-1]]
        else:
            version_entry = self._version_entry(name, entry, version)
        if version_entry.model is None:
            raise version_not_ready(name, version, version_entry)
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
        meant = self.get(name, version).name
        return [m for m in served if m.name == meant and version in ("", str(m.version))]

    def ready_versions(self, name: str) -> list[int]:
        """Versions of a model or a part that are served, ascending; none if there is no such."""
        entry = self._models.get(self.real_name(name))
        if entry is not None:
            return entry.ready_versions()
        model_name, dot, part_name = name.rpartition(".")
        meant = f"{self.real_name(model_name)}{dot}{part_name}"
        return sorted(part.version for part in self.ready_parts() if part.name == meant)

    async def drain(self) -> None:
        """Wait until no model has work."""
        for model in self.ready_models():
            await model.drain()

    def close(self) -> None:
        """Fail what still waits, and end what still runs, in models that load, too."""
        for model in self.ready_models():
            model.close()
            model.interrupt()
        self._engines.interrupter.interrupt()

    def _part(self, name: str, version: str) -> LoadedModel:
        """See ``get``; ``name`` is no model's."""
        model_name, _, part = name.rpartition(".")
        if self.real_name(model_name) in self._models:
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

    def _settle_name(self, served: list[str]) -> None:
        """Give the only model the other name; several are called as their folders are."""
        if not self._name or self._name in served:
            return
        if len(served) == 1:
            self._aliases[self._name] = served[0]
            logger.info("model %s is also called %s", served[0], self._name)
        else:
            logger.warning(
                "no model is called %s; the models are: %s", self._name, ", ".join(served)
            )

    def _chosen(self, models: list[ModelFolder]) -> list[ModelFolder]:
        """Those of ``models`` that are to be served. Raises ConfigError if one is missing."""
        found = [model.name for model in models]
        missing = sorted(self._only - set(found))
        if missing:
            raise ConfigError(
                f"models that are to be served are not in {str(self._root)!r}: "
                f"{', '.join(missing)}; it has: {', '.join(found) or 'none'}"
            )
        return [model for model in models if not self._only or model.name in self._only]

    def _plan(self, model: ModelFolder) -> tuple[ModelFolder, ModelConfig]:
        """Read the model's configuration and enter the versions it wants."""
        entry = self._models[model.name] = ModelEntry()
        try:
            config = read_model_config(model)
            wanted = wanted_versions(model, config.version_policy)
        except (ConfigError, OSError) as error:
            entry.reason = self._without_root(error)
            # No version could even be named.
            self._engines.metrics.load_begins(model.name, "")
            logger.error("model %s cannot be served: %s", model.name, error)
            return model, ModelConfig()
        entry.versions = {version: VersionEntry() for version in wanted}
        for version in wanted:
            self._engines.metrics.load_begins(model.name, str(version))
        return model, config

    def _without_root(self, error: Exception) -> str:
        """The text with paths as from the repository: clients read it, the log has it whole."""
        text = str(error)
        for root in (self._root.resolve(), self._root.absolute(), self._root):
            if root != Path():
                text = text.replace(f"{root}{os.sep}", "")
        return text

    async def _load(
        self, model: ModelFolder, version: int, config: ModelConfig, at_once: asyncio.Semaphore
    ) -> None:
        async with at_once:
            await self._load_now(model, version, config)

    async def _load_now(self, model: ModelFolder, version: int, config: ModelConfig) -> None:
        name, metrics = model.name, self._engines.metrics
        entry = self._models[name].versions[version]
        started = time.monotonic()
        try:
            entry.model = await asyncio.to_thread(
                load_version, name, version, model.path, config, self._engines
            )
        except Exception as error:
            metrics.load_ended(name, str(version), time.monotonic() - started, ready=False)
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
        seconds = time.monotonic() - started
        metrics.load_ended(name, str(version), seconds, ready=True)
        logger.info(
            "model %s version %d is ready",
            name,
            version,
            extra={"load_s": round(seconds, 3), **entry.model.properties},
        )
