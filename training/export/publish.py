"""Puts versions into a model repository so that a reader sees each whole or not at all.

Everything is written and synced in a hidden folder of the repository, then renamed: within one
file system ``rename`` is atomic (POSIX.1-2017, rename()). Servers pass over hidden folders.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from training.export.errors import ExportError

_VERSION = re.compile(r"[1-9][0-9]*")
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")


def existing_versions(model_dir: Path) -> tuple[int, ...]:
    """Version numbers in ``model_dir``, ascending; empty if there is no such folder."""
    if not model_dir.is_dir():
        return ()
    names = (entry.name for entry in model_dir.iterdir() if entry.is_dir())
    return tuple(sorted(int(name) for name in names if _VERSION.fullmatch(name)))


class Publication:
    """New versions of one model, published together on ``commit`` or not at all.

    ::

        with Publication(Path("model_repo"), "mnist") as publication:
            number, folder = publication.add_version()
            (folder / "model.onnx").write_bytes(...)
            publication.commit({"README.md": card})

    Raises:
        ExportError: ``name`` cannot name a folder of a repository.
    """

    def __init__(self, repository: Path, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise ExportError(f"model name must match {_NAME.pattern}, got {name!r}")
        self._repository = repository
        self.model_dir = repository / name
        self._staged: dict[int, Path] = {}
        self._made_repository = False

    def __enter__(self) -> Self:
        self._made_repository = not self._repository.exists()
        self._repository.mkdir(parents=True, exist_ok=True)
        folder = tempfile.mkdtemp(prefix=".export-", dir=self._repository)
        self._staging = Path(folder) / self.model_dir.name
        self._staging.mkdir()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        shutil.rmtree(self._staging.parent)
        if self._made_repository and not any(self._repository.iterdir()):
            self._repository.rmdir()

    def add_version(self) -> tuple[int, Path]:
        """The next free version number and an empty folder to fill."""
        taken = (*existing_versions(self.model_dir), *self._staged)
        number = max(taken, default=0) + 1
        folder = self._staging / str(number)
        folder.mkdir()
        self._staged[number] = folder
        return number, folder

    def commit(
        self, replaced: Mapping[str, str], kept: Mapping[str, str] | None = None
    ) -> tuple[int, ...]:
        """Make every added version visible, the lowest number first.

        Args:
            replaced: files of the model folder, by name, that always take this new text.
            kept: files that are written only where there are none, for an operator may have
                changed them.

        Returns:
            The version numbers published.

        Raises:
            ExportError: someone else published one of the numbers meanwhile; nothing is left.
            OSError: the file system refused; nothing is left.
        """
        for file, text in {**(kept or {}), **replaced}.items():
            (self._staging / file).write_text(text, encoding="utf-8")
        _sync_tree(self._staging)
        if not self.model_dir.exists():
            self._staging.rename(self.model_dir)
            _sync(self._repository)
            return tuple(self._staged)
        self._move_versions()
        for file in replaced:
            (self._staging / file).replace(self.model_dir / file)
        for file in kept or {}:
            if not (self.model_dir / file).exists():
                (self._staging / file).replace(self.model_dir / file)
        _sync(self.model_dir)
        return tuple(self._staged)

    def _move_versions(self) -> None:
        """Rename every staged version into place; take back all of them if one cannot be."""
        moved: list[Path] = []
        try:
            for number, folder in sorted(self._staged.items()):
                target = self.model_dir / str(number)
                if target.exists():
                    raise ExportError(
                        f"{target} was published by someone else meanwhile; export again"
                    )
                folder.rename(target)
                moved.append(target)
        except BaseException:
            for target in moved:
                target.rename(self._staging / f"{target.name}.withdrawn")
            raise


def _sync_tree(folder: Path) -> None:
    """Flush every file and folder below ``folder`` to the disk."""
    for path, _, files in os.walk(folder):
        for file in files:
            _sync(Path(path, file))
        _sync(Path(path))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
