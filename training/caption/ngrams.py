"""Counts runs of words."""

from collections import Counter
from collections.abc import Sequence
from typing import TypeAlias

ORDERS = (1, 2, 3, 4)
"""Lengths of the runs that caption metrics compare, words."""
Ngram: TypeAlias = tuple[str, ...]
"""Words that follow each other."""


def count_ngrams(words: Sequence[str]) -> tuple["Counter[Ngram]", ...]:
    """How often each run occurs in ``words``, one counter for each of ``ORDERS``."""
    return tuple(
        Counter(tuple(words[at : at + order]) for at in range(len(words) - order + 1))
        for order in ORDERS
    )
