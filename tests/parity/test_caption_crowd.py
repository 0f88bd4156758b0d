"""Captions of many pictures in a crowd are, bit for bit, those that each gets alone."""

from pathlib import Path
from random import Random

import numpy as np
import pytest

from quartet.artifact import METADATA_KEY, ImageCaptioningTask, parse_task
from serving.decoder import OnnxDecoder
from serving.generation_types import Sampling
from serving.generator_check import GeneratorLayout, check_generator
from serving.providers import Device
from serving.session import OnnxSession, SessionOptions
from serving.slots import SlotRules
from serving.state_table import HostStateTable
from serving.token_scheduler import BeamSearch, Job, Row, RowState
from tests.caption_models import END, VOCABULARY, make_caption_model
from tests.crowds import assert_same, silent_copy, write
from tests.generation_sinks import RecordingSearch, RecordingSink

SLOTS = 10
STOP = VOCABULARY.index(END)
ALONE = SlotRules(slots=SLOTS, lanes=1, steps=16, prefill_chunk=64)


@pytest.fixture(scope="module", params=[True, False], ids=["attention", "plain"])
def opened(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[OnnxDecoder, GeneratorLayout]:
    folder: Path = tmp_path_factory.mktemp("models") / "crowd"
    version = make_caption_model(folder, attention=request.param, goldens=False)
    decode, prefill = (
        OnnxSession(version / file, Device("cpu", "a test"), SessionOptions())
        for file in ("model.onnx", "prefill.onnx")
    )
    task = parse_task(decode.metadata[METADATA_KEY])
    assert isinstance(task, ImageCaptioningTask)
    layout = check_generator(task, decode, prefill)
    return OnnxDecoder(decode, prefill, layout, HostStateTable(layout.row_specs, SLOTS)), layout


def picture(layout: GeneratorLayout, seed: int) -> RowState:
    """What the encoder might make of one."""
    random = np.random.default_rng(seed)
    return {
        spec.input: random.standard_normal(spec.shape, np.float32)
        for spec in layout.row_specs
        if spec.input != "counts"
    }


def some_requests(layout: GeneratorLayout, random: Random, count: int) -> list[list[Job]]:
    """Requests for captions: searches with the scores of their beginnings, drawn captions."""
    requests: list[list[Job]] = []
    for number in range(count):
        state, attention = picture(layout, random.randrange(6)), number % 3 != 1
        prompt = (0, *random.choices(range(3, len(VOCABULARY)), k=random.choice((0, 0, 1, 3))))
        client = random.choice("abc")
        if number % 3 == 0:
            rows = random.choice((1, 1, 3))
            requests.append(
                [
                    Row(
                        sink=RecordingSink(limit=14, stop=STOP, keeps_state=number % 4 == 1),
                        prompt=prompt,
                        sampling=Sampling(temperature=random.choice((0.0, 0.8, 1.3))),
                        max_tokens=14,
                        min_tokens=random.choice((0, 1, 9)),
                        seed=random.getrandbits(64),
                        stream=stream,
                        state=state,
                        keep_state=number % 4 == 1,
                        attention=attention,
                        client=client,
                    )
                    for stream in range(rows)
                ]
            )
            continue
        width = random.choice((2, 3, 4))
        search = BeamSearch(
            sink=RecordingSearch(width=width, steps=random.randint(1, 12)),
            prompt=prompt,
            width=width,
            top=5,
            attention=attention,
            state=state,
            client=client,
        )
        scores = Row(
            sink=RecordingSink(limit=0),
            prompt=prompt,
            sampling=Sampling(),
            max_tokens=0,
            seed=0,
            state=state,
            attention=attention,
            score_prompt=True,
            client=client,
        )
        requests.append([scores, search] if len(prompt) > 1 else [search])
    return requests


@pytest.mark.parametrize("steps", [1, 7])
async def test_captions_are_the_same_in_a_crowd_as_alone(
    opened: tuple[OnnxDecoder, GeneratorLayout], steps: int
) -> None:
    engine, layout = opened
    rules = SlotRules(slots=SLOTS, lanes=2, steps=steps, prefill_chunk=2, prefill_rows=3)
    crowd = some_requests(layout, Random(7), 36)
    alone = [[silent_copy(job)] for jobs in crowd for job in jobs]
    observer = await write(engine, rules, crowd, together=True)
    assert max(observer.rows) > 4
    await write(engine, ALONE, alone, together=False)
    for job, (other,) in zip([job for jobs in crowd for job in jobs], alone, strict=True):
        assert_same(job, other)
