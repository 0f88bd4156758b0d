"""What moving along a direction does to the pictures of a generator, as a scorer sees it.

A flip toward ``name`` is a picture below the attribute's border that comes above it (or changes by
``Attribute.enough``), as a share of those below; away, toward ``opposite``, likewise. A change is
the mean of the absolute difference over all seeds and both ways, in standard deviations over the
samples. Another attribute's flips are the pictures whose side of it changes, as a share of all.
Leakage is the largest of the others' flips over the attribute's, and of their change over its own.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from training.dcgan.latent_directions import Array, Attribute, moved
from training.dcgan.samples import Sampler
from training.dcgan.scorer import Scorer, Scores
from training.evaluation.spec import Figures

MUST_FLIP = 0.75
"""Share of seeds, each way, from which a direction is worth its name."""
MOST_LEAKAGE = 0.5
"""Leakage stays below."""
AIM = 0.8
"""Flips at which the search for a step ends: on other seeds they may be fewer."""
STEPS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.3, 1.6, 2.0)
"""Steps that are tried, in square roots of Z, which is the usual length of z."""

_Moved = Mapping[bool, Scores]
"""Scores of the pictures moved toward an attribute's name (True) and its opposite (False)."""


@dataclass(frozen=True, slots=True)
class Trial:
    """Samples of N seeds on which directions are tried."""

    sampler: Sampler
    """Makes the pictures."""
    scorer: Scorer
    """Looks at them."""
    attributes: tuple[Attribute, ...]
    """All that are watched."""
    deviations: Mapping[str, float]
    """Of the attributes' values over the samples, by ``Attribute.value``."""
    z: Tensor
    """Noise [N, Z]."""
    before: Scores
    """Of the samples as they are."""

    def measure(self, attribute: Attribute, vector: Array, step: float) -> Figures:
        """Flips, changes and leakage at ``step`` lengths of ``vector`` [Z], which has length 1."""
        after = {
            up: self.scorer.score(self.sampler.draw(moved(self.z, vector, step if up else -step)))
            for up in (True, False)
        }
        toward, away = (self._flips(after[up], attribute, up=up) for up in (True, False))
        change = self._change(after, attribute)
        others = {
            other.name: {
                "flips": self._turns(after, other),
                "change": self._change(after, other),
            }
            for other in self.attributes
            if other is not attribute
        }
        if self.before.probabilities is not None:  # which digit it is has no degrees
            others["digit"] = {"flips": self._other_digits(after)}
        flips = min(toward, away)
        leakage = max(
            max(
                _ratio(row["flips"], flips), _ratio(row["change"], change) if "change" in row else 0
            )
            for row in others.values()
        )
        return {
            "flips_toward": toward,
            "flips_away": away,
            "change": change,
            "others": others,
            "leakage": leakage,
            "met": flips >= MUST_FLIP and leakage < MOST_LEAKAGE,
        }

    def choose_step(self, attribute: Attribute, vector: Array) -> tuple[float, Figures]:
        """The smallest of ``STEPS`` that flips enough, else the one that flips most."""
        tried: list[tuple[float, Figures]] = []
        for share in STEPS:
            step = share * math.sqrt(self.z.shape[1])
            tried.append((step, self.measure(attribute, vector, step)))
            if least_flips(tried[-1][1]) >= AIM:
                break
        return max(tried, key=lambda trial: least_flips(trial[1]))

    def _flips(self, after: Scores, attribute: Attribute, *, up: bool) -> float:
        key = attribute.value
        candidates, flipped = attribute.flipped(self.before.values[key], after.values[key], up=up)
        return float(flipped.sum() / max(1, candidates.sum()))

    def _turns(self, after: _Moved, attribute: Attribute) -> float:
        before = self.before.values[attribute.value]
        shares = []
        for scores in after.values():
            now = scores.values[attribute.value]
            rose, fell = (attribute.flipped(before, now, up=up)[1] for up in (True, False))
            shares.append((rose | fell).mean())
        return float(np.mean(shares))

    def _other_digits(self, after: _Moved) -> float:
        digits = self.before.attributes[:, 0]
        changed = [scores.attributes[:, 0] != digits for scores in after.values()]
        return float(np.mean([row.double().mean() for row in changed]))

    def _change(self, after: _Moved, attribute: Attribute) -> float:
        key = attribute.value
        moves = [np.abs(s.values[key] - self.before.values[key]).mean() for s in after.values()]
        return float(np.mean(moves) / self.deviations[key])


def least_flips(figures: Figures) -> float:
    """Share of flips of the way that has fewer."""
    return float(min(figures["flips_toward"], figures["flips_away"]))


def rank(figures: Figures) -> tuple[float, float]:
    """Larger is better: more flips up to the aim, then less leakage."""
    return min(least_flips(figures), AIM), -float(figures["leakage"])


def _ratio(part: float, whole: float) -> float:
    """``part`` over ``whole``, neither negative; 1 or more where ``whole`` is 0."""
    return part / whole if whole > 0 else 1.0 + part
