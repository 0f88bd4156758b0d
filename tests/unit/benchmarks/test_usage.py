import os

import pytest

from benchmarks.serving.usage import Usage, measure_usage, parse_busy, parse_stat, resident_bytes

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def test_parse_stat_adds_user_and_system_time_whatever_the_process_is_called() -> None:
    text = "7 (a ) b) S 1 1 1 0 -1 4194304 100 0 0 0 250 50 9 9 20 0 4 0 100 0 0"
    assert parse_stat(text) == 300 / TICKS_PER_S


def test_parse_busy_leaves_idle_and_waiting_out_and_guests_uncounted() -> None:
    text = "cpu  100 10 20 5000 300 4 5 6 90 9\ncpu0 1 1 1 1 1 1 1 1 1 1\n"
    assert parse_busy(text) == 145 / TICKS_PER_S


def test_usage_since_subtracts_every_field() -> None:
    later, earlier = Usage(10.0, 4.0, 7.0, 20.0), Usage(8.0, 3.0, 6.0, 15.0)
    assert later.since(earlier) == Usage(2.0, 1.0, 1.0, 5.0)


def test_foreign_cores_is_what_neither_process_used() -> None:
    assert Usage(2.0, 1.0, 1.0, 5.0).foreign_cores == pytest.approx(1.5)


def test_foreign_cores_is_never_negative() -> None:
    assert Usage(2.0, 1.0, 1.0, 1.9).foreign_cores == 0.0


def test_measure_usage_sees_the_callers_own_work() -> None:
    before = measure_usage(os.getpid())
    sum(number * number for number in range(200_000))
    assert measure_usage(os.getpid()).since(before).own_s > 0


def test_resident_bytes_of_this_process_is_a_plausible_size() -> None:
    assert 1e6 < resident_bytes(os.getpid()) < 1e11
