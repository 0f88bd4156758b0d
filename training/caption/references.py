"""Checks of what a caption metric compares."""

from collections.abc import Sequence
from typing import TypeAlias

Words: TypeAlias = Sequence[str]
"""One caption, as ``training.data.caption_text.tokenize`` gives it."""
References: TypeAlias = Sequence[Sequence[Words]]
"""The captions that people wrote, of each picture."""


def check_references(references: References) -> None:
    """Raises ValueError: no picture at all, or a picture without a caption."""
    if not references:
        raise ValueError("references: expected those of one picture or more, got none")
    for place, captions in enumerate(references):
        if not captions:
            raise ValueError(f"references[{place}]: expected one caption or more, got none")


def check_candidates(candidates: Sequence[Words], pictures: int) -> None:
    """Raises ValueError: not one candidate for each of ``pictures``."""
    if len(candidates) != pictures:
        raise ValueError(
            f"candidates: expected {pictures}, one for each picture, got {len(candidates)}"
        )
