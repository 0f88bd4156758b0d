"""Replicas for one metric; every case is worked by hand from the rules of Kubernetes 1.33."""

import pytest

from benchmarks.autoscaling.replica_calculator import (
    NoMetricError,
    PodValues,
    external_metric_replicas,
    pods_metric_replicas,
)

PODS_CASES = [
    # current, values, missing, unready, target, replicas
    pytest.param(2, [32, 32], 0, 0, 16, 4, id="mean 32 over 16 is 2: 2 x 2"),
    pytest.param(2, [64, 0], 0, 0, 16, 4, id="the mean counts, not the greatest"),
    pytest.param(4, [4, 4, 4, 4], 0, 0, 16, 1, id="a quarter of the target: 4 / 4"),
    pytest.param(3, [17.5, 17.5, 17.5], 0, 0, 16, 3, id="9 per cent above: within tolerance"),
    pytest.param(3, [14.5, 14.5, 14.5], 0, 0, 16, 3, id="9 per cent below: within tolerance"),
    pytest.param(10, [1.1] * 10, 0, 0, 1, 10, id="10 per cent above is still within"),
    pytest.param(3, [20, 20, 20], 0, 0, 16, 4, id="1.25 x 3 = 3.75, rounded up"),
    pytest.param(1, [1.0], 0, 0, 0.7, 2, id="a saturated replica: 1 / 0.7 = 1.43, rounded up"),
    pytest.param(2, [0, 0], 0, 0, 16, 0, id="idle asks for none; the least number is not its own"),
    pytest.param(2, [0.0009, 0.0009], 0, 0, 1, 0, id="less than a thousandth is none"),
    # Up: 2 pods at 32 and 2 that nothing is known of count as 64 / 4 = 16, just right.
    pytest.param(4, [32, 32], 2, 0, 16, 4, id="missing pods count as idle on the way up"),
    pytest.param(4, [32, 32], 0, 2, 16, 4, id="so do pending pods"),
    pytest.param(4, [64, 64], 1, 1, 16, 8, id="128 / 4 = 32 is twice the target: 2 x 4"),
    # Down: (4 + 4 + 16 + 16) / 4 = 10, ratio 0.625, 2.5 rounded up.
    pytest.param(4, [4, 4], 2, 0, 16, 3, id="missing pods count as just right on the way down"),
    pytest.param(4, [4, 4], 0, 2, 16, 1, id="pending pods do not count on the way down: 0.25 x 2"),
    # Up by the two that answer (ratio 1.5), down with the others: 48 / 6 = 8.
    pytest.param(6, [24, 24], 4, 0, 16, 6, id="what is unknown may not turn the direction"),
    # 40 / 3 = 13.33 would be 0.83: the surviving pods alone ask for more.
    pytest.param(3, [20, 20], 1, 0, 16, 3, id="nor just below the target"),
    pytest.param(8, [16, 16], 2, 2, 16, 8, id="exactly the target"),
    # Three pods of eight are known of: 64 / 3 = 21.3, 1.33 x 3 = 4, which is less than 8.
    pytest.param(8, [32, 32], 1, 0, 16, 8, id="more than the target never means fewer replicas"),
]


@pytest.mark.parametrize(
    ("current", "values", "missing", "unready", "target", "replicas"), PODS_CASES
)
def test_pods_metric(
    current: int, values: list[float], missing: int, unready: int, target: float, replicas: int
) -> None:
    pods = PodValues(values=values, missing=missing, unready=unready)

    assert pods_metric_replicas(current, pods, target) == replicas


def test_a_metric_that_no_pod_reports_is_an_error() -> None:
    with pytest.raises(NoMetricError):
        pods_metric_replicas(2, PodValues(values=[], missing=2), 16)


@pytest.mark.parametrize(
    ("current", "total", "target", "replicas"),
    [
        pytest.param(2, 64, 16, 4, id="64 / 16"),
        pytest.param(4, 65, 16, 4, id="1.6 per cent above: within tolerance"),
        pytest.param(2, 1.4, 0.7, 2, id="two replicas at 0.7"),
        pytest.param(1, 1.0, 0.7, 2, id="one saturated replica"),
        pytest.param(8, 0.7, 0.7, 1, id="one replica's share"),
        pytest.param(3, 0, 16, 0, id="nothing"),
        pytest.param(1, 705, 0.7, 1008, id="705 / 0.7 = 1007.1, rounded up"),
    ],
)
def test_external_metric(current: int, total: float, target: float, replicas: int) -> None:
    assert external_metric_replicas(current, total, target) == replicas
