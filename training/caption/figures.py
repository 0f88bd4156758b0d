"""All figures of captions on one split, given the captions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from training.caption.cider import CiderD
from training.caption.diversity import measure_diversity
from training.caption.naming import measure_naming
from training.caption.nearest import NEIGHBOURS
from training.caption.references import References, Words
from training.caption.scores import HeldOutScores, floor_scores, score_captions, turns
from training.caption.tuning import Tuned
from training.evaluation.spec import Figures


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was found on a split of N pictures, and what it is compared with."""

    captions: Mapping[int, Sequence[Words]]
    """Beam width -> N captions."""
    tuned: Mapping[int, Tuned]
    """Beam width -> how it was chosen."""
    width: int
    """The width that is shown."""
    nearest: Sequence[Words]
    """N captions of ``training.caption.nearest``."""
    references: References
    """One or more captions of each of the N pictures."""
    train: References
    """Those of the training pictures."""
    cider: CiderD
    """Made of ``references``."""


def make_figures(found: Found) -> Figures:
    """For JSON; ``training.caption.report`` says what is what.

    Where no picture has two references, ``people`` and ``held_out`` are None.
    """
    references, cider = found.references, found.cider
    distinct = {tuple(words) for captions in found.train for words in captions}
    several = any(len(captions) > 1 for captions in references)
    held_out = HeldOutScores(references) if several else None
    borrowed = score_captions(found.nearest, references, cider)
    return {
        "pictures": len(references),
        "references": sum(map(len, references)) / len(references),
        "width": found.width,
        "widths": {
            str(width): _width_figures(found, width, distinct, held_out) for width in found.tuned
        },
        "floors": {
            **floor_scores(references, found.train, cider),
            "nearest": {"neighbours": NEIGHBOURS, **borrowed},
        },
        "naming": measure_naming(found.captions[found.width], references).as_dict(),
        "people": held_out and _people(references, held_out, distinct),
    }


def _width_figures(
    found: Found, width: int, train: set[tuple[str, ...]], held_out: HeldOutScores | None
) -> Figures:
    captions, tuned = found.captions[width], found.tuned[width]
    return {
        "length_penalty": tuned.settings.length_penalty,
        "validation": {f"{penalty:g}": score for penalty, score in tuned.cider_d.items()},
        **score_captions(captions, found.references, found.cider),
        "held_out": held_out and held_out.of_captions(captions),
        "diversity": measure_diversity(captions, train),
        "naming": measure_naming(captions, found.references).as_dict()["all"],
    }


def _people(
    references: References, held_out: HeldOutScores, train: set[tuple[str, ...]]
) -> Figures:
    """Scores over all turns; the rest of the first reference, named against the others."""
    first = next(turns(references))
    return {
        "references": held_out.references,
        **held_out.of_people(),
        "diversity": measure_diversity(first.held_out, train),
        "naming": measure_naming(first.held_out, first.others).as_dict(),
    }
