"""Checkpoints: tensors and plain values, never pickled objects; written, then renamed.

``last.pt`` holds all that a resumed run needs, ``best.pt`` the weights of the best validation:
``{"model": state dict, "step": int, "metrics": {name: float}}``.
"""

import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch


class CheckpointError(ValueError):
    """A checkpoint that is missing, damaged or of another model; the text names the file."""


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Replace ``path`` in one step, so that a reader sees the old file or the new one."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as stream:
        torch.save(dict(state), stream)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read what ``save_checkpoint`` wrote, its tensors on the CPU; ``load_state_dict`` moves them.

    Raises:
        CheckpointError: no such file, or not a checkpoint of tensors and plain values.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such checkpoint") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        raise CheckpointError(f"{path} is damaged or no checkpoint: {error}") from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: expected a dict, got {type(state).__name__}")
    return state
