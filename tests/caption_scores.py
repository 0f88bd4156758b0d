"""Captions with their scores by the COCO caption evaluation, for tests of the caption metrics.

The captions are made up. The scores are those of pycocoevalcap 1.2 (``Bleu(4)``, ``Cider()``, which
computes CIDEr-D, and ``Rouge()``) on the words joined by spaces. Its BLEU adds 1e-15 to every count
of matches, so that an order without a match gives a little more than 0; those values are sacrebleu
2.6.0's (``smooth_method="none"``), which agrees on all others.
"""

from dataclasses import dataclass

_WRITTEN = (
    (
        "the old boat lies on the sand",
        "a boat rests on a sandy shore",
        "an old boat on the beach at low tide",
    ),
    ("two cooks stir a large pot of soup", "two cooks stir soup"),
    (
        "a lamp stands on the desk near the window",
        "a desk lamp by a window",
        "the lamp on the desk is lit",
    ),
    ("rain falls on the empty street", "the street is empty in the rain at night"),
)
REFERENCES = tuple(tuple(tuple(text.split()) for text in texts) for texts in _WRITTEN)
"""Two or three captions of each of four pictures."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One caption of each picture, and what they score."""

    texts: tuple[str, str, str, str]
    bleu: tuple[float, float, float, float]
    """BLEU-1 to BLEU-4."""
    cider: tuple[float, float, float, float]
    """CIDEr-D of each caption."""
    rouge: float
    """Mean ROUGE-L."""

    @property
    def candidates(self) -> tuple[tuple[str, ...], ...]:
        """The words of each caption."""
        return tuple(tuple(text.split()) for text in self.texts)


SCORED = {
    "near": Scored(
        texts=(
            "the old boat on the sand",
            "two cooks stir a large pot",
            "a lamp on the desk near a window",
            "rain falls in the empty street at night",
        ),
        bleu=(1.0, 0.935414347, 0.806714323, 0.666112591),
        cider=(2.944767895, 5.699803005, 3.491848223, 3.281432312),
        rouge=0.823530693,
    ),
    "repeated words": Scored(
        texts=(
            "the the the the the the the boat",
            "two cooks two cooks",
            "lamp desk lamp desk lamp",
            "the rain the rain the rain the rain the rain the rain the rain the rain",
        ),
        bleu=(0.303030303, 0.177053558, 0.0, 0.0),
        cider=(0.686158268, 1.20056552, 0.749437666, 0.078863784),
        rouge=0.345111299,
    ),
    "too short": Scored(
        texts=("a boat", "two cooks stir", "lamp", "rain falls"),
        bleu=(0.153354967, 0.153354967, 0.153354967, 0.0),
        cider=(0.990395162, 4.355087089, 0.709214246, 1.385960622),
        rouge=0.48783715,
    ),
    "empty and unknown": Scored(
        texts=("", "two cooks stir soup", "zebra", "rain falls on the empty street"),
        bleu=(0.305373619, 0.320278554, 0.325406812, 0.328001651),
        cider=(0.0, 6.480088316, 0.0, 5.707136481),
        rouge=0.5,
    ),
    "wrong": Scored(
        texts=("seven green kites",) * 4,
        bleu=(0.0, 0.0, 0.0, 0.0),
        cider=(0.0, 0.0, 0.0, 0.0),
        rouge=0.0,
    ),
}
"""Name -> captions of ``REFERENCES``."""
TOLERANCE = 1e-8
"""The scores are written with nine decimals."""
