import pytest

from quartet.monitoring.rules.thresholds import LatencyObjective, Objective, Thresholds


@pytest.mark.parametrize("target", [0.0, 1.0, 99.9, -1.0])
def test_a_target_that_is_no_share_is_refused(target: float) -> None:
    with pytest.raises(ValueError, match=r"not between 0 and 1"):
        Objective(target=target)


def test_a_latency_that_no_bucket_ends_at_is_refused() -> None:
    with pytest.raises(ValueError, match=r"p: 0.3 s is no bucket bound .* expected one of 0.0005,"):
        LatencyObjective(name="p", threshold_s=0.3)


def test_a_latency_objective_is_checked_as_any_other() -> None:
    with pytest.raises(ValueError, match=r"not between 0 and 1"):
        LatencyObjective(target=2)


def test_budget_is_what_the_target_leaves() -> None:
    assert Objective(target=0.999).budget == 0.001
    assert Objective(target=0.9995).budget == 0.0005


def test_objectives_of_one_deployment_have_names_of_their_own() -> None:
    thresholds = Thresholds()
    names = [thresholds.availability.name, *(one.name for one in thresholds.latency)]

    assert sorted(names) == sorted(set(names))


def test_two_objectives_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match=r"two objectives are called 'availability'"):
        Thresholds(latency=(LatencyObjective(name="availability"),))
