"""BLEU of a corpus of captions.

Source: Papineni, Roukos, Ward, Zhu, "BLEU: a Method for Automatic Evaluation of Machine
Translation" (ACL 2002), section 2: clipped n-gram precisions with equal weights over the whole
corpus, and a brevity penalty from the reference length closest to each candidate's.
"""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from training.caption.ngrams import ORDERS, Ngram, count_ngrams
from training.caption.references import References, Words, check_candidates, check_references

Counts = npt.NDArray[np.int64]


def bleu(candidates: Sequence[Words], references: References) -> tuple[float, float, float, float]:
    """BLEU-1, BLEU-2, BLEU-3 and BLEU-4, each 0 to 1.

    Nothing is smoothed: an order without a single match makes it and the longer ones 0.

    Args:
        candidates: one caption of each of N pictures.
        references: one or more captions of each of the same N pictures.

    Raises:
        ValueError: no picture, one without references, or N differs.
    """
    return bleu_of_counts(bleu_counts(candidates, references).sum(axis=0))


def bleu_counts(candidates: Sequence[Words], references: References) -> Counts:
    """What BLEU sums over the pictures, int64 [N, 10]; arguments and errors as for ``bleu``.

    Matches of the four orders, n-grams of the four orders, words of the caption, words of the
    reference closest in length.
    """
    check_references(references)
    check_candidates(candidates, len(references))
    return np.array(
        [_counts(words, captions) for words, captions in zip(candidates, references, strict=True)]
    )


def bleu_of_counts(
    counts: "npt.NDArray[np.int64 | np.float64]",
) -> tuple[float, float, float, float]:
    """BLEU-1 to BLEU-4 of the sum [10] of rows of ``bleu_counts``."""
    matched, given = counts[: len(ORDERS)].tolist(), counts[len(ORDERS) : -2].tolist()
    penalty = _brevity_penalty(*counts[-2:].tolist())
    precisions = [m / g if g else 0.0 for m, g in zip(matched, given, strict=True)]
    one, two, three, four = (penalty * _geometric_mean(precisions[:order]) for order in ORDERS)
    return one, two, three, four


def _counts(words: Words, captions: Sequence[Words]) -> list[int]:
    found = count_ngrams(words)
    matched = [(own & most).total() for own, most in zip(found, _most(captions), strict=True)]
    closest = min((abs(len(caption) - len(words)), len(caption)) for caption in captions)[1]
    return [*matched, *(own.total() for own in found), len(words), closest]


def _most(captions: Sequence[Words]) -> list["Counter[Ngram]"]:
    """How often each n-gram occurs in that reference which holds it most, for each order."""
    most = [Counter[Ngram]() for _ in ORDERS]
    for counts in map(count_ngrams, captions):
        for kept, found in zip(most, counts, strict=True):
            kept |= found
    return most


def _brevity_penalty(length: int, closest: int) -> float:
    if length >= closest:
        return 1.0
    return math.exp(1 - closest / length) if length else 0.0


def _geometric_mean(values: Sequence[float]) -> float:
    return math.prod(values) ** (1 / len(values))
