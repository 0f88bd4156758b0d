"""Texts written in a crowd on real graphs are, bit for bit, those that each request gets alone."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Literal

import numpy as np
import pytest

from quartet.artifact import METADATA_KEY, parse_task
from quartet.generation import TextGenerationTask
from serving.continuous_batcher import ContinuousBatcher
from serving.decoder import OnnxDecoder
from serving.generation_types import Sampling
from serving.generator_check import check_generator
from serving.providers import Device
from serving.session import OnnxSession, SessionOptions
from serving.slots import SlotRules
from serving.state_table import HostStateTable
from serving.token_scheduler import BeamSearch, Floats, Job, Row
from serving.workers import WorkerPool
from tests.generation_sinks import RecordingSearch, RecordingSink
from tests.text_models import VOCABULARY, CellName, make_text_model
from training.graphs.products import Precision

SLOTS = 10
CROWD = SlotRules(slots=SLOTS, lanes=2, steps=7, prefill_chunk=5, prefill_rows=3)
ALONE = SlotRules(slots=SLOTS, lanes=1, steps=16, prefill_chunk=64)
SAMPLINGS = (
    Sampling(),
    Sampling(temperature=0.0),
    Sampling(temperature=1.7, top_k=5),
    Sampling(temperature=0.8, top_p=0.9),
    Sampling(repetition_penalty=1.3),
    Sampling(presence_penalty=0.5, frequency_penalty=0.2),
)


class Unobserved:
    """A ``RunObserver`` that only remembers how many rows each run had."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    def run_finished(
        self, kind: Literal["prefill", "decode"], rows: int, steps: int, seconds: float
    ) -> None:
        self.rows.append(rows)


def open_engine(version: Path) -> OnnxDecoder:
    decode, prefill = (
        OnnxSession(version / file, Device("cpu", "a test"), SessionOptions())
        for file in ("model.onnx", "prefill.onnx")
    )
    task = parse_task(decode.metadata[METADATA_KEY])
    assert isinstance(task, TextGenerationTask)
    layout = check_generator(task, decode, prefill)
    return OnnxDecoder(decode, prefill, layout, HostStateTable(layout.row_specs, SLOTS))


@pytest.fixture(
    scope="module",
    params=[("lstm", "float32"), ("lstm", "int8"), ("gru", "int8"), ("tcn", "float32")],
    ids="-".join,
)
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> OnnxDecoder:
    cell: CellName
    precision: Precision
    cell, precision = request.param
    folder = tmp_path_factory.mktemp("models") / "crowd"
    return open_engine(
        make_text_model(folder, cell=cell, precision=precision, width=40, goldens=False)
    )


def some_requests(random: Random, count: int) -> list[list[Job]]:
    """Requests of every kind: several texts of one prompt, kept states, scores, beams."""
    requests: list[list[Job]] = []
    for number in range(count):
        symbols = range(len(VOCABULARY))
        prompt = tuple(random.choices(symbols, k=random.choice((1, 1, 2, 6, 23))))
        client = random.choice("abc")
        if number % 9 == 4:
            sink = RecordingSearch(width=3, steps=random.randint(1, 12))
            requests.append([BeamSearch(sink=sink, prompt=prompt, width=3, top=5, client=client)])
            continue
        length, keep_state = random.randint(1, 60), number % 4 == 1
        stop = random.choice((None, random.choice(symbols)))
        requests.append(
            [
                Row(
                    sink=RecordingSink(limit=length, stop=stop, keeps_state=keep_state),
                    prompt=prompt,
                    sampling=random.choice(SAMPLINGS),
                    max_tokens=length,
                    seed=random.getrandbits(64),
                    stream=stream,
                    keep_state=keep_state,
                    alternatives=random.choice((0, 0, 4)),
                    score_prompt=number % 5 == 2,
                    client=client,
                )
                for stream in range(random.choice((1, 1, 4)))
            ]
        )
    return requests


def silent_copy(job: Job) -> Job:
    """The same job with a sink that has heard nothing."""
    if isinstance(job, BeamSearch):
        assert isinstance(job.sink, RecordingSearch)
        return replace(job, sink=RecordingSearch(width=job.sink.width, steps=job.sink.steps))
    assert isinstance(job.sink, RecordingSink)
    sink = RecordingSink(limit=job.sink.limit, stop=job.sink.stop, keeps_state=job.keep_state)
    return replace(job, sink=sink)


async def write(
    engine: OnnxDecoder, rules: SlotRules, requests: Sequence[Sequence[Job]], *, together: bool
) -> Unobserved:
    """Write all ``requests``, in a crowd that grows while it writes, or one after the other."""
    observer, random = Unobserved(), Random(1)
    pool = WorkerPool(rules.lanes)
    pool.start()
    try:
        batcher = ContinuousBatcher(engine, pool, rules, observer)
        for jobs in requests:
            batcher.submit(jobs)
            if together:
                # Of a run of this model, from a tenth to several.
                for _ in range(random.choice((0, 0, 10, 200))):
                    await asyncio.sleep(0)
            else:
                await batcher.drain()
        await batcher.drain()
    finally:
        pool.stop()
    return observer


def joined(parts: Sequence[Floats]) -> Floats:
    """Scores of a prompt, however it was cut into parts."""
    return np.concatenate([np.zeros((0, len(VOCABULARY)), np.float32), *parts])


def assert_same(job: Job, other: Job) -> None:
    """Both sinks have heard the same, to the last bit."""
    one, two = job.sink, other.sink
    if isinstance(one, RecordingSearch) and isinstance(two, RecordingSearch):
        assert one.over
        assert one.shown == two.shown
        return
    assert isinstance(one, RecordingSink)
    assert isinstance(two, RecordingSink)
    assert one.over
    assert two.over
    assert one.error is two.error is None
    assert (one.tokens, one.scores, one.near) == (two.tokens, two.scores, two.near)
    assert one.last == two.last
    np.testing.assert_array_equal(joined(one.prompt_scores), joined(two.prompt_scores))
    assert (one.state is None) == (two.state is None)
    if one.state is not None and two.state is not None:
        assert one.state.keys() == two.state.keys()
        for name, array in one.state.items():
            np.testing.assert_array_equal(array, two.state[name])


async def test_text_is_the_same_in_a_crowd_as_alone(engine: OnnxDecoder) -> None:
    crowd = some_requests(Random(7), 40)
    alone = [[silent_copy(job)] for jobs in crowd for job in jobs]
    observer = await write(engine, CROWD, crowd, together=True)
    assert max(observer.rows) > 3
    await write(engine, ALONE, alone, together=False)
    for job, (other,) in zip([job for jobs in crowd for job in jobs], alone, strict=True):
        assert_same(job, other)


async def test_text_goes_on_from_a_kept_state_as_if_it_had_not_ended(engine: OnnxDecoder) -> None:
    random = Random(3)
    company = some_requests(random, 12)
    whole = Row(
        sink=RecordingSink(limit=50),
        prompt=(3, 4, 5),
        sampling=Sampling(temperature=1.1, repetition_penalty=1.2),
        max_tokens=50,
        seed=9,
    )
    begun = RecordingSink(limit=19, keeps_state=True)
    first = replace(whole, sink=begun, max_tokens=19, keep_state=True)
    await write(engine, CROWD, [*company, [whole], [first]], together=True)
    assert begun.last is not None
    sink = RecordingSink(limit=31)
    rest = replace(
        whole, sink=sink, prompt=(begun.last,), max_tokens=31, state=begun.state, position=19
    )
    await write(engine, CROWD, [*some_requests(random, 12), [rest]], together=True)
    assert isinstance(whole.sink, RecordingSink)
    assert begun.tokens + sink.tokens == whole.sink.tokens
    assert begun.scores + sink.scores == whole.sink.scores
