"""What a layout of captioned pictures gives before any picture is decoded."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

SplitName = Literal["train", "validation", "test"]
"""The three splits."""


@dataclass(frozen=True, slots=True)
class CaptionedFile:
    """One picture's file and what people wrote of it."""

    path: str
    """What ``CaptionFiles.read`` takes."""
    captions: tuple[str, ...]
    """One or more, as they were written."""


@dataclass(frozen=True, slots=True)
class CaptionFiles:
    """The pictures of each split with their captions, and how to read them."""

    splits: Mapping[SplitName, Mapping[str, CaptionedFile]]
    """Split -> name of the picture -> its file, in the order of the split."""
    read: Callable[[str], bytes]
    """Content of one path; called from several threads at once."""
    checksum: str
    """SHA-256 of what was read."""
    dropped: Mapping[str, str]
    """Each picture, record or list entry left out, and why."""
