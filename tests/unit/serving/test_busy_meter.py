import pytest

from serving.busy_meter import WINDOW_S, BusyMeter, LoopMeter, Window


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_nothing_that_never_ran_is_busy(clock: Clock) -> None:
    meter = BusyMeter(2, clock)
    clock.now += 60
    assert meter.utilization() == 0
    assert meter.busy_seconds() == 0


def test_utilization_is_busy_places_over_places(clock: Clock) -> None:
    meter = BusyMeter(4, clock)
    meter.begin()
    meter.begin()
    meter.begin()
    clock.now += 60
    assert meter.utilization() == pytest.approx(3 / 4)
    assert meter.busy_seconds() == pytest.approx(180)


def test_a_job_that_still_runs_counts_up_to_now(clock: Clock) -> None:
    meter = BusyMeter(1, clock)
    clock.now += WINDOW_S
    meter.begin()
    clock.now += WINDOW_S / 3
    assert meter.utilization() == pytest.approx(1 / 3)


def test_work_older_than_the_window_is_forgotten(clock: Clock) -> None:
    meter = BusyMeter(1, clock)
    meter.begin()
    clock.now += 40
    meter.end()
    assert meter.utilization() == pytest.approx(1)
    clock.now += WINDOW_S
    assert meter.utilization() == pytest.approx(0, abs=1e-9)
    assert meter.busy_seconds() == pytest.approx(40)


def test_many_short_jobs_give_their_share(clock: Clock) -> None:
    meter = BusyMeter(2, clock)
    for _ in range(4000):  # 40 s: 3 ms of each 10 ms
        meter.begin()
        clock.now += 0.003
        meter.end()
        clock.now += 0.007
    # Where the window begins is known to about a second, within which the load was even.
    assert meter.utilization() == pytest.approx(0.15, rel=0.02)
    assert meter.busy_seconds() == pytest.approx(12)


def test_a_change_of_load_shows_within_the_window(clock: Clock) -> None:
    meter = BusyMeter(1, clock)
    meter.begin()
    clock.now += 100
    meter.end()
    for _ in range(50):  # 5 s: half of the time
        clock.now += 0.05
        meter.begin()
        clock.now += 0.05
        meter.end()
    assert meter.utilization() == pytest.approx((10 + 2.5) / WINDOW_S, rel=0.02)


def test_a_young_meter_measures_since_its_beginning(clock: Clock) -> None:
    meter = BusyMeter(1, clock)
    meter.begin()
    clock.now += 2
    meter.end()
    clock.now += 2
    assert meter.utilization() == pytest.approx(0.5)


def test_a_window_forgets_points_it_no_longer_needs(clock: Clock) -> None:
    window = Window(0.0)
    for second in range(10_000):
        window.note(float(second), second / 2)
    assert window.rate(9_999.0, 9_999 / 2) == pytest.approx(0.5)
    assert len(window._points) < 2 * WINDOW_S


def test_the_loop_s_share_is_cpu_time_over_time(clock: Clock) -> None:
    cpu = Clock()
    meter = LoopMeter(clock, cpu)
    for _ in range(30):
        clock.now += 1
        cpu.now += 0.4
        meter.tick()
    assert meter.utilization() == pytest.approx(0.4)
    assert meter.cpu_seconds() == pytest.approx(12)
