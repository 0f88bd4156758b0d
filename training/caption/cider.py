"""CIDEr-D of captions.

Source: Vedantam, Zitnick, Parikh, "CIDEr: Consensus-based Image Description Evaluation" (CVPR
2015), section 7 (equations 6 and 7). As in the COCO caption evaluation, words are not stemmed, a
caption's length is its number of word pairs, and the result carries the factor 10.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from training.caption.ngrams import ORDERS, Ngram, count_ngrams
from training.caption.references import References, Words, check_candidates, check_references

SIGMA = 6.0
"""Standard deviation of the length penalty, words."""
SCALE = 10.0
"""Factor of the result."""
_Counts: TypeAlias = "tuple[Counter[Ngram], ...]"


@dataclass(frozen=True, slots=True)
class _Vectors:
    """A caption's n-grams weighted by how telling they are, one vector for each order."""

    weights: tuple[Mapping[Ngram, float], ...]
    """Term frequency times inverse document frequency."""
    norms: tuple[float, ...]
    """Euclidean length of each vector."""
    pairs: int
    """Number of word pairs."""


class CiderD:
    """Scores captions of one set of pictures.

    The document frequency of an n-gram is the number of pictures with a reference that holds it, so
    a score depends on all references given here: figures compare only over the same pictures, and
    those of a single picture are 0.
    """

    def __init__(self, references: References) -> None:
        """Count the n-grams of ``references``: one or more captions of each of N pictures.

        Raises ValueError: no picture, or one without references.
        """
        check_references(references)
        counted = [[count_ngrams(words) for words in captions] for captions in references]
        self._pictures = math.log(len(references))
        self._documents: Counter[Ngram] = Counter()
        for captions in counted:
            self._documents.update({ngram for counts in captions for c in counts for ngram in c})
        self._references = [[self._weigh(counts) for counts in captions] for captions in counted]

    def score(self, candidates: Sequence[Words]) -> float:
        """Mean of ``scores``."""
        return float(self.scores(candidates).mean())

    def scores(self, candidates: Sequence[Words]) -> npt.NDArray[np.float64]:
        """float64 [N], 0 to 10: of one caption of each of the N pictures.

        Raises ValueError: the number of captions is not N.
        """
        check_candidates(candidates, len(self._references))
        vectors = (self._weigh(count_ngrams(words)) for words in candidates)
        return np.array(
            [
                SCALE * sum(_similarity(own, other) for other in captions) / len(captions)
                for own, captions in zip(vectors, self._references, strict=True)
            ]
        )

    def _weigh(self, counts: _Counts) -> _Vectors:
        weights = tuple(
            {ngram: count * self._rarity(ngram) for ngram, count in found.items()}
            for found in counts
        )
        norms = tuple(math.sqrt(sum(w * w for w in vector.values())) for vector in weights)
        return _Vectors(weights, norms, pairs=counts[1].total())

    def _rarity(self, ngram: Ngram) -> float:
        """Inverse document frequency; an n-gram of no picture counts as one of a single picture."""
        return self._pictures - math.log(max(1, self._documents[ngram]))


def _similarity(own: _Vectors, other: _Vectors) -> float:
    """Mean over the orders of the clipped cosine, times the length penalty (equation 7)."""
    total = 0.0
    for mine, theirs, my_norm, their_norm in zip(
        own.weights, other.weights, own.norms, other.norms, strict=True
    ):
        if my_norm and their_norm:
            shared = ((w, theirs[ngram]) for ngram, w in mine.items() if ngram in theirs)
            total += sum(min(m, t) * t for m, t in shared) / (my_norm * their_norm)
    penalty = math.exp(-((own.pairs - other.pairs) ** 2) / (2 * SIGMA**2))
    return total / len(ORDERS) * penalty
