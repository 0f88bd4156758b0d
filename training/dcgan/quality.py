"""How near generated pictures are to real ones, in the features of a classifier. float64.

N real and M generated pictures, F features, K classes. None of these figures is comparable with one
from other features: what they mean, their floor shows, the same figure of real pictures against
other real ones.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

NEIGHBOURS = 5
"""Neighbours that span the manifolds of ``precision_recall``."""
_ROWS = 500
"""Rows of a block of a matrix of distances, for memory."""


def inception_score(probabilities: Array, splits: int = 1) -> tuple[float, float]:
    """Exp of the mean KL divergence of p(y|x) from p(y) (Salimans et al. 2016, section 4).

    Args:
        probabilities: of classes [M, K]. The score lies between 1 and K.
        splits: parts of M, as in the paper's ten, that are scored apart.

    Returns:
        Mean and standard deviation over the parts.
    """
    scores = []
    for part in np.array_split(probabilities, splits):
        marginal = part.mean(0)
        with np.errstate(divide="ignore", invalid="ignore"):  # 0 log 0 is 0
            terms = np.where(part > 0, part * (np.log(part) - np.log(marginal)), 0.0)
        scores.append(np.exp(terms.sum(1).mean()))
    return float(np.mean(scores)), float(np.std(scores))


def class_shares(probabilities: Array) -> Array:
    """Share of pictures whose likeliest class is each of K."""
    counts = np.bincount(probabilities.argmax(1), minlength=probabilities.shape[1])
    shares: Array = counts / len(probabilities)
    return shares


def frechet_distance(real: Array, fake: Array) -> float:
    """Squared Frechet distance of the normal distributions fitted to [N, F] and [M, F].

    |m - n|^2 + tr(A + B - 2 (A^1/2 B A^1/2)^1/2) for means m, n and covariances A, B (Dowson,
    Landau 1982, eq. 4; Heusel et al. 2017, eq. 6, with the trace written so that every matrix is
    symmetric, and its roots are those of eigenvalues).
    """
    first, second = np.cov(real, rowvar=False), np.cov(fake, rowvar=False)
    root = _root(np.atleast_2d(first))
    inner = root @ np.atleast_2d(second) @ root
    shared = np.sqrt(np.linalg.eigvalsh((inner + inner.T) / 2).clip(min=0)).sum()
    apart = ((real.mean(0) - fake.mean(0)) ** 2).sum()
    # Roundoff alone takes equal distributions below 0.
    return max(0.0, float(apart + np.trace(np.atleast_2d(first + second)) - 2 * shared))


def _root(matrix: Array) -> Array:
    values, vectors = np.linalg.eigh(matrix)
    root: Array = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    return root


def kernel_distance(real: Array, fake: Array) -> float:
    """Kernel Inception distance: the squared maximum mean discrepancy, unbiased, so maybe below 0.

    The kernel is (x.y / F + 1)^3 (Binkowski et al. 2018, section 3; Gretton et al. 2012, eq. 3).
    """
    return _mean_kernel(real) + _mean_kernel(fake) - 2 * _mean_kernel(real, fake)


def _mean_kernel(rows: Array, columns: Array | None = None) -> float:
    """Mean of the kernel over all pairs; without ``columns``, over pairs of different ``rows``."""
    others = rows if columns is None else columns
    total = sum(
        float(((rows[part] @ others.T / rows.shape[1] + 1) ** 3).sum())
        for part in _blocks(len(rows))
    )
    if columns is not None:
        return total / (len(rows) * len(columns))
    own = float((((rows**2).sum(1) / rows.shape[1] + 1) ** 3).sum())
    return (total - own) / (len(rows) * (len(rows) - 1))


def precision_recall(real: Array, fake: Array, neighbours: int = NEIGHBOURS) -> tuple[float, float]:
    """Share of ``fake`` inside the manifold of ``real``, and the other way round.

    A manifold is the union of balls around its points, each as far as its k-th neighbour
    (Kynkaanniemi et al. 2019, eqs. 1 to 3).

    Args:
        real: [N, F], N > ``neighbours``.
        fake: [M, F], M > ``neighbours``.
        neighbours: k.
    """
    return _share_inside(fake, real, neighbours), _share_inside(real, fake, neighbours)


def _share_inside(points: Array, manifold: Array, neighbours: int) -> float:
    """Share of ``points`` that lie in a ball around some point of ``manifold``."""
    radii = np.concatenate(
        [  # a point is its own nearest
            np.partition(_squared_distances(manifold[part], manifold), neighbours, axis=1)[
                :, neighbours
            ]
            for part in _blocks(len(manifold))
        ]
    )
    inside = [
        (_squared_distances(points[part], manifold) <= radii).any(1)
        for part in _blocks(len(points))
    ]
    return float(np.concatenate(inside).mean())


def _squared_distances(first: Array, second: Array) -> Array:
    """[A, B] of [A, F] and [B, F]."""
    squares = (first**2).sum(1)[:, None] + (second**2).sum(1)
    distances: Array = (squares - 2 * first @ second.T).clip(min=0)
    return distances


def path_smoothness(features: Array) -> Array:
    """The largest step over the mean one, of each of P paths [P, T, F]. 1 is an even pace."""
    steps = np.linalg.norm(np.diff(features, axis=1), axis=2)
    ratio: Array = steps.max(1) / np.maximum(steps.mean(1), np.finfo(np.float64).tiny)
    return ratio


def _blocks(rows: int) -> Iterator[slice]:
    for start in range(0, rows, _ROWS):
        yield slice(start, start + _ROWS)
