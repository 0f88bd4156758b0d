import pytest

from benchmarks.serving.figures import Spread, percentile, ratios, spread


def test_spread_is_median_least_and_greatest() -> None:
    assert spread([3.0, 1.0, 2.0, 10.0]) == Spread(2.5, 1.0, 10.0)


def test_spread_refuses_no_values() -> None:
    with pytest.raises(ValueError, match="no measurement"):
        spread([])


def test_ratios_divide_pair_by_pair() -> None:
    assert ratios([1.0, 6.0], [2.0, 3.0]) == [0.5, 2.0]


def test_ratios_refuse_lists_of_different_lengths() -> None:
    with pytest.raises(ValueError, match="shorter"):
        ratios([1.0, 2.0], [1.0])


@pytest.mark.parametrize(
    ("percent", "value"), [(1, 1.0), (50, 50.0), (95, 95.0), (99, 99.0), (100, 100.0)]
)
def test_percentile_is_the_nearest_rank(percent: float, value: float) -> None:
    assert percentile([float(n) for n in range(1, 101)], percent) == value


def test_percentile_of_one_value_is_that_value() -> None:
    assert percentile([7.0], 99) == 7.0
