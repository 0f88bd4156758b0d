"""Noise of pictures: known bytes for ever, independence of the request, its distribution."""

import hashlib
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quartet.latents import Latent, latents, normal_cdf, normal_quantile
from quartet.philox import uniforms

LAST_SEED, LAST_INDEX = 2**63 - 1, 2**32 - 1


def noise(
    seeds: Sequence[int], indices: Sequence[int], size: int = 100, truncation: float | None = None
) -> Latent:
    return latents(np.array(seeds, np.uint64), np.array(indices), size, truncation)


@pytest.mark.parametrize(
    ("seed", "index", "size", "truncation", "sha256"),
    [
        (0, 0, 100, None, "b87beec37e69dc5de8acadab397b3719d68f83c217e9100f8541d58ce3a8e549"),
        (7, 0, 100, None, "dcf726c40691223fd3db6eb1c5f7e1567d85049bdb1bcbeab906b0ecafe24892"),
        (7, 15, 64, None, "2966d15b89267c0efa862ad37572f3b151c11a648ba6ee50ac76211663f8f417"),
        (7, 0, 100, 0.7, "96f515b128187a89ac9b2e3c4bb2d21cc919d2bb299bc2c0c7dc33506a17325e"),
        (
            1234567890123,
            3,
            7,
            None,
            "d173e44b002cb859c2e0eeea88493c266f8d62328e5ec7b5833d6ccd3467d47e",
        ),
        (
            LAST_SEED,
            LAST_INDEX,
            100,
            None,
            "14336cf2c35601939e6370daaaf9e3b83625b1b33e552d1857725944dd179383",
        ),
    ],
)
def test_a_seed_has_the_same_noise_for_ever(
    seed: int, index: int, size: int, truncation: float | None, sha256: str
) -> None:
    """These hashes are a promise to clients, who keep seeds: never change them."""
    drawn = noise([seed], [index], size, truncation)
    assert drawn.dtype == np.float32
    assert drawn.shape == (1, size)
    assert hashlib.sha256(drawn.astype("<f4").tobytes()).hexdigest() == sha256


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, LAST_SEED), st.integers(0, LAST_INDEX)), min_size=1, max_size=8
    ),
    st.integers(1, 30),
    st.sampled_from([None, 0.5]),
)
def test_a_picture_has_the_same_noise_alone_and_among_others(
    places: list[tuple[int, int]], size: int, truncation: float | None
) -> None:
    seeds, indices = [seed for seed, _ in places], [index for _, index in places]
    together = noise(seeds, indices, size, truncation)
    alone = [noise([seed], [index], size, truncation)[0] for seed, index in places]
    assert together.tobytes() == np.stack(alone).tobytes()


def test_shorter_noise_is_the_beginning_of_longer_noise() -> None:
    assert noise([7], [3], 10).tobytes() == noise([7], [3], 64)[:, :10].tobytes()


def test_noise_is_the_quantile_of_the_seeds_uniform_numbers() -> None:
    drawn = uniforms(np.array([7], np.uint64), np.array([3]), np.zeros(1, np.int64), 64)
    probabilities = drawn.astype(np.float64) + 2.0**-24
    back = [normal_cdf(float(z)) for z in noise([7], [3], 64)[0]]
    # z is rounded to float32: half a unit in its last place, times a density below 0.4.
    assert back == pytest.approx(probabilities[0].tolist(), abs=1e-7)


def test_noise_is_standard_normal() -> None:
    drawn = noise(range(200), [0] * 200, 500).astype(np.float64)
    assert drawn.mean() == pytest.approx(0, abs=4 / math.sqrt(drawn.size))
    assert drawn.var() == pytest.approx(1, abs=4 * math.sqrt(2 / drawn.size))
    shares = np.array([[normal_cdf(float(z)) for z in row[:50]] for row in drawn])
    counts = np.histogram(shares, bins=100, range=(0, 1))[0]
    # 99 degrees of freedom: 149 is the 99.9 % point of the distribution; the draw is fixed.
    assert ((counts - 100) ** 2 / 100).sum() < 149


@pytest.mark.parametrize("across", ["seeds", "indices", "numbers"])
def test_noise_of_different_places_is_uncorrelated(across: str) -> None:
    many, fixed = list(range(200)), [7] * 200
    rows = noise(fixed, many, 500) if across == "indices" else noise(many, fixed, 500)
    rows = rows.T if across == "numbers" else rows
    correlation = np.asarray(np.corrcoef(rows.astype(np.float64))) - np.eye(len(rows))
    # Of n pairs of normal rows of length m the largest is about sqrt(2 ln(2 n) / m).
    pairs = len(rows) * (len(rows) - 1) / 2
    assert np.abs(correlation).max() < 1.2 * math.sqrt(2 * math.log(2 * pairs) / rows.shape[1])


@pytest.mark.parametrize("bound", [1e-3, 0.1, 0.7, 1.0, 2.0])
def test_truncated_noise_stays_within_its_bound_and_comes_near_it(bound: float) -> None:
    drawn = np.abs(noise(range(50), [0] * 50, 200, bound))
    assert drawn.max() <= np.float32(bound)
    assert drawn.max() > 0.999 * bound


def test_truncated_noise_has_the_variance_of_the_truncated_distribution() -> None:
    bound = 1.0
    drawn = noise(range(200), [0] * 200, 500, bound).astype(np.float64)
    density = math.exp(-(bound**2) / 2) / math.sqrt(2 * math.pi)
    variance = 1 - 2 * bound * density / (1 - 2 * normal_cdf(-bound))
    assert drawn.mean() == pytest.approx(0, abs=4 * math.sqrt(variance / drawn.size))
    assert drawn.var() == pytest.approx(variance, rel=0.02)


def test_truncation_moves_every_number_towards_zero_and_keeps_their_order() -> None:
    free, bound = noise([7], [0]), noise([7], [0], truncation=0.7)
    assert np.array_equal(np.argsort(free[0]), np.argsort(bound[0]))
    assert np.array_equal(np.sign(free), np.sign(bound))
    assert np.all(np.abs(bound) < np.abs(free))


def test_a_bound_that_nothing_reaches_changes_nothing() -> None:
    # Beyond 9 lies 1e-19 of the distribution, less than float64 tells from nothing.
    assert noise([7], [0], truncation=9.0).tobytes() == noise([7], [0]).tobytes()


def test_quantile_inverts_the_distribution_function() -> None:
    lower = np.concatenate([np.logspace(-11, -2, 100), np.linspace(0.01, 0.5, 200)])
    back = [normal_cdf(float(z)) for z in normal_quantile(lower)]
    # 1e-15 in z of at most 7 is magnified by z times the density over the probability, below 50.
    assert back == pytest.approx(lower.tolist(), rel=1e-12)


def test_quantile_is_odd_about_the_median() -> None:
    lower = np.array([2.0**-24, 2.0**-7, 5 / 64, 3 / 16, 0.5])  # exact, and so is 1 - p
    assert np.array_equal(normal_quantile(1 - lower), -normal_quantile(lower))


@pytest.mark.parametrize(
    ("probability", "quantile"),
    [(0.25, -0.6744897501960817), (0.001, -3.090232306167814), (1e-11, -6.706023155495136)],
)
def test_quantile_gives_tabulated_values(probability: float, quantile: float) -> None:
    assert normal_quantile(np.array([probability]))[0] == pytest.approx(quantile, rel=1e-13)
