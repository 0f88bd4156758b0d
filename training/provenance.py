"""Where a published file came from: checksums, versions, the commit."""

import hashlib
import platform
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def package_versions(*distributions: str) -> dict[str, str]:
    """Versions of Python and of the named installed distributions."""
    return {"python": platform.python_version(), **{name: version(name) for name in distributions}}


def git_commit() -> str | None:
    """The commit of the source tree, with "-dirty" if Python files differ; None outside of git."""
    git = shutil.which("git")
    if git is None:
        return None
    folder = Path(__file__).resolve().parent

    def run(*arguments: str) -> str | None:
        done = subprocess.run(  # fixed arguments, no shell
            [git, "-C", str(folder), *arguments], capture_output=True, text=True, check=False
        )
        return done.stdout.strip() if done.returncode == 0 else None

    commit = run("rev-parse", "HEAD")
    if not commit:
        return None
    changed = run("status", "--porcelain", "--untracked-files=no", "--", ":/training", ":/quartet")
    return f"{commit}-dirty" if changed else commit
