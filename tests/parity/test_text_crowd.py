"""Texts written in a crowd on real graphs are, bit for bit, those that each request gets alone."""

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from quartet.artifact import METADATA_KEY, parse_task
from quartet.generation import TextGenerationTask
from serving.decoder import OnnxDecoder
from serving.generation_types import Sampling
from serving.generator_check import check_generator
from serving.providers import Device
from serving.session import OnnxSession, SessionOptions
from serving.slots import SlotRules
from serving.state_table import HostStateTable
from serving.token_scheduler import BeamSearch, Job, Row
from tests.crowds import assert_same, silent_copy, write
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
