"""Generates ``serving/pb`` from ``protos``: ``python -m scripts.generate_protos``.

Two things are changed in what protoc writes:

* Imports are qualified with ``serving.pb``, since the generated packages are no top-level ones.
* Messages are built in a descriptor pool of our own. Other clients of the Open Inference Protocol
  register the same full names (``inference.ModelInferRequest``) in the process-wide default pool,
  where two definitions of one name are refused.
"""

import argparse
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from grpc_tools import protoc  # type: ignore[import-untyped]  # ships no types

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
PACKAGE = "serving.pb"
OUT = ROOT / "serving" / "pb"

_POOL_IMPORT = "from google.protobuf import descriptor_pool as _descriptor_pool"
_POOL_USE = "_descriptor_pool.Default()"


def generate(protos: Path, out: Path) -> list[Path]:
    """Write the Python modules and stubs of every ``.proto`` under ``protos`` below ``out``.

    Returns:
        The files written, sorted.

    Raises:
        RuntimeError: protoc refused a file (it has printed why), or its output has changed form.
    """
    sources = sorted(path.relative_to(protos) for path in protos.rglob("*.proto"))
    with tempfile.TemporaryDirectory() as scratch:
        flags = [f"--{kind}_out={scratch}" for kind in ("python", "pyi", "grpc_python")]
        status = protoc.main(["protoc", f"-I{protos}", *flags, *(s.as_posix() for s in sources)])
        if status != 0:
            raise RuntimeError(f"protoc failed with status {status}")
        packages = sorted({".".join(source.parent.parts) for source in sources})
        return [
            _install(path, out / path.relative_to(scratch), packages)
            for path in sorted(Path(scratch).rglob("*.py*"))
            if not _is_empty(path)
        ]


def _is_empty(path: Path) -> bool:
    """Whether ``path`` is the service module of a file that declares no service."""
    return path.name.endswith("_pb2_grpc.py") and "add_" not in path.read_text(encoding="utf-8")


def _install(path: Path, target: Path, packages: Sequence[str]) -> Path:
    """Copy one generated file with its imports and its pool changed."""
    text = path.read_text(encoding="utf-8")
    names = "|".join(re.escape(package) for package in packages)
    text = re.sub(rf"^from ({names}) import ", rf"from {PACKAGE}.\1 import ", text, flags=re.M)
    if path.name.endswith("_pb2.py"):
        text = _use_own_pool(text, path.name)
        text = re.sub(rf"(\(DESCRIPTOR, ')({names})\.", rf"\1{PACKAGE}.\2.", text)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
    return target


def _use_own_pool(text: str, name: str) -> str:
    if text.count(_POOL_IMPORT) != 1 or text.count(_POOL_USE) != 1:
        raise RuntimeError(f"{name}: protoc's output no longer takes its pool as expected")
    text = text.replace(_POOL_IMPORT, f"from {PACKAGE}._pool import POOL as _POOL")
    return text.replace(_POOL_USE, "_POOL")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    parser = argparse.ArgumentParser(description="Generate serving/pb from protos.")
    parser.add_argument("--out", type=Path, default=OUT, help="folder to write to")
    generate(PROTOS, parser.parse_args(argv).out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
