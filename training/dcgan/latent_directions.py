"""Directions of the noise along which an attribute of pictures grows. float64.

N samples with noise of Z numbers. Both ways of finding a direction compare the samples that show
the attribute most with those that show it least (Shen et al. 2020, "Interpreting the Latent Space
of GANs for Semantic Face Editing", section 3.1).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Array = npt.NDArray[np.float64]

Kind = Literal["means", "linear"]
"""means: from the mean noise of one side to that of the other (Radford et al. 2016, section 6.3.2,
by labels instead of picked examples); linear: the normal of the plane that parts them best."""
KINDS: tuple[Kind, ...] = ("means", "linear")
_PENALTY = 1.0
"""Weight of the squared length of a classifier's normal, against the sum over samples."""
_NEWTON_STEPS = 50
_CONVERGED = 1e-9


@dataclass(frozen=True, slots=True)
class Attribute:
    """Something of a picture that changes by degrees."""

    name: str
    """What a picture above ``border`` is, for instance ``older``."""
    opposite: str
    """What one below it is."""
    value: str
    """Key in ``training.dcgan.scorer.Scores.values``."""
    border: float
    """Between the two, in the unit of the value."""
    enough: float = math.inf
    """A change by so much counts as a flip although it crosses no border."""

    def flipped(
        self, before: Array, after: Array, *, up: bool
    ) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Which of N pictures were not on the wanted side, and which of all have flipped to it.

        Args:
            before: values [N].
            after: values of the changed pictures [N].
            up: towards ``name``; else towards ``opposite``.
        """
        sign = 1.0 if up else -1.0
        open_to_it = before < self.border if up else before >= self.border
        over = after >= self.border if up else after < self.border
        return open_to_it, open_to_it & (over | (sign * (after - before) >= self.enough))


def find_directions(
    z: Array,
    values: Mapping[str, Array],
    attributes: Sequence[Attribute],
    kind: Kind,
    kept: Sequence[Array] = (),
) -> dict[str, Array]:
    """A direction [Z] of length 1 for the name of each attribute, at right angles to the others'.

    What is taken off is the part in the space that the other attributes' directions span (Shen et
    al. 2020, section 3.2, conditional manipulation).

    Args:
        z: noise [N, Z].
        values: of the attributes [N], by ``Attribute.value``.
        attributes: all that should not change together.
        kind: how they are found.
        kept: directions [Z] of what else should stay as it is.
    """
    plain = {attribute.name: _one(z, values[attribute.value], kind) for attribute in attributes}
    return {
        name: without(direction, [*kept, *(other for key, other in plain.items() if key != name)])
        for name, direction in plain.items()
    }


def class_directions(z: Array, classes: npt.NDArray[np.int64]) -> list[Array]:
    """From the mean of all noise [N, Z] to that of each class but one, which follows from them.

    Args:
        z: [N, Z].
        classes: of the pictures [N]. Noise that moves at right angles to these directions changes
            no class as far as classes are told by planes through the noise.
    """
    middle = z.mean(0)
    return [z[classes == label].mean(0) - middle for label in np.unique(classes)[1:]]


def _one(z: Array, values: Array, kind: Kind) -> Array:
    """The direction of one attribute, from its upper and its lower third."""
    low, high = np.quantile(values, [1 / 3, 2 / 3])
    upper, lower = z[values > high], z[values < low]
    if kind == "means":
        return _unit(upper.mean(0) - lower.mean(0))
    labels = np.concatenate([np.ones(len(upper)), np.zeros(len(lower))])
    return _unit(logistic_normal(np.concatenate([upper, lower]), labels))


def logistic_normal(rows: Array, labels: Array) -> Array:
    """Weights [Z] of logistic regression with a free bias and a penalty on the squared length.

    Newton's method (Hastie, Tibshirani, Friedman 2009, section 4.4.1).

    Args:
        rows: [N, Z].
        labels: 0 or 1 [N].
    """
    design = np.concatenate([rows, np.ones((len(rows), 1))], axis=1)
    penalty = np.full(design.shape[1], _PENALTY)
    penalty[-1] = 0.0
    weights = np.zeros(design.shape[1])
    for _ in range(_NEWTON_STEPS):
        chance = 1 / (1 + np.exp(-(design @ weights)))
        slope = design.T @ (chance - labels) + penalty * weights
        curvature = (design * (chance * (1 - chance))[:, None]).T @ design + np.diag(penalty)
        step = np.linalg.solve(curvature, slope)
        weights = weights - step
        if np.abs(step).max() < _CONVERGED:
            break
    return weights[:-1]


def without(direction: Array, others: Sequence[Array]) -> Array:
    """``direction`` less its part in the span of ``others``, of length 1."""
    if not others:
        return _unit(direction)
    basis, _ = np.linalg.qr(np.stack(others, axis=1))
    return _unit(direction - basis @ (basis.T @ direction))


def moved(z: Tensor, vector: Array, step: float) -> Tensor:
    """Noise float32 [N, Z] moved by ``step`` lengths of ``vector``, each scaled to its own length.

    As a server moves it (``quartet.image_generation.Direction``).
    """
    start = z.double()
    away = start + step * torch.from_numpy(vector)
    scaled: Tensor = away * (start.norm(dim=1) / away.norm(dim=1))[:, None]
    return scaled.float()


def _unit(vector: Array) -> Array:
    unit: Array = vector / np.linalg.norm(vector)
    return unit
