"""The families that can be trained. Importing this module imports none of them."""

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quartet.config import ConfigError

if TYPE_CHECKING:  # a list of names must not cost the import of PyTorch
    from training.task import Family


@dataclass(frozen=True, slots=True)
class FamilyEntry:
    """Where a family lives."""

    summary: str
    """One line for ``--help``."""
    module: str
    """Module whose ``FAMILY`` is the ``training.task.Family``."""


FAMILIES = {
    "mnist": FamilyEntry(
        "which digit a 28x28 picture shows (mlp, lenet, resnet)", "training.mnist.task"
    ),
    "encoder": FamilyEntry(
        "which of 200 classes a photograph shows (residual network)", "training.encoder.task"
    ),
    "words": FamilyEntry(
        "which words people use of a photograph (residual network)", "training.words.task"
    ),
    "caption": FamilyEntry(
        "what a photograph shows, in words (attention, plain)", "training.caption.task"
    ),
    "faces": FamilyEntry(
        "which gender and age a face seems to have (residual network)", "training.faces.task"
    ),
    "dcgan": FamilyEntry(
        "pictures that look like those of a data set (digits, faces, a folder)",
        "training.dcgan.task",
    ),
    "text": FamilyEntry(
        "which character comes next in a text (rnn, gru, lstm, tcn)", "training.text.task"
    ),
}
"""Every family by its name on the command line."""


def load_family(name: str) -> "Family[Any]":
    """Import the family called ``name``. Raises ConfigError naming those that exist."""
    entry = FAMILIES.get(name)
    if entry is None:
        raise ConfigError(f"unknown family {name!r}; expected one of: {', '.join(FAMILIES)}")
    family: Family[Any] = importlib.import_module(entry.module).FAMILY
    return family
