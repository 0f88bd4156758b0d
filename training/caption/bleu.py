"""BLEU of a corpus of captions.

Source: Papineni, Roukos, Ward, Zhu, "BLEU: a Method for Automatic Evaluation of Machine
Translation" (ACL 2002), section 2: clipped n-gram precisions with equal weights over the whole
corpus, and a brevity penalty from the reference length closest to each candidate's.
"""

import math
from collections import Counter
from collections.abc import Sequence

from training.caption.ngrams import ORDERS, Ngram, count_ngrams
from training.caption.references import References, Words, check_candidates, check_references


def bleu(candidates: Sequence[Words], references: References) -> tuple[float, float, float, float]:
    """BLEU-1, BLEU-2, BLEU-3 and BLEU-4, each 0 to 1.

    Nothing is smoothed: an order without a single match makes it and the longer ones 0.

    Args:
        candidates: one caption of each of N pictures.
        references: one or more captions of each of the same N pictures.

    Raises:
        ValueError: no picture, one without references, or N differs.
    """
    check_references(references)
    check_candidates(candidates, len(references))
    matched, given = Counter[int](), Counter[int]()
    for words, captions in zip(candidates, references, strict=True):
        for order, found, allowed in zip(ORDERS, count_ngrams(words), _most(captions), strict=True):
            matched[order] += (found & allowed).total()
            given[order] += found.total()
    penalty = _brevity_penalty(candidates, references)
    precisions = [matched[order] / given[order] if given[order] else 0.0 for order in ORDERS]
    one, two, three, four = (penalty * _geometric_mean(precisions[:order]) for order in ORDERS)
    return one, two, three, four


def _most(captions: Sequence[Words]) -> list["Counter[Ngram]"]:
    """How often each n-gram occurs in that reference which holds it most, for each order."""
    most = [Counter[Ngram]() for _ in ORDERS]
    for counts in map(count_ngrams, captions):
        for kept, found in zip(most, counts, strict=True):
            kept |= found
    return most


def _brevity_penalty(candidates: Sequence[Words], references: References) -> float:
    length = sum(map(len, candidates))
    closest = sum(
        min((abs(len(caption) - len(words)), len(caption)) for caption in captions)[1]
        for words, captions in zip(candidates, references, strict=True)
    )
    if length >= closest:
        return 1.0
    return math.exp(1 - closest / length) if length else 0.0


def _geometric_mean(values: Sequence[float]) -> float:
    return math.prod(values) ** (1 / len(values))
