"""One number for what a version computes."""

import hashlib
from pathlib import Path

from quartet.artifact import (
    CRITIC_GOLDEN_FILE,
    ENCODER_GOLDEN_FILE,
    GOLDEN_FILE,
    PREFILL_GOLDEN_FILE,
    RUN_FILE,
)

_NOT_HASHED = frozenset(
    (GOLDEN_FILE, PREFILL_GOLDEN_FILE, ENCODER_GOLDEN_FILE, CRITIC_GOLDEN_FILE, RUN_FILE)
)
"""Files that say something about the graphs and change nothing of what they compute."""


def version_sha256(folder: Path) -> str:
    """SHA-256 over the graphs and weights in ``folder``, hexadecimal.

    Every file counts, since a graph may refer to any as its weights; not those about the version
    (goldens, the record of the run), nor hidden ones. Names and lengths are hashed too, so that
    bytes cannot move from one file to the next unseen.

    Raises:
        OSError: a file cannot be read.
    """
    whole = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        if file.is_file() and file.name not in _NOT_HASHED and not file.name.startswith("."):
            with file.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").hexdigest()
            whole.update(f"{file.name}\0{file.stat().st_size}\0{content}\n".encode())
    return whole.hexdigest()
