"""What a captioner asks of its encoder and of the scheduler of rows."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from quartet.artifact import ImageCaptioningTask, ImageSpec
from quartet.generation import StatePair
from serving.batch_queue import QueueRules
from serving.caption_types import CaptionOptions
from serving.effective_config import EffectiveConfig
from serving.errors import DeadlineExceeded, InferenceFailed, QueueFull, ServingError
from serving.generation_metrics import GenerationFamilies
from serving.generation_types import Sampling
from serving.request_check import RequestChecker
from serving.scheduler import Finished, Work
from serving.tasks.caption_answer import Captions
from serving.tasks.captioning import Captioner, CaptionerFacts, CaptionerParts, PictureEncoder
from serving.tasks.picture_input import PictureInput
from serving.token_scheduler import BeamSearch, Job, Row
from serving.types import Array, Datatype, TensorSpec, Timings

TASK = ImageCaptioningTask(
    vocabulary=("<start>", "<end>", "<unk>", "a", "dog", "runs"),
    states=(StatePair(input="h", output="h_out"),),
    begin="<start>",
    stop=("<end>",),
    hidden=("<start>", "<unk>"),
    image=ImageSpec(height=2, width=2),
    grid=(1, 2),
    max_tokens=30,
)
PIXELS = TensorSpec("image", Datatype.UINT8, (-1, 2, 2))
STATE = TensorSpec("h", Datatype.FP32, (-1, 3))
TIMINGS = Timings(0.5, 0.0, 0.0, 0.0, 4)


class Encoder:
    """Gives each picture its mean as state, out of a batch of four, when ``gate`` is open."""

    def __init__(self) -> None:
        self.works: list[Work] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.errors: Mapping[int, ServingError] = {}
        """Number of the picture -> what becomes of it."""

    async def submit(self, work: Work) -> Finished:
        number = len(self.works)
        self.works.append(work)
        if number in self.errors:
            raise self.errors[number]
        await self.gate.wait()
        batch = np.zeros((4, 3), np.float32)
        batch[1] = work.inputs["image"].mean()
        return Finished({"h": batch[1:2]}, TIMINGS)

    def queued_rows(self) -> int:
        return 0

    def queued_requests(self) -> int:
        return 0

    async def drain(self) -> None: ...

    def close(self) -> None: ...


class Rows:
    """Remembers its jobs."""

    def __init__(self) -> None:
        self.submitted: list[Sequence[Job]] = []
        self.cancelled: list[Job] = []
        self.refusal: ServingError | None = None

    def submit(self, jobs: Sequence[Job]) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.submitted.append(tuple(jobs))

    def cancel(self, job: Job) -> None:
        self.cancelled.append(job)

    def waiting_rows(self) -> int:
        return 0

    def active_rows(self) -> int:
        return 0

    async def drain(self) -> None: ...

    def close(self) -> None: ...


class Parts:
    def __init__(self) -> None:
        self.encoder, self.rows = Encoder(), Rows()
        config = EffectiveConfig(
            inputs=(PIXELS,),
            outputs=(STATE,),
            max_batch_size=4,
            rules=QueueRules(max_rows=4),
            default_timeout_s=None,
            allow_timeout_override=False,
        )
        self.captioner = Captioner(
            CaptionerParts(
                task=TASK,
                facts=CaptionerFacts(model="m", version="7", sha256="", top=6, places=2, slots=5),
                encoder=PictureEncoder(
                    PictureInput(TASK.image, (PIXELS,)),
                    RequestChecker("m.encoder", config),
                    self.encoder,
                ),
                scheduler=self.rows,
                metrics=GenerationFamilies(CollectorRegistry()).for_model("m", "7"),
                clock=lambda: 100.0,
            )
        )

    async def start(
        self, images: int = 1, *, client: str = "", deadline: float | None = None, **options: Any
    ) -> Captions:
        pictures: Array = np.arange(images, dtype=np.uint8).repeat(4).reshape(images, 2, 2)
        plan = self.captioner.plan(CaptionOptions(**options), images)
        return await self.captioner.start(plan, pictures, client=client, deadline=deadline)

    @property
    def jobs(self) -> list[Job]:
        return [job for jobs in self.rows.submitted for job in jobs]


@pytest.fixture
async def parts() -> Parts:
    return Parts()


async def test_each_picture_goes_through_the_encoder_as_one_row(parts: Parts) -> None:
    answer = await parts.start(3, deadline=123.0)
    assert [work.rows for work in parts.encoder.works] == [1, 1, 1]
    assert [work.inputs["image"].max() for work in parts.encoder.works] == [0, 1, 2]
    assert {work.deadline for work in parts.encoder.works} == {123.0}
    assert {work.outputs for work in parts.encoder.works} == {("h",)}
    assert (answer.images, answer.captions, answer.model_version) == (3, 1, "7")
    assert answer.timings == TIMINGS


async def test_a_search_begins_with_its_pictures_state(parts: Parts) -> None:
    await parts.start(2, captions=2, beam_width=3, client="c", deadline=9.0, attention=True)
    for number, job in enumerate(parts.jobs):
        assert isinstance(job, BeamSearch)
        assert (job.width, job.prompt, job.client, job.deadline) == (3, (0,), "c", 9.0)
        assert job.attention
        # Three that go on, behind the one that ends and the two that are hidden.
        assert job.top == 6
        assert job.state is not None
        assert job.state["h"].tolist() == [number] * 3
        # Not a view: the batch would stay in memory as long as the row.
        assert job.state["h"].base is None


async def test_drawn_captions_have_random_numbers_of_their_own(parts: Parts) -> None:
    await parts.start(2, captions=3, temperature=0.5, top_k=2, seed=8, min_tokens=4, max_tokens=9)
    rows = [job for job in parts.jobs if isinstance(job, Row)]
    assert [(row.seed, row.stream) for row in rows] == [(8, n) for n in range(6)]
    assert {row.sampling for row in rows} == {Sampling(temperature=0.5, top_k=2)}
    assert {(row.min_tokens, row.max_tokens) for row in rows} == {(4, 9)}
    assert not any(row.attention or row.score_prompt for row in rows)
    # Rows of equal state share one reading only if it is one object.
    assert len({id(row.state) for row in rows}) == 2


async def test_a_beginning_is_read_once_for_its_scores(parts: Parts) -> None:
    await parts.start(
        beginning="a dog", captions=2, temperature=1.0, attention=True, max_tokens=9, min_tokens=5
    )
    reader, *writers = parts.jobs
    assert isinstance(reader, Row)
    assert (reader.prompt, reader.max_tokens, reader.score_prompt) == ((0, 3, 4), 0, True)
    assert reader.attention
    for row in writers:
        assert isinstance(row, Row)
        assert row.state is reader.state
        assert (row.prompt, row.min_tokens, row.max_tokens) == ((0, 3, 4), 3, 7)
        assert not row.score_prompt


async def test_a_width_of_1_is_a_row_that_takes_the_likeliest(parts: Parts) -> None:
    await parts.start(beam_width=1)
    (row,) = parts.jobs
    assert isinstance(row, Row)
    assert row.sampling == Sampling(temperature=0.0)


async def test_captions_run_as_soon_as_their_picture_is_encoded(parts: Parts) -> None:
    parts.encoder.gate.clear()
    task = asyncio.ensure_future(parts.start(2))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(parts.encoder.works) == 2
    assert not parts.jobs
    parts.encoder.gate.set()
    await task
    assert len(parts.rows.submitted) == 2


async def test_an_encoder_that_fails_stops_the_captions_of_other_pictures(parts: Parts) -> None:
    parts.encoder.errors = {2: InferenceFailed("broken")}
    with pytest.raises(InferenceFailed, match="broken"):
        await parts.start(3)
    assert parts.rows.cancelled == parts.jobs


async def test_a_full_queue_is_known_before_the_answer(parts: Parts) -> None:
    parts.rows.refusal = QueueFull("full")
    with pytest.raises(QueueFull):
        await parts.start(2)


async def test_cancelling_stops_all_that_has_begun(parts: Parts) -> None:
    parts.encoder.gate.clear()
    task = asyncio.ensure_future(parts.start(2))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    parts.encoder.gate.set()
    await asyncio.sleep(0)
    assert not parts.jobs


async def test_after_a_caption_has_failed_no_more_are_begun(parts: Parts) -> None:
    class Failing(Rows):
        def submit(self, jobs: Sequence[Job]) -> None:
            super().submit(jobs)
            jobs[0].sink.failed(DeadlineExceeded("late"))

    parts.captioner._scheduler = Failing()
    answer = await parts.start(3)
    with pytest.raises(DeadlineExceeded):
        await anext(aiter(answer))
    assert len(parts.captioner._scheduler.submitted) == 1
