"""Ways, sums and moves of noise, against their formulas and at their edges."""

import numpy as np
import numpy.typing as npt
import pytest

from serving.image_math import move, path_shares, slerp, weighted_sum

NEAR = 1e-6
"""Relative: float64 throughout, one rounding to float32."""
Floats = npt.NDArray[np.float32]


def normal(*shape: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def lengths(rows: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    return np.asarray(np.sqrt((rows.astype(np.float64) ** 2).sum(axis=1)))


def angles(rows: Floats, other: Floats) -> npt.NDArray[np.float64]:
    cosine = (rows.astype(np.float64) * other).sum(axis=1) / (lengths(rows) * lengths(other))
    return np.asarray(np.arccos(np.clip(cosine, -1, 1)))


# --- slerp ---


def test_slerp_begins_and_ends_at_its_points_to_the_bit() -> None:
    start, end = normal(3, 7), normal(3, 7, seed=1)
    assert np.array_equal(slerp(start, end, np.zeros(3)), start)
    assert np.array_equal(slerp(start, end, np.ones(3)), end)


def test_slerp_turns_at_constant_speed_and_grows_linearly() -> None:
    share = np.linspace(0, 1, 9)
    start, end = np.tile(normal(1, 16), (9, 1)), np.tile(3 * normal(1, 16, seed=1), (9, 1))
    path = slerp(start, end, share)
    np.testing.assert_allclose(
        lengths(path), lengths(start) + share * (lengths(end) - lengths(start)), rtol=NEAR
    )
    # An angle of 0 is known to about the root of float32's precision.
    np.testing.assert_allclose(angles(path, start), share * angles(start, end), atol=1e-3)


def test_slerp_of_a_right_angle_is_known() -> None:
    middle = slerp(np.array([[2.0, 0.0]]), np.array([[0.0, 4.0]]), np.array([1 / 3]))
    radius = 2 + 2 / 3
    expected = [[radius * np.cos(np.pi / 6), radius * np.sin(np.pi / 6)]]
    np.testing.assert_allclose(middle, expected, rtol=NEAR)


@pytest.mark.parametrize(
    ("end", "middle"),
    [
        pytest.param([3.0, 6.0], [2.0, 4.0], id="same direction"),
        pytest.param([1.0, 2.0], [1.0, 2.0], id="same point"),
        pytest.param([-1.0, -2.0], [0.0, 0.0], id="opposite"),
        pytest.param([0.0, 0.0], [0.5, 1.0], id="nothing"),
    ],
)
def test_slerp_between_parallel_points_is_a_straight_line(
    end: list[float], middle: list[float]
) -> None:
    found = slerp(np.array([[1.0, 2.0]]), np.array([end]), np.array([0.5]))
    np.testing.assert_allclose(found, [middle], atol=1e-7)


@pytest.mark.parametrize("rows", [2, 3, 8, 17])
def test_a_row_of_slerp_is_the_same_alone(rows: int) -> None:
    start, end = normal(rows, 100), normal(rows, 100, seed=1)
    share = np.random.default_rng(0).random(rows)
    together = slerp(start, end, share)
    alone = [slerp(start[i : i + 1], end[i : i + 1], share[i : i + 1]) for i in range(rows)]
    assert np.array_equal(together, np.concatenate(alone))


# --- path_shares ---


def test_frames_lie_at_equal_distances() -> None:
    leg, share = path_shares(3, 9, closed=False)
    np.testing.assert_allclose(leg + share, np.arange(9) / 4)


def test_a_closed_way_does_not_repeat_its_first_point() -> None:
    leg, share = path_shares(4, 8, closed=True)
    assert leg.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert share.tolist() == [0, 0.5] * 4


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("more", [0, 1, 2, 5, 16, 50])
@pytest.mark.parametrize("points", [2, 3, 4, 7, 20])
def test_every_point_is_a_frame(points: int, more: int, closed: bool) -> None:
    leg, share = path_shares(points, points + more, closed=closed)
    time = leg + share
    assert set(range(points)) <= set(time.tolist())
    assert (np.diff(time) > 0).all()
    assert time[0] == 0
    assert ((leg >= 0) & (leg < points) & (share >= 0) & (share <= 1)).all()


# --- weighted_sum ---


def test_a_sum_of_independent_noise_is_as_wide_as_one() -> None:
    many = normal(3, 200_000)
    # The standard deviation of so many normal numbers is known to 1 / sqrt(2 N) = 0.0016.
    assert abs(float(weighted_sum((1, -1, 0.5), many).std()) - 1) < 0.008


def test_a_sum_is_divided_by_the_root_of_the_weights_squares_sum() -> None:
    rows = normal(2, 5)
    expected = (3 * rows[0].astype(np.float64) - 4 * rows[1]) / 5
    np.testing.assert_allclose(weighted_sum((3, -4), rows), expected, rtol=NEAR)


def test_one_point_of_any_positive_weight_is_itself() -> None:
    row = normal(1, 5)
    for weight in (1.0, 1e-300, 1e300, 0.1):
        assert np.array_equal(weighted_sum((weight,), row), row[0])


def test_a_negative_weight_turns_a_point_round() -> None:
    row = normal(1, 5)
    assert np.array_equal(weighted_sum((-2.0,), row), -row[0])


# --- move ---


def test_a_move_keeps_the_length() -> None:
    z = normal(4, 9)
    moved = move(z, normal(1, 9, seed=1)[0] * 3)
    np.testing.assert_allclose(lengths(moved), lengths(z), rtol=NEAR)
    assert (angles(moved, z) > 0.1).all()


def test_a_move_by_nothing_changes_no_bit() -> None:
    z = normal(4, 9)
    assert np.array_equal(move(z, np.zeros(9)), z)


def test_a_move_that_ends_at_the_origin_stays_there() -> None:
    z = normal(1, 9)
    assert np.array_equal(move(z, -z[0].astype(np.float64)), np.zeros((1, 9), np.float32))


def test_a_move_of_nothing_stays_nothing() -> None:
    assert not move(np.zeros((1, 4), np.float32), np.ones(4)).any()


def test_a_row_of_a_move_is_the_same_alone() -> None:
    z, step = normal(5, 100), normal(1, 100, seed=1)[0]
    alone = [move(z[i : i + 1], step) for i in range(5)]
    assert np.array_equal(move(z, step), np.concatenate(alone))
