import pytest

from tests.deploy.promql import metric_names, selectors


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        ('up{job="quartet"} == 0', ['up{job="quartet"}']),
        ("sum by (model, le) (rate(a_bucket[$__rate_interval]))", ["a_bucket"]),
        ('a{x=~"b{2}|\\"c",y="}"} / on (job) group_left (z) b', ['a{x=~"b{2}|\\"c",y="}"}', "b"]),
        ("time() - a offset 5m > 1e9 and ignoring (le) b:c:rate5m", ["a", "b:c:rate5m"]),
        ("histogram_quantile(0.99, sum by (le) (rate(h_bucket[5m])))", ["h_bucket"]),
        ("vector(1) * 0.5 unless bool_metric", ["bool_metric"]),
    ],
)
def test_selectors_are_found(expr: str, expected: list[str]) -> None:
    assert selectors(expr) == expected


def test_names_are_those_of_the_selectors() -> None:
    assert metric_names('a{b="c"} + a + d') == {"a", "d"}
