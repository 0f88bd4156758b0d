"""Answers of pictures in virtual time: order, how far ahead, and every way to end."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from serving.errors import (
    Cancelled,
    DeadlineExceeded,
    InferenceFailed,
    InvalidInput,
    QueueFull,
    ServingError,
)
from serving.image_metrics import ImageFamilies
from serving.image_types import GeneratedImage, ImageOptions, LatentPoint, Samples
from serving.scheduler import Finished
from serving.tasks.image_answer import ImageFacts, Images, Pieces
from serving.tasks.image_options import ImagePlanLimits
from serving.tasks.image_plan import ImagePlan, plan_images
from serving.tasks.image_room import RowRoom
from serving.types import Array, Timings
from tests.image_models import SIDE, ImageModel, image_task
from tests.virtual_time import VirtualTimeLoop, run_virtual

RUN_S = 1.0
"""Virtual time of one piece."""
ROWS, AHEAD = 4, 3
SEED = 5


@dataclass
class FakeGraph:
    """Makes of each z a picture of one value after a while; may fail, and tells what it ran."""

    errors: Mapping[int, ServingError] = field(default_factory=dict)
    """Number of a run -> what it raises."""
    slow: dict[int, float] = field(default_factory=dict)
    """Number of a run -> its time."""
    runs: int = 0
    begun: list[int] = field(default_factory=list)
    """Rows of each run."""
    given_up: int = 0

    async def run(self, inputs: Mapping[str, Array]) -> Finished:
        number, self.runs = self.runs, self.runs + 1
        self.begun.append(len(inputs["z"]))
        if number in self.errors:
            raise self.errors[number]
        try:
            await asyncio.sleep(self.slow.get(number, RUN_S))
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        pixels = values(inputs["z"])[:, None, None, None]
        return Finished(
            {"image": np.tile(pixels, (1, SIDE, SIDE, 3))}, Timings(batch_rows=len(pixels))
        )


def values(z: Array) -> Array:
    """One number of each z, as a level of a pixel."""
    return np.asarray(np.abs(z[:, 0]) * 64 % 256, np.uint8)


def plan(count: int) -> ImagePlan:
    limits = ImagePlanLimits(
        model="m", task=image_task(ImageModel()), max_images=10_000, max_frames=2
    )
    return plan_images(Samples(seed=SEED, count=count), ImageOptions(), limits)


@dataclass
class Scene:
    """An answer over a fake graph, and what was told of it."""

    count: int
    graph: FakeGraph = field(default_factory=FakeGraph)
    deadline: float | None = None
    pieces: Pieces = field(default_factory=lambda: Pieces(ROWS, AHEAD, ROWS, RowRoom(10 * ROWS)))
    ends: list[ServingError | None] = field(default_factory=list)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        loop = asyncio.get_running_loop()
        facts = ImageFacts(
            model_name="m",
            model_version="1",
            fingerprint="f",
            output="image",
            deadline=self.deadline,
        )
        metrics = ImageFamilies(self.registry).for_model("m", "1")
        self.plan = plan(self.count)
        self.answer = Images(facts, self.plan, self.pieces, self.graph.run, metrics, loop.time)
        self.answer.on_end = self.ends.append

    async def read(self, most: int | None = None) -> list[GeneratedImage]:
        images: list[GeneratedImage] = []
        if most == 0:
            return images
        async for image in self.answer:
            images.append(image)
            if len(images) == most:
                break
        return images

    def sample(self, name: str) -> float:
        found = self.registry.get_sample_value(name, {"model": "m", "version": "1"})
        assert found is not None
        return found

    def in_flight(self) -> float:
        return self.sample("quartet_images_in_flight")


def virtual(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Run a coroutine in virtual time. Whatever it leaves behind is an error."""

    async def checked() -> None:
        await test()
        await asyncio.sleep(0)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"still running: {left}"

    def run() -> None:
        run_virtual(checked(), VirtualTimeLoop())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


@virtual
async def test_pictures_come_in_order_whatever_is_done_first() -> None:
    scene = Scene(30, FakeGraph(slow={0: 9.0, 1: 1.0, 2: 5.0, 4: 8.0}))
    await scene.answer.begin()
    images = await scene.read()
    assert [image.number for image in images] == list(range(30))
    assert [image.point for image in images] == [LatentPoint(SEED, i) for i in range(30)]
    expected = values(scene.plan.batch(0, 30).inputs["z"])
    assert [image.pixels[0, 0, 0] for image in images] == expected.tolist()
    assert images[0].pixels.shape == (SIDE, SIDE, 3)


@virtual
async def test_an_answer_tells_what_it_is_of() -> None:
    answer = Scene(3).answer
    assert (answer.model_name, answer.model_version, answer.fingerprint) == ("m", "1", "f")
    assert (answer.seed, answer.count, answer.prompt) == (SEED, 3, None)
    assert (answer.height, answer.width, answer.channels) == (SIDE, SIDE, 3)


@virtual
async def test_pieces_are_made_at_the_same_time() -> None:
    scene = Scene(24)
    await scene.answer.begin()
    await scene.read()
    # Two rounds of three pieces of four.
    assert asyncio.get_running_loop().time() == 2 * RUN_S


@virtual
async def test_begin_returns_when_the_first_pictures_are_made() -> None:
    scene = Scene(24)
    await scene.answer.begin()
    assert asyncio.get_running_loop().time() == RUN_S
    assert scene.answer.timings is not None
    assert scene.answer.timings.batch_rows == ROWS
    await scene.answer.aclose()


@virtual
async def test_the_last_piece_has_what_is_left() -> None:
    scene = Scene(10)
    await scene.answer.begin()
    await scene.read()
    assert scene.graph.begun == [4, 4, 2]


@virtual
async def test_nothing_more_is_made_while_nobody_reads() -> None:
    scene = Scene(10_000)
    await scene.answer.begin()
    for _ in range(3):
        await asyncio.sleep(1000.0)
        assert scene.graph.runs == AHEAD
    await scene.read(1)
    await asyncio.sleep(1000.0)
    assert scene.graph.runs == AHEAD + 1
    assert scene.in_flight() == AHEAD * ROWS
    await scene.answer.aclose()


@virtual
async def test_pixels_of_a_larger_batch_are_copied_out_of_it() -> None:
    """Else one picture that nobody reads keeps the whole batch of others in memory."""
    scene = Scene(2)
    shared = np.zeros((100, SIDE, SIDE, 3), np.uint8)

    async def run(inputs: Mapping[str, Array]) -> Finished:
        return Finished({"image": shared[40 : 40 + len(inputs["z"])]}, Timings())

    scene.answer._run = run
    await scene.answer.begin()
    for image in await scene.read():
        base = image.pixels.base
        assert base is not None
        assert not np.shares_memory(image.pixels, shared)
        assert base.nbytes == 2 * SIDE * SIDE * 3


# --- the end ---


@virtual
async def test_reading_the_last_picture_ends_the_answer() -> None:
    """Readers that count need not ask for the end."""
    scene = Scene(5)
    await scene.answer.begin()
    await scene.read(4)
    assert scene.ends == []
    await anext(scene.answer)
    assert scene.ends == [None]
    assert (scene.in_flight(), scene.sample("quartet_images_generated_total")) == (0, 5)
    with pytest.raises(StopAsyncIteration):
        await anext(scene.answer)
    await scene.answer.aclose()
    assert scene.ends == [None]


@pytest.mark.parametrize("read", [0, 1, 6])
def test_closing_stops_what_runs(read: int) -> None:
    @virtual
    async def closing() -> None:
        scene = Scene(100)
        await scene.answer.begin()
        await scene.read(read)
        await scene.answer.aclose()
        assert [type(end) for end in scene.ends] == [Cancelled]
        runs = scene.graph.runs
        await asyncio.sleep(100.0)
        assert (scene.graph.runs, scene.in_flight()) == (runs, 0)
        with pytest.raises(StopAsyncIteration):
            await anext(scene.answer)

    closing()


@virtual
async def test_a_reader_that_is_cancelled_stops_what_runs() -> None:
    scene = Scene(100)
    await scene.answer.begin()
    reader = asyncio.ensure_future(scene.read())
    await asyncio.sleep(2.5 * RUN_S)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert [type(end) for end in scene.ends] == [Cancelled]
    await asyncio.sleep(0)
    assert (scene.graph.given_up, scene.in_flight()) == (AHEAD, 0)


@virtual
async def test_closing_from_elsewhere_ends_a_reader_that_waits() -> None:
    scene = Scene(100, FakeGraph(slow={3: 1e6}))
    await scene.answer.begin()
    reader = asyncio.ensure_future(scene.read())
    await asyncio.sleep(50.0)
    await scene.answer.aclose()
    assert len(await reader) == 3 * ROWS


@virtual
async def test_cancelling_the_beginning_stops_what_runs() -> None:
    scene = Scene(100)
    beginning = asyncio.ensure_future(scene.answer.begin())
    await asyncio.sleep(RUN_S / 2)
    beginning.cancel()
    with pytest.raises(asyncio.CancelledError):
        await beginning
    await asyncio.sleep(0)
    assert (scene.graph.given_up, scene.in_flight()) == (AHEAD, 0)


# --- failures ---


@virtual
async def test_an_error_of_the_first_pictures_is_raised_before_the_answer_begins() -> None:
    scene = Scene(100, FakeGraph(errors={0: QueueFull("full", retry_after_s=3.0)}))
    with pytest.raises(QueueFull, match="full"):
        await scene.answer.begin()
    assert [type(end) for end in scene.ends] == [QueueFull]
    await asyncio.sleep(0)
    assert (scene.graph.given_up, scene.in_flight()) == (AHEAD - 1, 0)


@virtual
async def test_an_error_comes_behind_the_pictures_before_it() -> None:
    scene = Scene(100, FakeGraph(errors={2: InferenceFailed("broken")}))
    await scene.answer.begin()
    assert len(await scene.read(2 * ROWS)) == 2 * ROWS
    with pytest.raises(InferenceFailed, match="broken"):
        await anext(scene.answer)
    assert [type(end) for end in scene.ends] == [InferenceFailed]
    await asyncio.sleep(0)
    assert scene.in_flight() == 0
    with pytest.raises(StopAsyncIteration):
        await anext(scene.answer)


@virtual
async def test_a_fault_of_the_server_is_no_text_for_clients() -> None:
    scene = Scene(3)

    async def run(inputs: Mapping[str, Array]) -> Finished:
        raise ZeroDivisionError("secret")

    scene.answer._run = run
    with pytest.raises(InferenceFailed) as caught:
        await scene.answer.begin()
    assert "secret" not in caught.value.message


@virtual
async def test_an_answer_that_has_begun_waits_for_room_in_a_full_queue() -> None:
    full = {number: QueueFull("full", retry_after_s=7.0) for number in (1, 3, 4)}
    scene = Scene(12, FakeGraph(errors=full))
    await scene.answer.begin()
    assert [image.number for image in await scene.read()] == list(range(12))
    assert scene.ends == [None]
    assert asyncio.get_running_loop().time() >= 14.0


@virtual
async def test_the_wait_for_room_ends_with_the_deadline() -> None:
    full = {number: QueueFull("full", retry_after_s=7.0) for number in range(1, 100)}
    scene = Scene(12, FakeGraph(errors=full), deadline=20.0)
    await scene.answer.begin()
    with pytest.raises(DeadlineExceeded, match="while the queue was full"):
        await scene.read()
    assert asyncio.get_running_loop().time() < 20.0


@virtual
async def test_other_refusals_are_not_waited_out() -> None:
    scene = Scene(12, FakeGraph(errors={1: InvalidInput("no")}))
    await scene.answer.begin()
    with pytest.raises(InvalidInput):
        await scene.read()
    assert scene.graph.runs == 3


@virtual
async def test_pieces_beyond_the_first_run_wait_for_room_that_answers_share() -> None:
    room = RowRoom(ROWS)
    scenes = [Scene(4 * ROWS, pieces=Pieces(ROWS, AHEAD, ROWS, room)) for _ in range(2)]
    for scene in scenes:
        await scene.answer.begin()
    assert room.inside <= ROWS
    read = await asyncio.gather(*(scene.read() for scene in scenes))
    assert [len(images) for images in read] == [4 * ROWS] * 2
    assert room.inside == 0


@virtual
async def test_waiting_for_room_ends_with_the_deadline() -> None:
    room = RowRoom(ROWS)
    await room.enter(ROWS)
    scene = Scene(2 * ROWS, deadline=5.0, pieces=Pieces(ROWS, AHEAD, ROWS, room))
    await scene.answer.begin()
    with pytest.raises(DeadlineExceeded, match="while pictures of others were made"):
        await scene.read()
    assert asyncio.get_running_loop().time() == pytest.approx(5.0)
    room.leave(ROWS)
    assert room.inside == 0
