"""All caption metrics of one set of captions, and what they are for people and without a model.

A score against four references is lower than the same captions' against five, so what people reach,
each against the others, compares with a model's score on the same references: ``HeldOutScores``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from training.caption.bleu import bleu
from training.caption.cider import CiderD
from training.caption.references import References, Words, check_candidates
from training.caption.rouge import rouge_l
from training.evaluation.spec import Figures

CONSTANTS = (
    "a man in a red shirt is standing in the grass",
    "a black and white dog is running through the grass",
)
"""Captions of what Flickr8k shows most, given to every picture."""
_SEED = 0


def score_captions(
    candidates: Sequence[Words], references: References, cider: CiderD | None = None
) -> Figures:
    """BLEU, CIDEr-D and ROUGE-L of one caption of each of N pictures.

    Args:
        candidates: N captions.
        references: one or more captions of each of the N pictures.
        cider: made of ``references``, to be used again.

    Returns:
        For JSON: ``bleu`` (BLEU-1 to 4), ``cider_d`` and ``rouge_l``.

    Raises:
        ValueError: see the metrics.
    """
    return {
        "bleu": list(bleu(candidates, references)),
        "cider_d": (cider or CiderD(references)).score(candidates),
        "rouge_l": rouge_l(candidates, references),
    }


@dataclass(frozen=True, slots=True)
class Turn:
    """One reference of each picture held out."""

    rows: tuple[int, ...]
    """The pictures that have two or more references."""
    held_out: tuple[Words, ...]
    """One reference of each."""
    others: tuple[tuple[Words, ...], ...]
    """The rest of them."""


def turns(references: References) -> Iterator[Turn]:
    """As many turns as a picture has references; one with fewer holds the same one out again."""
    rows = tuple(row for row, captions in enumerate(references) if len(captions) > 1)
    kept = [references[row] for row in rows]
    for turn in range(max(map(len, kept), default=0)):
        places = [turn % len(captions) for captions in kept]
        yield Turn(
            rows,
            tuple(captions[place] for captions, place in zip(kept, places, strict=True)),
            tuple(
                tuple(caption for at, caption in enumerate(captions) if at != place)
                for captions, place in zip(kept, places, strict=True)
            ),
        )


class HeldOutScores:
    """Scores of captions against all references of a picture but one, over ``turns``.

    Args:
        references: two or more captions of at least one picture.

    Raises:
        ValueError: no picture has two references.
    """

    def __init__(self, references: References) -> None:
        self._turns = [(turn, CiderD(turn.others)) for turn in turns(references)]
        if not self._turns:
            raise ValueError("references: expected two or more of some picture, got one of each")
        self._pictures = len(references)

    @property
    def references(self) -> float:
        """How many references a picture is compared with, on average."""
        counts = [len(captions) for captions in self._turns[0][0].others]
        return sum(counts) / len(counts)

    def of_people(self) -> Figures:
        """Mean of ``score_captions`` of the references held out."""
        return _mean([score_captions(t.held_out, t.others, cider) for t, cider in self._turns])

    def of_captions(self, candidates: Sequence[Words]) -> Figures:
        """The same of one caption of each picture. Raises ValueError: not one of each."""
        check_candidates(candidates, self._pictures)
        return _mean(
            [
                score_captions([candidates[row] for row in turn.rows], turn.others, cider)
                for turn, cider in self._turns
            ]
        )


def floor_scores(references: References, train: References, cider: CiderD | None = None) -> Figures:
    """What is reached without looking at the pictures.

    Args:
        references: captions of each of N pictures.
        train: captions of each training picture.
        cider: made of ``references``, to be used again.

    Returns:
        For JSON: ``constant``, a list of ``score_captions`` with its ``caption``, and ``random``,
        that of training captions drawn with a fixed seed.
    """
    cider = cider or CiderD(references)
    pool = [caption for captions in train for caption in captions]
    drawn = np.random.default_rng(_SEED).integers(len(pool), size=len(references))
    constant = [
        {"caption": caption}
        | score_captions([tuple(caption.split())] * len(references), references, cider)
        for caption in CONSTANTS
    ]
    return {
        "constant": constant,
        "random": score_captions([pool[place] for place in drawn.tolist()], references, cider),
    }


def _mean(found: Sequence[Figures]) -> Figures:
    return {
        "bleu": np.mean([scores["bleu"] for scores in found], axis=0).tolist(),
        "cider_d": float(np.mean([scores["cider_d"] for scores in found])),
        "rouge_l": float(np.mean([scores["rouge_l"] for scores in found])),
    }
