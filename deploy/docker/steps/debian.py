"""Debian's package database, read from its files: which package owns a file, and what it is.

Formats after dpkg-query(1) and deb-control(5); ``/var/lib/dpkg/info`` lists each package's paths.
"""

import os
from dataclasses import dataclass
from pathlib import Path

STATUS = "var/lib/dpkg/status"
INFO = "var/lib/dpkg/info"


@dataclass(frozen=True, slots=True)
class Package:
    """One installed package."""

    name: str
    version: str
    architecture: str
    source: str
    """Name of the source package, under which vulnerabilities are published."""
    stanza: str
    """Its paragraph of the status file."""
    paths: tuple[str, ...]
    """What it installed, absolute, as the package says it: ``/lib`` may mean ``/usr/lib``."""


def read_packages(root: Path) -> dict[str, Package]:
    """The installed packages of the system at ``root``, by name.

    Raises:
        FileNotFoundError: there is no package database: the base is no Debian or Ubuntu.
    """
    status = root / STATUS
    if not status.is_file():
        raise FileNotFoundError(f"{status} is missing: the base image is no Debian or Ubuntu")
    packages = {}
    for stanza in status.read_text(encoding="utf-8").split("\n\n"):
        fields = _fields(stanza)
        if fields.get("Status", "").endswith(" installed"):
            package = _package(root, stanza, fields)
            packages[package.name] = package
    return packages


def owners(root: Path, packages: dict[str, Package]) -> dict[str, str]:
    """Real path, as ``os.path.realpath`` gives it within ``root`` -> name of the package."""
    owned = {}
    for package in packages.values():
        for path in package.paths:
            owned[real_path(root, path)] = package.name
    return owned


def real_path(root: Path, path: str) -> str:
    """``path`` with its folder's links resolved: ``/lib/x`` and ``/usr/lib/x`` are one file."""
    folder, name = os.path.split(path)
    real = os.path.realpath(str(root) + folder)
    base = os.path.realpath(root)
    inside = real[len(base) :] if base != "/" else real
    return os.path.join(inside or "/", name)


def info_files(root: Path, package: Package) -> list[Path]:
    """Its lists of paths and checksums, which scanners read."""
    stems = (package.name, f"{package.name}:{package.architecture}")
    files = [root / INFO / f"{stem}.{kind}" for stem in stems for kind in ("list", "md5sums")]
    return [file for file in files if file.is_file()]


def _fields(stanza: str) -> dict[str, str]:
    """First lines of the fields; no field needed here goes on behind its first line."""
    lines = (line for line in stanza.splitlines() if line and not line[0].isspace())
    pairs = (line.partition(":") for line in lines)
    return {key: value.strip() for key, _, value in pairs}


def _package(root: Path, stanza: str, fields: dict[str, str]) -> Package:
    name, architecture = fields["Package"], fields["Architecture"]
    lists = [root / INFO / f"{stem}.list" for stem in (name, f"{name}:{architecture}")]
    found = next((file for file in lists if file.is_file()), None)
    paths = found.read_text(encoding="utf-8").splitlines() if found else []
    return Package(
        name=name,
        version=fields["Version"],
        architecture=architecture,
        source=fields.get("Source", name).split(" ")[0],
        stanza=stanza.strip("\n"),
        paths=tuple(path for path in paths if path != "/."),
    )
