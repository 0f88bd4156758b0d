"""The command ``quartet``: finds the subcommand and loads no more than it needs."""

import gc
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from types import ModuleType

from quartet import __version__
from quartet.config import ConfigError

COMMANDS: dict[str, tuple[str, str, str]] = {
    "serve": ("serving.cli", "serve", "serve a model repository over REST and gRPC"),
    "models": ("serving.cli", "models", "load and check every model of a repository"),
    "doctor": ("serving.cli", "doctor", "report devices, threads and versions"),
    "kit": ("quartet.kit.cli", "main", "write manifests and alerts sized by a load test"),
    "train": ("training.cli", "train", "train a model family"),
    "evaluate": ("training.evaluation.cli", "main", "evaluate a trained run on the test split"),
    "export": ("training.export.cli", "main", "export a trained run to a model repository"),
}
"""Subcommand -> module, function, one line of help."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``quartet`` with ``argv`` (the process's own by default); the exit status.

    Status 0: done; 1: it failed, the reason is on standard error; 2: the command line is wrong.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        sys.stdout.write(_usage())
        return 0 if arguments else 2
    name, *rest = arguments
    if name in ("-V", "--version"):
        sys.stdout.write(f"quartet {__version__}\n")
        return 0
    if name not in COMMANDS:
        sys.stderr.write(f"quartet: no command {name!r}\n\n{_usage()}")
        return 2
    try:
        return _load(name)(rest)
    except ConfigError as error:
        sys.stderr.write(f"quartet {name}: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130


def _load(name: str) -> Callable[[Sequence[str]], int]:
    module, function, _ = COMMANDS[name]
    try:
        loaded: Callable[[Sequence[str]], int] = getattr(_import(module), function)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] in ("serving", "training", "quartet"):
            raise
        raise ConfigError(
            f"needs the package {error.name!r}: pip install 'quartet[train]'"
        ) from error
    return loaded


def _import(module: str) -> ModuleType:
    """Import it with the garbage collector at rest: what modules make stays."""
    gc.disable()
    try:
        return import_module(module)
    finally:
        gc.enable()


def _usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, (_, _, text) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: quartet COMMAND [flags]   (quartet COMMAND --help shows its flags)",
            "",
            *lines,
            "",
        ]
    )
