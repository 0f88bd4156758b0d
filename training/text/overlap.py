"""How much of a text stands word for word in the training text.

Exact, by prefix doubling (Manber, Myers 1993, "Suffix arrays: a new method for on-line string
searches"): level k ranks all places of training text and samples by their next 2^k symbols, from
the ranks of level k - 1. The last level is the first at which no place of a sample agrees with one
of the training text. There the training place nearest in rank, below or above, shares the longest
prefix with it; its length is read off the levels. So it takes 1 + log2(longest match) sorts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]

COPIED = 32
"""Matches of at least so many characters count as copied: about six words."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """Texts of one length against the training text."""

    longest: tuple[int, ...]
    """Of each text: symbols of its longest piece that stands in the training text."""
    copied: float
    """Share of all symbols that lie in such pieces of ``COPIED`` or more."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "texts": len(self.longest),
            "longest": max(self.longest),
            "median": float(np.median(self.longest)),
            "longest_each": sorted(self.longest, reverse=True),
            "copied": self.copied,
        }


def measure_overlap(train: Ids, texts: Sequence[Ids]) -> Overlap:
    """Overlap of some ``texts`` with ``train``; indices [characters] each, none of them empty."""
    lengths = match_lengths(train, texts)
    copied = sum(int(_covered(found).sum()) for found in lengths)
    return Overlap(
        longest=tuple(int(found.max()) for found in lengths),
        copied=copied / sum(map(len, lengths)),
    )


def match_lengths(train: Ids, texts: Sequence[Ids]) -> list[Ids]:
    """For each place of each text: how many symbols from there on stand somewhere in ``train``."""
    if not texts or min(map(len, texts)) == 0 or len(train) == 0:
        raise ValueError("expected a training text and at least one text, none of them empty")
    # Two symbols of their own end the training text and each sample, so no match passes an end.
    end = int(max(train.max(), *(text.max() for text in texts))) + 1
    pieces = [train, np.array([end])]
    for text in texts:
        pieces += [text, np.array([end + 1])]
    whole = np.concatenate(pieces)
    levels = _rank_levels(whole, len(train))
    lengths = _longest(levels, len(train))
    borders = np.cumsum([len(text) + 1 for text in texts])[:-1]
    return [part[:-1] for part in np.split(lengths, borders)]


def _rank_levels(whole: Ids, trained: int) -> list[Ids]:
    """Ranks, from 1, of all places by their next 1, 2, 4, ... symbols; 0 past the end."""
    ranks = np.unique(whole, return_inverse=True)[1] + 1
    levels = [_padded(ranks)]
    while np.isin(levels[-1][trained + 1 : len(whole)], levels[-1][:trained]).any():
        step = 1 << (len(levels) - 1)
        before = levels[-1]
        after = np.zeros(len(whole), np.int64)
        after[: max(0, len(whole) - step)] = before[step : len(whole)]
        pairs = before[: len(whole)] * (len(whole) + 1) + after
        levels.append(_padded(np.unique(pairs, return_inverse=True)[1] + 1))
    return levels


def _padded(ranks: Ids) -> Ids:
    return np.append(ranks, 0)


def _longest(levels: list[Ids], trained: int) -> Ids:
    """Longest match with the training text of each place after it and its end."""
    last = levels[-1][:-1]
    ordered = np.argsort(last[:trained], kind="stable")
    places = np.arange(trained + 1, len(last))
    above = np.searchsorted(last[:trained][ordered], last[places])
    below = ordered[np.maximum(above - 1, 0)]
    above = ordered[np.minimum(above, trained - 1)]
    return np.maximum(_common_prefix(levels, places, below), _common_prefix(levels, places, above))


def _common_prefix(levels: list[Ids], left: Ids, right: Ids) -> Ids:
    """Symbols that the places ``left`` and ``right`` have in common; less than the last level's."""
    length = np.zeros(len(left), np.int64)
    for exponent in reversed(range(len(levels))):
        ranks = levels[exponent]
        equal = ranks[left + length] == ranks[right + length]
        length += equal * (1 << exponent)
    return length


def _covered(lengths: Ids) -> npt.NDArray[np.bool_]:
    """Which symbols lie in a match of ``COPIED`` or more, given the match at each place."""
    starts = np.flatnonzero(lengths >= COPIED)
    change = np.zeros(len(lengths) + 1, np.int64)
    np.add.at(change, starts, 1)
    np.add.at(change, starts + lengths[starts], -1)
    return np.cumsum(change[:-1]) > 0
