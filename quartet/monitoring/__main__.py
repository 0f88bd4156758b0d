"""Writes the files of ``deploy/monitoring``, or checks that they are up to date."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from quartet.monitoring.files import monitoring_files, stale_files, write_files


def main(argv: Sequence[str] | None = None) -> int:
    """Run with ``argv`` (the process's own by default); the exit status.

    Status 0: written, or all is up to date; 1: ``--check`` found a file that differs; 2: the
    command line is wrong.
    """
    parser = argparse.ArgumentParser(prog="python -m quartet.monitoring", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the folder deploy/monitoring")
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if a file differs")
    options = parser.parse_args(argv)
    files = monitoring_files()
    if not options.check:
        write_files(options.out, files)
        return 0
    stale = stale_files(options.out, files)
    for name in stale:
        sys.stderr.write(f"{options.out / name} differs from what the code generates\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
