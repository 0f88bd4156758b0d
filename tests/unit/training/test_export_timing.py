"""The interleaved comparison of speed, on a clock that is told what to say."""

import numpy as np
import pytest

from training.export.predict import Arrays, Predict
from training.export.timing import BATCH_SIZES, GROWING_SIZES, compare_speed, time_batches


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


def test_time_batches_reports_time_per_row_and_what_company_gains() -> None:
    machine = SlowingMachine(drift=0.0)
    times = time_batches(machine.graph("g", 5e-6), ROWS, rounds=3, clock=machine.clock)
    assert [time.batch_size for time in times] == list(GROWING_SIZES)
    assert {(time.us_per_row, time.ratio) for time in times} == {(5.0, 1.0)}


def test_time_batches_finds_a_gain_on_a_machine_that_gets_slower() -> None:
    now_s = 0.0
    runs = 0

    def predict(inputs: Arrays) -> Arrays:
        nonlocal now_s, runs
        runs += 1
        now_s += (1e-3 + 1e-4 * len(inputs["x"])) * (1 + 0.001 * runs)
        return inputs

    times = time_batches(predict, ROWS, rounds=9, clock=lambda: now_s)
    # 1.1 ms for one; 32 rows take 4.2 ms, 0.13125 ms each.
    assert times[-1].ratio == pytest.approx(0.13125 / 1.1, rel=0.05)
