"""Where the models of a repository lie: folders of models, or the files of a single one.

Other servers' repositories begin with the model's name (<name>/<version>/model.onnx). KServe copies
what a ``storageUri`` names into one folder, and people upload one model, from its versions on or
just its file; all three are understood.
"""

import asyncio
import logging
import math
import re
from dataclasses import dataclass, replace
from pathlib import Path

from quartet.artifact import CONFIG_FILE, MODEL_FILE
from quartet.config import ConfigError
from serving.model_config import ModelConfig, VersionPolicy
from serving.pbtxt import read_config

logger = logging.getLogger(__name__)

_VERSION = re.compile(r"[1-9][0-9]{0,17}")
_GRAPH_SUFFIX = ".onnx"
_POLL_S = 0.1
_SHOWN = 8
"""Entries of a folder that an error names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFolder:
    """One model: what it is called and where its files are."""

    name: str
    path: Path
    """Holds the version folders and ``config.pbtxt``, or the graph itself."""
    graph: str = ""
    """The file in ``path`` that is the only version's graph; empty: there are version folders."""
    renamed: bool = False
    """Its name was given: that in ``config.pbtxt`` may be another."""


async def wait_for_folder(root: Path, wait_s: float) -> None:
    """Return once ``root`` is a folder, or after ``wait_s`` seconds."""
    # No event of the file system crosses from one container's mount to another's.
    for _ in range(math.ceil(wait_s / _POLL_S)):
        if _is_there(root):
            return
        await asyncio.sleep(_POLL_S)


def find_models(root: Path, name: str = "") -> list[ModelFolder]:
    """The models under ``root``, by name; one that is ``root`` itself is called ``name``.

    Without ``name``, that one is called as the folder is. Hidden folders are passed over.

    Raises:
        ConfigError: ``root`` is no folder or cannot be read, holds a model beside folders of
            models, or several graphs none of which is ``model.onnx``; or, with ``name``, no model.
    """
    if not root.is_dir():
        raise ConfigError(f"model repository {str(root)!r} is not a folder")
    try:
        return _find_models(root, name)
    except OSError as error:
        raise ConfigError(
            f"model repository {str(root)!r} cannot be read: {error.filename}: {error.strerror}"
        ) from error


def read_model_config(model: ModelFolder) -> ModelConfig:
    """The model's ``config.pbtxt``, if it has one.

    Raises:
        ConfigError: see ``read_config``.
    """
    file = model.path / CONFIG_FILE
    config = read_config(file, any_name=model.renamed) if file.is_file() else ModelConfig()
    for ignored in config.ignored:
        logger.warning("model %s: %s: %s has no effect here", model.name, CONFIG_FILE, ignored)
    if model.graph and not config.default_model_filename:
        return replace(config, default_model_filename=model.graph)
    return config


def wanted_versions(model: ModelFolder, policy: VersionPolicy) -> list[int]:
    """Versions that are there and wanted, ascending; the only one of a bare graph is 1.

    Raises:
        ConfigError: there is none, or one that is wanted is not there.
        OSError: the folder cannot be read.
    """
    folder = model.path
    found = [1] if model.graph else sorted(int(f.name) for f in folder.iterdir() if _is_version(f))
    if not found:
        raise ConfigError(
            f"{folder.name} has no version folder; expected {folder.name}/1/{MODEL_FILE}, "
            f"found {_entries(folder)}"
        )
    if policy.kind == "specific":
        missing = sorted(set(policy.versions) - set(found))
        if missing:
            raise ConfigError(f"version_policy wants versions {missing}, found are {found}")
        return sorted(policy.versions)
    return found if policy.kind == "all" else found[-policy.num_versions :]


def version_folder(path: Path, version: int) -> Path:
    """Where a version's files are, in the model's folder ``path`` or, of a bare graph, that."""
    folder = path / str(version)
    return folder if folder.is_dir() else path


def version_bytes(path: Path, version: int) -> int:
    """Size of a version's files, or 0 where they cannot be read; ``path`` as in ``version_folder``.

    It stands for the time that loading them takes.
    """
    try:
        return sum(f.stat().st_size for f in version_folder(path, version).rglob("*"))
    except OSError:
        return 0


def _find_models(root: Path, name: str) -> list[ModelFolder]:
    folders = sorted(f for f in root.iterdir() if f.is_dir() and not _is_hidden(f.name))
    graphs = _graphs(root)
    configured = (root / CONFIG_FILE).is_file()
    versions = [f for f in folders if _is_version(f) and (configured or _graphs(f))]
    if graphs or versions:
        _check_single(root, folders, graphs)
        return [
            ModelFolder(
                name=name or root.resolve().name,
                path=root,
                graph="" if versions else _the_graph(root, graphs),
                renamed=bool(name),
            )
        ]
    if name and not folders:
        raise ConfigError(
            f"no model {name!r} in {str(root)!r}: found {_entries(root)}; "
            f"expected {MODEL_FILE}, <version>/{MODEL_FILE} or <name>/<version>/{MODEL_FILE}"
        )
    return [ModelFolder(name=folder.name, path=folder) for folder in folders]


def _is_there(root: Path) -> bool:
    return root.is_dir()


def _is_hidden(name: str) -> bool:
    """Of this, models are none; ext4 puts ``lost+found`` into every volume, unreadable."""
    return name.startswith(".") or name == "lost+found"


def _is_version(folder: Path) -> bool:
    return folder.is_dir() and _VERSION.fullmatch(folder.name) is not None


def _graphs(folder: Path) -> list[str]:
    """Names that end as graphs do. One may be a folder, of a graph and its weights."""
    return sorted(f.name for f in folder.iterdir() if f.suffix == _GRAPH_SUFFIX)


def _the_graph(root: Path, graphs: list[str]) -> str:
    if MODEL_FILE in graphs:
        return MODEL_FILE
    if len(graphs) > 1:
        raise ConfigError(
            f"{str(root)!r} holds {len(graphs)} graphs, {', '.join(graphs)}; "
            f"expected one, or {MODEL_FILE} among them"
        )
    return graphs[0]


def _check_single(root: Path, folders: list[Path], graphs: list[str]) -> None:
    """Refuse what can be read in two ways."""
    models = [f.name for f in folders if any(_is_version(v) and _graphs(v) for v in f.iterdir())]
    if models:
        found = graphs[0] if graphs else "version folders"
        raise ConfigError(
            f"{str(root)!r} holds {found} of one model and folders of models beside it: "
            f"{', '.join(models[:_SHOWN])}; expected one or the other"
        )


def _entries(folder: Path) -> str:
    names = sorted(f.name + "/" * f.is_dir() for f in folder.iterdir())
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more if names else "nothing"
