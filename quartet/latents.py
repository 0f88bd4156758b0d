"""The noise that pictures are made from: a function of seed and index, without any state.

Number d of z(seed, index) is the quantile of the standard normal distribution at number d of the
Philox sequence whose key is the seed and whose stream is the index (``quartet.philox``). So the
sixteen pictures of one request equal those of sixteen requests, in any order and at any load.

A truncated z comes from the same uniform numbers, spread over the middle of the distribution alone
(inverse transform of the truncated normal, Devroye 1986, section II.2), so that a smaller bound
moves a picture towards the average without making another one of it.
"""

import math

import numpy as np
import numpy.typing as npt

from quartet.philox import uniforms

Latent = npt.NDArray[np.float32]

_HALF_STEP = 2.0**-24
"""Uniform numbers are multiples of 2**-23 from 0 on; half of it more keeps them off 0 and 1."""
_CENTRE = (
    (
        3.3871328727963666080e0,
        1.3314166789178437745e2,
        1.9715909503065514427e3,
        1.3731693765509461125e4,
        4.5921953931549871457e4,
        6.7265770927008700853e4,
        3.3430575583588128105e4,
        2.5090809287301226727e3,
    ),
    (
        1.0,
        4.2313330701600911252e1,
        6.8718700749205790830e2,
        5.3941960214247511077e3,
        2.1213794301586595867e4,
        3.9307895800092710610e4,
        2.8729085735721942674e4,
        5.2264952788528545610e3,
    ),
)
_TAIL = (
    (
        1.42343711074968357734e0,
        4.63033784615654529590e0,
        5.76949722146069140550e0,
        3.64784832476320460504e0,
        1.27045825245236838258e0,
        2.41780725177450611770e-1,
        2.27238449892691845833e-2,
        7.74545014278341407640e-4,
    ),
    (
        1.0,
        2.05319162663775882187e0,
        1.67638483018380384940e0,
        6.89767334985100004550e-1,
        1.48103976427480074590e-1,
        1.51986665636164571966e-2,
        5.47593808499534494600e-4,
        1.05075007164441684324e-9,
    ),
)
"""Numerators and denominators of AS 241, by ascending power."""


def latents(
    seeds: npt.NDArray[np.uint64],
    indices: npt.NDArray[np.integer],
    size: int,
    truncation: float | None = None,
) -> Latent:
    """Noise of some pictures.

    Args:
        seeds: of each picture [B], below 2**63.
        indices: which picture of that seed [B], in [0, 2**32).
        size: numbers of each, >= 1.
        truncation: no number is further than this from 0; > 0. None for no bound.

    Returns:
        float32 [B, size]; row i depends on seed i, index i and the truncation alone.
    """
    places = np.zeros(len(seeds), np.int64)
    drawn = uniforms(seeds, indices, places, size).astype(np.float64) + _HALF_STEP
    if truncation is not None:
        outside = normal_cdf(-truncation)
        drawn = outside + drawn * (1 - 2 * outside)
    return normal_quantile(drawn).astype(np.float32)


def normal_quantile(probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The standard normal quantile function, to about 1e-15 for p in [1e-11, 1 - 1e-11].

    Wichura 1988, "Algorithm AS 241: The percentage points of the normal distribution", PPND16
    without the branch for smaller p, which no number of ours reaches.
    """
    from_middle = probabilities - 0.5
    squared = 0.180625 - from_middle * from_middle
    centre = from_middle * _ratio(squared, _CENTRE)
    beyond = np.minimum(probabilities, 1 - probabilities)
    distance = np.sqrt(-np.log(beyond)) - 1.6
    tail = np.copysign(_ratio(distance, _TAIL), from_middle)
    found: npt.NDArray[np.float64] = np.where(np.abs(from_middle) <= 0.425, centre, tail)
    return found


def normal_cdf(x: float) -> float:
    """Probability of the standard normal distribution below ``x``."""
    return math.erfc(-x / math.sqrt(2)) / 2


def _ratio(
    x: npt.NDArray[np.float64], coefficients: tuple[tuple[float, ...], tuple[float, ...]]
) -> npt.NDArray[np.float64]:
    above, below = (_polynomial(x, row) for row in coefficients)
    return above / below


def _polynomial(x: npt.NDArray[np.float64], row: tuple[float, ...]) -> npt.NDArray[np.float64]:
    value = np.full_like(x, row[-1])
    for coefficient in reversed(row[:-1]):
        value = value * x + coefficient
    return value
