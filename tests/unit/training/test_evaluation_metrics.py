"""Figures of the evaluation against values worked out by hand or published."""

import numpy as np
import pytest

from training.evaluation.metrics import (
    confusion_matrix,
    expected_calibration_error,
    negative_log_likelihood,
    per_class,
    reliability,
    wilson_interval,
)


@pytest.mark.parametrize(
    ("successes", "trials", "expected"),
    [
        # Newcombe 1998, "Two-sided confidence intervals for the single proportion", Table I.
        (81, 263, (0.2553, 0.3662)),
        (15, 148, (0.0624, 0.1605)),
        (0, 20, (0.0, 0.1611)),
        (1, 29, (0.0061, 0.1718)),
    ],
)
def test_wilson_interval_gives_published_values(
    successes: int, trials: int, expected: tuple[float, float]
) -> None:
    assert wilson_interval(successes, trials) == pytest.approx(expected, abs=5e-5)


def test_wilson_interval_mirrors_when_successes_and_failures_swap() -> None:
    low, high = wilson_interval(9950, 10000)
    assert wilson_interval(50, 10000) == pytest.approx((1 - high, 1 - low))


def test_wilson_interval_refuses_more_successes_than_trials() -> None:
    with pytest.raises(ValueError, match="successes"):
        wilson_interval(3, 2)


def test_confusion_matrix_has_true_classes_in_rows() -> None:
    matrix = confusion_matrix(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 0]), 3)
    assert matrix.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]


def test_per_class_counts_precision_and_recall_by_hand() -> None:
    first, second, third = per_class(np.array([[8, 2, 0], [1, 9, 0], [1, 0, 0]]))
    assert (first.precision, first.recall, first.support) == (0.8, 0.8, 10)
    assert second.precision == pytest.approx(9 / 11)
    assert second.f1 == pytest.approx(2 * (9 / 11) * 0.9 / (9 / 11 + 0.9))
    assert (third.precision, third.recall, third.f1, third.support) == (0.0, 0.0, 0.0, 1)


def test_negative_log_likelihood_is_mean_surprise_of_the_truth() -> None:
    log_probabilities = np.log(np.array([[0.5, 0.5], [0.1, 0.9]]))
    value = negative_log_likelihood(log_probabilities, np.array([0, 1]))
    assert value == pytest.approx(-(np.log(0.5) + np.log(0.9)) / 2)


def test_calibration_error_weighs_bins_by_their_share() -> None:
    # Bin (0.5, 0.6]: 2 answers, one right, confidence 0.55. Bin (0.9, 1.0]: 3, all right, 0.95.
    confidence = np.array([0.55, 0.55, 0.95, 0.95, 0.95])
    correct = np.array([True, False, True, True, True])
    bins = reliability(confidence, correct, bins=10)
    assert expected_calibration_error(bins) == pytest.approx(2 / 5 * 0.05 + 3 / 5 * 0.05)


def test_calibration_error_is_zero_when_confidence_is_right() -> None:
    bins = reliability(np.full(4, 0.75), np.array([True, True, True, False]), bins=15)
    assert expected_calibration_error(bins) == 0.0


def test_reliability_puts_edges_into_the_lower_bin() -> None:
    bins = reliability(np.array([0.0, 0.5, 1.0]), np.array([True, True, True]), bins=2)
    assert [entry.count for entry in bins] == [2, 1]
