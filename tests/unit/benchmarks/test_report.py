import json

import pytest

from benchmarks.serving.bare import Bare
from benchmarks.serving.load import Load, Mode
from benchmarks.serving.measurement import Measured, Round
from benchmarks.serving.processes import listening_ports
from benchmarks.serving.report import as_json, as_markdown, environment, summarise


def load(mode: Mode, clients: int, rows_per_s: float) -> Load:
    return Load(
        mode=mode,
        clients=clients,
        answers=100,
        rows_per_s=rows_per_s,
        p50_s=0.0005,
        p95_s=0.002,
        p99_s=0.003,
        server_cores=1.0,
        load_cores=0.1,
        foreign_cores=0.2,
    )


def bare(callers: int, batch: int, rows_per_s: float) -> Bare:
    return Bare(
        callers=callers, batch=batch, rows_per_s=rows_per_s, run_p50_s=0.0003, foreign_cores=0
    )


def turn(clients: int, speed: float) -> Round:
    return Round(
        clients,
        [bare(1, 1, 2000 * speed), bare(2, 1, 4000 * speed), bare(2, 8, 5000 * speed)],
        {
            "http": load("http", clients, 3000 * speed),
            "plain": load("plain", clients, 1500 * speed),
        },
        {"http": 4.0},
    )


@pytest.fixture
def measured() -> Measured:
    return Measured([turn(1, 1.0), turn(8, 1.0), turn(8, 0.5)], [1.0, 1.2], [200 << 20], 64, True)


def test_summarise_gives_a_row_for_each_mode_and_client_count(measured: Measured) -> None:
    keys = [(row.mode, row.clients) for row in summarise(measured)]
    assert keys == [("http", 1), ("http", 8), ("plain", 1), ("plain", 8)]


def test_summarise_takes_ratios_within_a_repetition(measured: Measured) -> None:
    row = summarise(measured)[1]
    assert (row.share_of_bare.low, row.share_of_bare.high) == (0.75, 0.75)
    assert row.ratio_to_plain is not None
    assert row.ratio_to_plain.median == 2.0
    assert (row.rows_per_s.low, row.rows_per_s.high) == (1500, 3000)


def test_summarise_subtracts_the_engines_own_time_for_one_client_alone(measured: Measured) -> None:
    one, eight = summarise(measured)[:2]
    assert one.beyond_engine_ms is not None
    assert one.beyond_engine_ms.median == pytest.approx(0.2)
    assert eight.beyond_engine_ms is None


def test_as_markdown_has_a_line_for_each_row(measured: Measured) -> None:
    rows = summarise(measured)
    text = as_markdown(measured, rows, environment(["python"]))
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(lines) == 2 + len(rows)
    assert len({line.count("|") for line in lines}) == 1


def test_as_json_holds_every_measurement(measured: Measured) -> None:
    document = as_json(measured, summarise(measured), environment(["python"]))
    read_back = json.loads(json.dumps(document))
    assert read_back["rounds"][2]["loads"]["http"]["rows_per_s"] == 1500


def test_listening_ports_ignores_a_line_that_is_still_being_written() -> None:
    line = '{"message": "listening", "http": 1, "grpc": 2, "metrics": 3}'
    assert listening_ports(line) is None
    assert listening_ports(f'{{"message": "x"}}\n{line}\n') == {"http": 1, "grpc": 2, "metrics": 3}
