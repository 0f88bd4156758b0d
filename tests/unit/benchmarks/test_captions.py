"""The parts of the captions benchmark that need no server."""

import io
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.captions.graphs import CaptionGraphs, Costs, newest_version, open_graphs
from benchmarks.captions.inside import Inside
from benchmarks.captions.load import Load
from benchmarks.captions.measurement import EngineTime, Measured, Round, read_engine_time
from benchmarks.captions.one_by_one import OneByOne
from benchmarks.captions.photos import SIZES, draw_photos
from benchmarks.captions.report import summarise
from tests.caption_models import make_caption_model, photo

METRICS = """\
# TYPE quartet_execution_duration_seconds histogram
quartet_execution_duration_seconds_sum{model="eye.encoder",version="1"} 2.0
quartet_execution_duration_seconds_count{model="eye.encoder",version="1"} 4.0
quartet_execution_duration_seconds_sum{model="eye.decode",version="1"} 99.0
# TYPE quartet_batch_size histogram
quartet_batch_size_sum{model="eye.encoder",version="1"} 12.0
# TYPE quartet_generation_run_duration_seconds histogram
quartet_generation_run_duration_seconds_sum{model="eye",version="1",kind="decode"} 3.0
quartet_generation_run_duration_seconds_count{model="eye",version="1",kind="decode"} 5.0
quartet_generation_run_duration_seconds_sum{model="eye",version="1",kind="prefill"} 0.5
quartet_generation_run_duration_seconds_sum{model="other",version="1",kind="decode"} 99.0
# TYPE quartet_generation_run_rows histogram
quartet_generation_run_rows_sum{model="eye",version="1",kind="decode"} 40.0
"""
ENGINE = EngineTime(
    encode_s=2.0,
    encode_runs=4.0,
    encode_rows=12.0,
    decode_s=3.0,
    decode_runs=5.0,
    decode_rows=40.0,
    prefill_s=0.5,
)


def a_round(http: float, one_by_one: float) -> Round:
    return Round(
        width=3,
        clients=8,
        http=Load(
            captions_per_s=http,
            p50_s=0.1,
            p95_s=0.2,
            server_cores=1.0,
            load_cores=0.1,
            foreign_cores=0.0,
        ),
        inside=Inside(captions_per_s=50.0, cores=1.0, foreign_cores=0.0),
        one_by_one=OneByOne(
            captions_per_s=one_by_one,
            prepare_share=0.1,
            encode_share=0.6,
            decode_share=0.3,
            texts=[],
            foreign_cores=0.0,
        ),
        engine=ENGINE,
        loaded_s=5.5,
        same_texts=40,
    )


@pytest.fixture
def graphs(tmp_path: Path) -> CaptionGraphs:
    return open_graphs(make_caption_model(tmp_path / "eye", goldens=False, steps=4))


def test_photos_are_the_same_files_at_every_call() -> None:
    assert draw_photos(3) == draw_photos(3)
    assert len(set(draw_photos(6))) == 6


def test_photos_are_jpeg_files_of_all_sizes() -> None:
    for size, file in zip(SIZES, draw_photos(len(SIZES)), strict=True):
        with Image.open(io.BytesIO(file)) as picture:
            assert (picture.format, picture.size) == ("JPEG", size)


def test_engine_time_is_that_of_one_captioner() -> None:
    assert read_engine_time(METRICS, "eye") == ENGINE


def test_engine_time_since_another_is_the_difference() -> None:
    assert ENGINE.since(ENGINE) == EngineTime(*[0.0] * 7)


def test_ratios_are_taken_within_a_repetition() -> None:
    measured = Measured(
        rounds=[a_round(10.0, 5.0), a_round(30.0, 10.0)],
        model="eye version 1",
        trained=True,
        precision="float32",
        lanes=2,
    )
    (row,) = summarise(measured)
    assert (row.to_one_by_one.low, row.to_one_by_one.high) == (2.0, 3.0)
    assert row.encode_share.median == pytest.approx(2.0 / 5.5)
    assert row.decode_share.median == pytest.approx(3.0 / 5.5)
    assert row.busy.median == pytest.approx(0.5)
    assert (row.encode_rows.median, row.decode_rows.median) == (3.0, 8.0)


@pytest.mark.parametrize("seed", range(4))
def test_greedy_caption_is_that_of_a_search_of_width_one(graphs: CaptionGraphs, seed: int) -> None:
    state = graphs.encode(graphs.prepare(photo(seed)))
    assert graphs.greedy(state) == graphs.search(state, 1)


def test_caption_tells_where_its_time_went(graphs: CaptionGraphs) -> None:
    costs = Costs()
    text = graphs.caption(photo(0), 3, costs)
    assert text
    assert min(costs.prepare_s, costs.encode_s, costs.decode_s) > 0


def test_newest_version_is_the_highest_number(tmp_path: Path) -> None:
    for name in ("2", "10", "notes"):
        (tmp_path / name).mkdir()
    assert newest_version(tmp_path).name == "10"
