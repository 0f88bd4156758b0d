from typing import Any

from quartet.kit.sizing import size
from tests.unit.quartet.kit.figures import load, measurements, model, options


def doubts(*models: Any, **of: Any) -> str:
    return "\n".join(doubt.text for doubt in size(measurements(*models, **of), options()).doubts)


def test_quiet_machine_raises_no_doubt() -> None:
    assert doubts() == ""


def test_load_generator_on_the_servers_cpu_is_a_doubt() -> None:
    assert "on the server's CPU" in doubts(client_shares_cpus=True)


def test_busy_machine_is_a_doubt() -> None:
    # Two CPUs for the server, one for the load generator, one to spare, and a tenth of all.
    assert "Other processes used 1.5 of the machine's 4 CPUs" in doubts(others_cpu=1.5)
    assert doubts(others_cpu=1.3) == ""


def test_machine_of_another_server_is_not_judged() -> None:
    assert doubts(others_cpu=None, machine_cpus=2) == ""


def test_server_that_ran_already_is_a_doubt() -> None:
    assert "its start was not measured" in doubts(ready_s=None)


def test_busy_load_generator_is_a_doubt() -> None:
    busy = model()
    curve = (busy.curve[0], load(100.0, clients=16, client_cpu=0.9), busy.curve[2])
    found = doubts(busy.model_copy(update={"curve": curve}))
    assert "m: at its best rate the load generator was busy 90% of the time" in found


def test_rate_that_still_rose_is_a_doubt() -> None:
    rising = model()
    assert "still rose with 16 clients" in doubts(
        rising.model_copy(update={"curve": rising.curve[:2]})
    )


def test_late_load_generator_is_a_doubt() -> None:
    assert "sent up to 8 ms late" in doubts(model(client_lateness_p99_s=0.008, steady_p99_s=0.01))


def test_refusals_at_the_steady_load_are_a_doubt() -> None:
    assert "m: 3 requests were refused" in doubts(model(rejected=3))


def test_server_that_does_not_keep_up_is_a_doubt() -> None:
    found = doubts(model(capacity=100, requests_per_second=50.0))
    assert "of 70 requests a second 50 were answered" in found


def test_few_requests_are_a_doubt() -> None:
    assert "p99 is the longest of 40 requests" in doubts(model(requests=40))


def test_objective_that_no_request_keeps_is_a_doubt() -> None:
    strict = options(latency_objective_ms={"m": 1.0})
    (found,) = size(measurements(), strict).doubts
    assert found.text.startswith(
        "m: one request alone takes 5 ms (p99), more than the objective of 1 ms"
    )
