"""Gathers the file system that the server runs on: what Python and its packages load, and a shell.

A base image has far more: a package manager, Perl, pip, documentation, translations, programs that
change users. Packages that are left are left whole but for their documentation, with their entries
in dpkg's database and their licences, so that scanners know what is there.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from deploy.docker.steps import debian
from deploy.docker.steps.bytecode import compile_sources
from deploy.docker.steps.slim import DRIVER, shared_objects

PACKAGES = ("base-files", "base-passwd", "ca-certificates", "libc-bin", "media-types", "netbase")
"""Files that programs expect: users, certificates, the locale C.UTF-8, names of protocols."""

SHELL = ("coreutils", "dash", "findutils", "grep", "sed")
"""For people who look into a running container."""

MADE_FILES = (
    "etc/group",
    "etc/ld.so.cache",
    "etc/nsswitch.conf",
    "etc/passwd",
)
"""What scripts of packages made, which no package lists."""

CERTIFICATES = "usr/share/ca-certificates"
CERTIFICATE_BUNDLE = "etc/ssl/certs/ca-certificates.crt"

DOCUMENTATION = re.compile(
    r"/usr/share/(?!doc/[^/]+/copyright$)"
    r"(bash-completion|bug|doc|doc-base|info|lintian|locale|man|menu|pixmaps)/.*"
)
"""Left out of packages; licences stay."""

UNUSED_LIBRARY = (
    "**/test",
    "**/tests",
    "ensurepip",
    "idlelib",
    "lib2to3",
    "pydoc_data",
    "site-packages",
    "tkinter",
    "turtledemo",
    "venv",
    "config-*",
    "distutils",
    "lib-dynload/_tkinter.*",
    "lib-dynload/*_test*",
)
"""Of Python's standard library: installers, desktop programs, the library's own tests."""

USER = ("quartet", 65532)
"""Who runs the server; the number is the one of other images without root."""

EMPTY_FOLDERS = {"dev": 0o755, "proc": 0o555, "sys": 0o555, "run": 0o755, "tmp": 0o1777}


@dataclass(frozen=True, slots=True)
class System:
    """Where files come from and go to."""

    source: Path
    target: Path

    def copy(self, path: str) -> None:
        """Copy one file, link or empty folder; links lead where they led."""
        origin, target = self.source / path.lstrip("/"), self.target / path.lstrip("/")
        if not os.path.lexists(origin):
            return  # e.g. documentation that the base's own dpkg configuration left out
        if origin.is_dir():
            self._folder(target)
            return
        self._folder(target.parent)
        if not os.path.lexists(target):
            shutil.copy2(origin, target, follow_symlinks=False)

    def _folder(self, folder: Path) -> None:
        """Make ``folder`` and what is above it; where the source has links, so has the target."""
        if os.path.lexists(folder):
            return
        self._folder(folder.parent)
        origin = self.source / folder.relative_to(self.target)
        if origin.is_symlink():
            link = os.readlink(origin)
            above = self.target if link.startswith("/") else folder.parent
            self._folder(Path(os.path.normpath(above / link.lstrip("/"))))
            folder.symlink_to(link)
        else:
            folder.mkdir()


def build_rootfs(system: System, environment: Path) -> dict[str, debian.Package]:
    """Fill ``system.target`` with what the virtual environment ``environment`` runs on.

    Returns: the Debian packages that are in it.

    Raises:
        FileNotFoundError: the base has no dpkg database.
    """
    system.target.mkdir(parents=True)
    packages = debian.read_packages(system.source)
    owned = debian.owners(system.source, packages)
    files = {*python_files(), *needed_libraries(environment)}
    unpackaged = {path for path in files if _owner(system, owned, path) is None}
    kept = {owner for path in files if (owner := _owner(system, owned, path))}
    kept |= {name for name in (*PACKAGES, *SHELL) if name in packages}
    kept |= _owners_of_needs(system, packages, owned, kept)
    for path in sorted(unpackaged):
        system.copy(path)
    for name in sorted(kept):
        _copy_package(system, packages[name])
    for path in MADE_FILES:
        system.copy(f"/{path}")
    _write_certificates(system.target)
    _write_status(system, [packages[name] for name in sorted(kept)])
    _finish(system.target)
    return {name: packages[name] for name in kept}


def python_files() -> set[str]:
    """The interpreter with its names, and its standard library, without what is unused."""
    library = Path(sysconfig.get_path("stdlib"))
    unused = {path for pattern in UNUSED_LIBRARY for path in library.glob(pattern)}
    found = set()
    for folder, folders, names in os.walk(library):
        here = Path(folder)
        folders[:] = [f for f in folders if f != "__pycache__" and here / f not in unused]
        found |= {str(here / name) for name in names if here / name not in unused}
    return found | _links_to(sys._base_executable)  # type: ignore[attr-defined]


def needed_libraries(environment: Path) -> set[str]:
    """What the interpreter, its library and the packages of ``environment`` load, from outside it.

    Raises:
        ValueError: the interpreter or a package needs a library that is not here.
    """
    packages = shared_objects(environment)
    interpreter = Path(sys._base_executable).resolve()  # type: ignore[attr-defined]
    found, missing = libraries([interpreter, *packages])
    # Packages load their own, and the host's driver, by path.
    missing -= {DRIVER, *(file.name for file in packages)}
    if missing:
        raise ValueError(f"libraries that packages need are not here: {sorted(missing)}")
    # A module of the standard library that lacks one, such as Tk's, cannot be imported in the base
    # either.
    found |= libraries(shared_objects(Path(sysconfig.get_path("stdlib"))))[0]
    return {path for path in found if not path.startswith(f"{environment}/")}


def libraries(files: Iterable[Path]) -> tuple[set[str], set[str]]:
    """The libraries that the loader takes for ``files``, as ldd(1) says.

    Returns: paths, with each link on the way to the file; and the names that were not found.
    """
    command = ["ldd", *map(str, files)]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    missing = set(re.findall(r"^\s*(\S+) => not found", listed, re.MULTILINE))
    found = set(re.findall(r"^\s*(?:\S+ => )?(/\S+) \(0x", listed, re.MULTILINE))
    return {link for path in found for link in _links_to(path)}, missing


def _links_to(path: str) -> set[str]:
    """``path`` and each link on the way to the file that it means."""
    found = {path}
    while os.path.islink(path):
        path = os.path.normpath(os.path.join(os.path.dirname(path), os.readlink(path)))
        found.add(path)
    return found


def _owner(system: System, owned: dict[str, str], path: str) -> str | None:
    return owned.get(debian.real_path(system.source, path))


def _owners_of_needs(
    system: System, packages: dict[str, debian.Package], owned: dict[str, str], kept: set[str]
) -> set[str]:
    """The packages of the libraries that the programs of ``kept`` load."""
    paths = (Path(path) for name in kept for path in packages[name].paths)
    programs = [p for p in paths if p.parent.name in ("bin", "sbin") and p.is_file()]
    found = (_owner(system, owned, path) for path in libraries(programs)[0])
    return {owner for owner in found if owner is not None}


def _copy_package(system: System, package: debian.Package) -> None:
    left_out = _unused_library_paths()
    for path in package.paths:
        if not DOCUMENTATION.fullmatch(path) and not left_out.match(f"{path}/"):
            system.copy(path)
    for file in debian.info_files(system.source, package):
        system.copy(f"/{file.relative_to(system.source)}")


def _unused_library_paths() -> re.Pattern[str]:
    """The same choice of the standard library where Debian's packages bring it."""
    library = Path(sysconfig.get_path("stdlib"))
    unused = [str(path) for pattern in UNUSED_LIBRARY for path in library.glob(pattern)]
    return re.compile("|".join(f"{re.escape(path)}/" for path in unused) or r"(?!)")


def _write_certificates(root: Path) -> None:
    """As update-ca-certificates(8) does, from the package alone.

    The bundle of the build itself is not copied: builds mount their own machine's over it.
    """
    bundle = root / CERTIFICATE_BUNDLE
    bundle.parent.mkdir(parents=True, exist_ok=True)
    files = sorted((root / CERTIFICATES).rglob("*.crt"))
    bundle.write_bytes(b"".join(file.read_bytes().rstrip() + b"\n" for file in files))


def _write_status(system: System, packages: list[debian.Package]) -> None:
    status = system.target / debian.STATUS
    status.parent.mkdir(parents=True, exist_ok=True)
    status.write_text("".join(f"{p.stanza}\n\n" for p in packages), encoding="utf-8")


def _finish(root: Path) -> None:
    """Empty folders, the user, no privileges by file mode, compiled sources."""
    for name, mode in EMPTY_FOLDERS.items():
        (root / name).mkdir(exist_ok=True)
        (root / name).chmod(mode)
    name, number = USER
    with (root / "etc/passwd").open("a", encoding="utf-8") as users:
        users.write(f"{name}:x:{number}:{number}:serves models:/tmp:/usr/sbin/nologin\n")
    with (root / "etc/group").open("a", encoding="utf-8") as groups:
        groups.write(f"{name}:x:{number}:\n")
    for path in root.rglob("*"):
        mode = path.lstat().st_mode
        if path.is_file() and not path.is_symlink() and mode & 0o6000:
            path.chmod(mode & 0o1777)
    compile_sources(root / sysconfig.get_path("stdlib").lstrip("/"), root)


def main(argv: list[str]) -> int:
    """Gather and say which packages are in it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("environment", type=Path, help="virtual environment of the server")
    parser.add_argument("target", type=Path)
    arguments = parser.parse_args(argv)
    packages = build_rootfs(System(Path("/"), arguments.target), arguments.environment)
    sys.stdout.write(f"{len(packages)} packages: {' '.join(sorted(packages))}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
