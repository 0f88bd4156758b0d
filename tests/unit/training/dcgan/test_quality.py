"""Figures of generated pictures against known answers."""

import numpy as np
import pytest

from training.dcgan.evaluation import area_under_curve
from training.dcgan.quality import (
    class_shares,
    frechet_distance,
    inception_score,
    kernel_distance,
    path_smoothness,
    precision_recall,
)

RANDOM = np.random.default_rng(3)


def test_inception_score_is_the_number_of_classes_when_sure_and_even() -> None:
    assert inception_score(np.tile(np.eye(5), (4, 1))) == pytest.approx((5.0, 0.0))


def test_inception_score_is_one_when_all_pictures_are_of_a_kind() -> None:
    assert inception_score(np.tile([[0.7, 0.2, 0.1]], (9, 1)), 3) == pytest.approx((1.0, 0.0))


def test_inception_score_takes_parts_apart() -> None:
    ordered = np.repeat(np.eye(4), 5, axis=0)  # each quarter is of one class alone
    assert inception_score(ordered, 4)[0] == pytest.approx(1.0)
    assert inception_score(ordered)[0] == pytest.approx(4.0)


def test_class_shares_count_the_likeliest() -> None:
    shares = class_shares(np.array([[0.6, 0.4, 0.0], [0.1, 0.9, 0.0], [0.2, 0.5, 0.3]]))
    assert shares == pytest.approx([1 / 3, 2 / 3, 0.0])


def exact_normal(mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Eight points whose mean and covariance are exactly those, axes uncorrelated."""
    signs = np.array([[a, b, c] for a in (-1, 1) for b in (-1, 1) for c in (-1, 1)], float)
    points: np.ndarray = mean + signs * deviation * np.sqrt(7 / 8)
    return points


def test_frechet_distance_of_axis_parallel_normals_is_the_closed_form() -> None:
    first, second = np.array([1.0, 2.0, 0.5]), np.array([3.0, 2.0, 1.5])
    away = np.array([0.5, -1.0, 2.0])
    got = frechet_distance(exact_normal(np.zeros(3), first), exact_normal(away, second))
    assert got == pytest.approx((away**2).sum() + ((first - second) ** 2).sum(), rel=1e-12)


def test_frechet_distance_does_not_depend_on_the_axes() -> None:
    first, second = RANDOM.normal(size=(50, 4)), RANDOM.normal(size=(60, 4)) * [1, 2, 3, 4]
    turned = np.linalg.qr(RANDOM.normal(size=(4, 4)))[0]
    expected = frechet_distance(first, second)
    assert frechet_distance(first @ turned, second @ turned) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(second, first) == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_of_equal_sets_is_zero_although_a_feature_is_dead() -> None:
    features = RANDOM.normal(size=(30, 5)) * [1, 1, 1, 1, 0]
    assert frechet_distance(features, features) == pytest.approx(0.0, abs=1e-10)


def test_kernel_distance_is_the_sum_over_pairs() -> None:
    real, fake = RANDOM.normal(size=(5, 3)), RANDOM.normal(size=(4, 3)) + 1

    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        return float((x @ y / 3 + 1) ** 3)

    def own(rows: np.ndarray) -> float:
        pairs = [kernel(x, y) for i, x in enumerate(rows) for j, y in enumerate(rows) if i != j]
        return float(np.mean(pairs))

    across = np.mean([kernel(x, y) for x in real for y in fake])
    assert kernel_distance(real, fake) == pytest.approx(own(real) + own(fake) - 2 * across)


def test_kernel_distance_of_samples_of_one_distribution_has_mean_zero() -> None:
    drawn = [
        kernel_distance(RANDOM.normal(size=(40, 2)), RANDOM.normal(size=(40, 2)))
        for _ in range(300)
    ]
    # Unbiased: the mean is within four standard errors of 0, and signs are mixed.
    assert abs(np.mean(drawn)) < 4 * np.std(drawn) / np.sqrt(len(drawn))
    assert min(drawn) < 0 < max(drawn)


def test_precision_and_recall_of_equal_sets_are_one() -> None:
    features = RANDOM.normal(size=(600, 3))  # more than one block
    assert precision_recall(features, features.copy()) == (1.0, 1.0)


def test_precision_and_recall_of_disjoint_sets_are_zero() -> None:
    features = RANDOM.normal(size=(40, 3))
    assert precision_recall(features, features + 100) == (0.0, 0.0)


def test_a_generator_of_half_the_data_is_precise_and_recalls_half() -> None:
    near = RANDOM.normal(size=(100, 2))
    far = RANDOM.normal(size=(100, 2)) + 50
    assert precision_recall(np.concatenate([near, far]), near.copy()) == (1.0, 0.5)


def test_path_smoothness_is_one_at_an_even_pace_and_all_steps_in_one_jump() -> None:
    even = np.linspace(0, 8, 5)[:, None] * np.ones(2)
    jump = np.array([[0.0, 0], [0, 0], [3, 4], [3, 4], [3, 4]])
    assert path_smoothness(np.stack([even, jump])) == pytest.approx([1.0, 4.0])


def test_area_under_the_curve_counts_ties_half() -> None:
    assert area_under_curve(np.array([0.9, 0.8]), np.array([0.1, 0.2])) == 1.0
    assert area_under_curve(np.array([0.5, 0.5]), np.array([0.5])) == 0.5
    assert area_under_curve(np.array([0.1, 0.6]), np.array([0.6, 0.2])) == pytest.approx(1.5 / 4)
