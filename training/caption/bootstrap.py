"""How much of a difference between two captioners could be the luck of the pictures.

Paired bootstrap (Koehn 2004, "Statistical Significance Tests for Machine Translation Evaluation"):
both are scored on the same pictures, drawn anew with replacement, and the middle 95 % of the
differences are the interval. It does not tell how either would differ with another training seed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.caption.bleu import bleu_counts, bleu_of_counts
from training.caption.cider import CiderD
from training.caption.naming import NOUNS, SUPPORT, measure_naming
from training.caption.references import References, Words
from training.caption.rouge import rouge_l

SAMPLES = 2000
"""Times that the pictures are drawn."""
LEVEL = 0.95
"""Of the intervals."""
_SEED = 0
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Measure:
    """A metric as a function of sums over pictures."""

    rows: Floats
    """[N, K], what each picture adds."""
    value: Callable[[Floats], float]
    """The metric of the sum [K] over some pictures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One metric of two captioners, larger is better."""

    first: float
    second: float
    low: float
    """Lower end of the interval of second - first."""
    high: float
    """Upper end."""

    @property
    def decided(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


def make_measures(
    captions: Sequence[Words], references: References, support: int = SUPPORT
) -> dict[str, Measure]:
    """Every metric by name, of one caption of each of N pictures.

    Args:
        captions: one of each picture.
        references: one or more of each picture; the document frequencies of CIDEr-D are theirs,
            whichever pictures are drawn.
        support: pictures that must show a noun, see ``training.caption.naming``.
    """
    bleu = bleu_counts(captions, references).astype(np.float64)
    ones = np.ones(len(captions))
    cider = CiderD(references).scores(captions)
    rouge = [rouge_l([w], [texts]) for w, texts in zip(captions, references, strict=True)]
    naming = measure_naming(captions, references, NOUNS, support)
    right = (naming.shown & naming.named).sum(axis=1)
    return {
        "CIDEr-D": _ratio(cider, ones),
        **{f"BLEU-{order}": Measure(bleu, _bleu_of(order)) for order in (1, 2, 3, 4)},
        "ROUGE-L": _ratio(np.array(rouge), ones),
        "precision of nouns": _ratio(right, naming.named.sum(axis=1)),
        "recall of nouns": _ratio(right, naming.shown.sum(axis=1)),
    }


def compare_measures(first: Measure, second: Measure, samples: int = SAMPLES) -> Difference:
    """The same metric of two captioners on the same N pictures.

    Raises ValueError: not the same number of pictures.
    """
    pictures = len(first.rows)
    if len(second.rows) != pictures:
        raise ValueError(f"expected {pictures} pictures of both, got {len(second.rows)}")
    generator = np.random.default_rng(_SEED)
    drawn = generator.multinomial(pictures, np.full(pictures, 1 / pictures), size=samples)
    differences = [
        second.value(two) - first.value(one)
        for one, two in zip(drawn @ first.rows, drawn @ second.rows, strict=True)
    ]
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(differences, (tail, 1 - tail)).tolist()
    return Difference(
        first=first.value(first.rows.sum(axis=0)),
        second=second.value(second.rows.sum(axis=0)),
        low=low,
        high=high,
    )


def _ratio(parts: npt.ArrayLike, wholes: npt.ArrayLike) -> Measure:
    """The sum of parts over the sum of wholes; 0 of nothing."""
    rows = np.stack((np.asarray(parts, np.float64), np.asarray(wholes, np.float64)), axis=1)
    return Measure(rows, lambda sums: float(sums[0] / sums[1]) if sums[1] else 0.0)


def _bleu_of(order: int) -> Callable[[Floats], float]:
    return lambda sums: bleu_of_counts(sums)[order - 1]
