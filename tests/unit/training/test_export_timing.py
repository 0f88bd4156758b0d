"""The interleaved comparison of speed, on a clock that is told what to say."""

import numpy as np
import pytest

from training.export.predict import Arrays, Predict
from training.export.timing import BATCH_SIZES, compare_speed


class SlowingMachine:
    """Runs graphs of known cost on its own clock, each run slower than the last by ``drift``."""

    def __init__(self, drift: float) -> None:
        self.now_s = 0.0
        self.order: list[str] = []
        self._drift = drift

    def clock(self) -> float:
        return self.now_s

    def graph(self, name: str, seconds_per_row: float) -> Predict:
        def predict(inputs: Arrays) -> Arrays:
            self.now_s += seconds_per_row * len(inputs["x"]) * (1 + self._drift * len(self.order))
            self.order.append(name)
            return inputs

        return predict


ROWS = {"x": np.zeros((5, 1))}


def test_compare_speed_finds_the_ratio_on_a_machine_that_gets_slower() -> None:
    machine = SlowingMachine(drift=0.01)
    baseline, candidate = machine.graph("baseline", 2e-6), machine.graph("candidate", 1e-6)
    results = compare_speed(baseline, candidate, ROWS, rounds=8, clock=machine.clock)
    assert [result.batch_size for result in results] == list(BATCH_SIZES)
    for result in results:
        assert result.ratio == pytest.approx(0.5, abs=0.05)
        assert result.ratio_quartiles[0] <= result.ratio <= result.ratio_quartiles[1]


def test_compare_speed_reports_time_per_row() -> None:
    machine = SlowingMachine(drift=0.0)
    baseline, candidate = machine.graph("baseline", 4e-6), machine.graph("candidate", 3e-6)
    results = compare_speed(baseline, candidate, ROWS, rounds=4, clock=machine.clock)
    assert {result.baseline_us_per_row for result in results} == {4.0}
    assert {result.candidate_us_per_row for result in results} == {3.0}


def test_compare_speed_lets_each_graph_go_first_in_turn() -> None:
    machine = SlowingMachine(drift=0.0)
    baseline, candidate = machine.graph("b", 1e-6), machine.graph("c", 1e-6)
    compare_speed(baseline, candidate, ROWS, rounds=4, clock=machine.clock)
    largest = machine.order[-2 * 4 * 2 :]
    assert "".join(largest) == "bbccccbbbbccccbb"
