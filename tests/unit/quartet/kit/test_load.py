import pytest

from quartet.kit.connection import Address, request_bytes
from quartet.kit.errors import KitError
from quartet.kit.load import Window, quantile, run_closed_loop, run_open_loop
from tests.unit.quartet.kit.fake_server import Fake, serving

WINDOW = Window(warm_s=0.01, seconds=0.05, enough=20, longest=4)


@pytest.mark.parametrize(
    ("q", "expected"), [(0.0, 1.0), (0.5, 2.0), (0.75, 3.0), (0.99, 4.0), (1.0, 4.0)]
)
def test_quantile_is_the_nearest_rank(q: float, expected: float) -> None:
    assert quantile([3.0, 1.0, 4.0, 2.0], q) == expected


def test_quantile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no values"):
        quantile([], 0.5)


def test_window_waits_for_enough_answers_but_not_forever() -> None:
    window = Window(warm_s=0, seconds=1, enough=100, longest=3, least=8)
    assert not window.over(0.9, 1000)
    assert window.over(1.0, 100)
    assert not window.over(1.0, 99)
    assert window.over(3.0, 8)
    assert not window.over(3.0, 7)
    assert window.over(10.0, 0)


def test_window_that_is_asked_to_be_long_is_not_cut_off() -> None:
    assert not Window(warm_s=0, seconds=60, enough=1).over(59.0, 5000)


async def test_closed_loop_sends_every_request_in_turn_from_several_clients() -> None:
    with serving(Fake({})) as fake:
        requests = [request_bytes(fake.address, "POST", f"/{n}", b"x") for n in range(4)]
        tally = await run_closed_loop(fake.address, requests, 2, WINDOW)
    assert {path for path, *_ in fake.requests} == {"/0", "/1", "/2", "/3"}
    assert tally.sent == len(fake.requests)
    assert 20 <= len(tally.latencies_s) <= tally.sent
    assert tally.requests_per_second == len(tally.latencies_s) / tally.window_s


async def test_open_loop_sends_no_more_than_its_rate() -> None:
    with serving(Fake({})) as fake:
        requests = [request_bytes(fake.address, "POST", "/x", b"x")]
        window = Window(warm_s=0.0, seconds=0.4, enough=1)
        tally = await run_open_loop(fake.address, requests, 500.0, window, seed=1)
    # A Poisson process of mean 200 has a deviation of 14; this is eight of them. How many fewer
    # there are on a busy machine is nobody's fault.
    assert 10 < tally.sent < 500 * tally.window_s + 115
    assert len(tally.lateness_s) == tally.sent


async def test_open_loop_ends_early_when_the_server_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("quartet.kit.load.MAX_CONNECTIONS", 5)
    monkeypatch.setattr("quartet.kit.load.BEHIND_S", 0.0)
    with serving(Fake({})) as fake:
        requests = [request_bytes(fake.address, "POST", "/x", b"x")]
        # No server answers 100,000 requests a second.
        window = Window(warm_s=0.0, seconds=0.2, enough=10**9, longest=300)
        tally = await run_open_loop(fake.address, requests, 1e5, window)
    assert tally.window_s < 60


async def test_load_counts_requests_that_are_refused_for_overload() -> None:
    with serving(Fake({}, status=429)) as fake:
        requests = [request_bytes(fake.address, "POST", "/x", b"x")]
        tally = await run_closed_loop(fake.address, requests, 1, WINDOW)
    assert tally.latencies_s == ()
    assert tally.rejected >= 20


async def test_load_ends_when_the_server_says_that_a_request_is_wrong() -> None:
    with serving(Fake({}, status=400)) as fake:
        requests = [request_bytes(fake.address, "POST", "/x", b"x")]
        with pytest.raises(KitError, match="refused a request: HTTP 400: no"):
            await run_closed_loop(fake.address, requests, 3, WINDOW)
        with pytest.raises(KitError, match="refused a request: HTTP 400: no"):
            await run_open_loop(fake.address, requests, 100.0, WINDOW)


async def test_load_names_the_address_when_nobody_listens() -> None:
    address = Address("127.0.0.1", 1)
    with pytest.raises(KitError, match=r"no server at http://127\.0\.0\.1:1/"):
        await run_closed_loop(address, [b"x"], 2, WINDOW)
