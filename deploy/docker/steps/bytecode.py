"""Compiles Python sources while an image is built.

A container's file system is read-only, so that no start could keep what it compiled: without this,
every start would compile everything anew.
"""

import argparse
import compileall
import py_compile
import sys
from pathlib import Path


def compile_sources(folder: Path, strip: Path | None = None) -> None:
    """Compile every source below ``folder``.

    Sources are not looked at again (PEP 552, unchecked), so that the times of layers' files do not
    matter and a build of the same sources gives the same bytes.

    Args:
        folder: where sources lie now.
        strip: leading part of ``folder`` that will be gone when they run.

    Raises:
        ValueError: a source does not compile.
    """
    done = compileall.compile_dir(
        folder,
        quiet=1,
        force=True,
        stripdir=strip,
        prependdir="/" if strip else None,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    if not done:
        raise ValueError(f"some sources below {folder} do not compile")


def main(argv: list[str]) -> int:
    """Compile one folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--strip", type=Path)
    arguments = parser.parse_args(argv)
    compile_sources(arguments.folder, arguments.strip)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
