"""Whether captions name what the pictures show: precision and recall of common nouns.

A picture shows a thing if ``AGREEMENT`` of its references name it (one, where there is but one). A
noun counts as named by any of its forms, which are its plural and the few synonyms of ``NOUNS``;
a caption that says "person" of a man names no man.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.caption.references import References, Words
from training.evaluation.spec import Figures

AGREEMENT = 2
"""References that must name a thing for the picture to count as showing it."""
SUPPORT = 30
"""Pictures that must show a thing for it to be judged."""
NOUNS: Mapping[str, tuple[str, ...]] = {
    "dog": ("dog", "dogs"),
    "man": ("man", "men"),
    "woman": ("woman", "women"),
    "boy": ("boy", "boys"),
    "girl": ("girl", "girls"),
    "child": ("child", "children", "kid", "kids"),
    "baby": ("baby", "babies", "toddler"),
    "person": ("person",),
    "people": ("people",),
    "group": ("group",),
    "crowd": ("crowd",),
    "player": ("player", "players"),
    "skateboard": ("skateboard", "skateboarder", "skateboarding"),
    "water": ("water",),
    "grass": ("grass", "grassy"),
    "snow": ("snow", "snowy"),
    "beach": ("beach",),
    "sand": ("sand", "sandy"),
    "ocean": ("ocean", "sea"),
    "wave": ("wave", "waves"),
    "pool": ("pool",),
    "lake": ("lake",),
    "field": ("field",),
    "street": ("street", "road"),
    "sidewalk": ("sidewalk",),
    "park": ("park",),
    "dirt": ("dirt",),
    "rock": ("rock", "rocks"),
    "mountain": ("mountain", "mountains"),
    "hill": ("hill",),
    "tree": ("tree", "trees"),
    "building": ("building", "buildings"),
    "wall": ("wall",),
    "fence": ("fence",),
    "car": ("car", "cars"),
    "boat": ("boat", "boats"),
    "horse": ("horse", "horses"),
    "ball": ("ball",),
    "bike": ("bike", "bikes", "bicycle", "bicycles"),
    "motorcycle": ("motorcycle", "motorcycles", "motorbike"),
    "swing": ("swing",),
    "soccer": ("soccer",),
    "football": ("football",),
    "basketball": ("basketball",),
    "tennis": ("tennis",),
    "shirt": ("shirt", "shirts", "tshirt"),
    "jacket": ("jacket", "jackets", "coat"),
    "hat": ("hat", "hats", "cap"),
    "mouth": ("mouth", "mouths"),
    "camera": ("camera",),
    "table": ("table",),
    "bench": ("bench",),
}
"""Noun -> forms that name it."""
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Naming:
    """Which pictures show which thing, and which captions name it; N pictures, K nouns."""

    nouns: tuple[str, ...]
    """K, those that enough pictures show."""
    shown: Flags
    """[N, K], ``AGREEMENT`` references name it."""
    seen: Flags
    """[N, K], one reference does."""
    named: Flags
    """[N, K], the caption does."""

    def as_dict(self) -> Figures:
        """For JSON: ``nouns`` (noun -> figures) and ``all``, over all pairs of picture and noun.

        Figures: ``shown`` and ``named``, pictures; ``precision`` of the captions that name it, the
        share whose picture shows it; ``precision_any``, the share of which at least one reference
        names it; ``recall`` of the pictures that show it, the share whose caption names it. A
        figure of no caption is None.
        """
        columns = (self.shown.T, self.seen.T, self.named.T)
        rows = {noun: _figures(*row) for noun, *row in zip(self.nouns, *columns, strict=True)}
        return {"nouns": rows, "all": _figures(self.shown, self.seen, self.named)}


def measure_naming(
    captions: Sequence[Words],
    references: References,
    nouns: Mapping[str, Sequence[str]] = NOUNS,
    support: int = SUPPORT,
) -> Naming:
    """Look for each noun in the captions and in the references of the same N pictures.

    Args:
        captions: one of each picture.
        references: one or more of each picture.
        nouns: noun -> forms that name it.
        support: pictures that must show a thing for it to be judged.
    """
    forms = [frozenset(words) for words in nouns.values()]
    named = _naming(captions, forms)
    counts = np.stack([_naming(texts, forms).sum(axis=0) for texts in references])
    needed = np.minimum(AGREEMENT, [len(texts) for texts in references])
    shown = counts >= needed[:, None]
    kept = shown.sum(axis=0) >= support
    return Naming(
        nouns=tuple(noun for noun, keep in zip(nouns, kept, strict=True) if keep),
        shown=shown[:, kept],
        seen=counts[:, kept] > 0,
        named=named[:, kept],
    )


def _naming(captions: Sequence[Words], forms: Sequence[frozenset[str]]) -> Flags:
    """[captions, nouns], whether a caption holds a form of the noun."""
    return np.array([[not one.isdisjoint(words) for one in forms] for words in captions], bool)


def _figures(shown: Flags, seen: Flags, named: Flags) -> Figures:
    return {
        "shown": int(shown.sum()),
        "named": int(named.sum()),
        "precision": _share(shown & named, named),
        "precision_any": _share(seen & named, named),
        "recall": _share(shown & named, shown),
    }


def _share(part: Flags, whole: Flags) -> float | None:
    count = int(whole.sum())
    return int(part.sum()) / count if count else None
