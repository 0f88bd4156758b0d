"""Requests for many pictures and for one, through the real batcher, in virtual time."""

import asyncio
import threading
from collections.abc import Mapping, Sequence

import numpy as np
from prometheus_client import CollectorRegistry

from serving.batch_queue import QueueRules
from serving.dynamic_batcher import DynamicBatcher
from serving.effective_config import BatchingDefaults, resolve_config
from serving.image_metrics import ImageFamilies
from serving.image_types import ImageRequest, Samples
from serving.model_config import BatchingConfig, ModelConfig
from serving.request_check import RequestChecker
from serving.tasks.image_answer import Images
from serving.tasks.image_generation import GraphRows, ImageGenerator, ImageGeneratorFacts
from serving.types import Array, Datatype, TensorSpec, Timings
from tests.image_models import LATENT, SIDE, ImageModel, image_task
from tests.virtual_time import AnnouncedPool, VirtualTimeLoop, run_virtual

ROW_S = 1.0
"""Virtual time of one picture."""
BATCH, INSTANCES = 4, 2
MANY = 10_000


class Painter:
    """An engine that takes ``ROW_S`` for each row."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        self.rows = 0
        self._loop = loop
        self._lock = threading.Lock()

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        rows = len(inputs["z"])
        with self._lock:
            self.rows += rows
        self._loop.sleep_on_thread(rows * ROW_S)
        return [np.zeros((rows, SIDE, SIDE, 3), np.uint8)]


class Unobserved:
    """Nobody is told of batches."""

    def batch_finished(self, timings: Timings, *, failed: bool) -> None:
        assert not failed


class Studio:
    """A generator over a batcher over a painter."""

    def __init__(self, loop: VirtualTimeLoop, max_queue_rows: int = 1024) -> None:
        self.loop = loop
        self.painter = Painter(loop)
        self.pool = AnnouncedPool(INSTANCES, loop)
        effective = resolve_config(
            ModelConfig(max_batch_size=BATCH, batching=BatchingConfig()),
            [TensorSpec("z", Datatype.FP32, (-1, LATENT))],
            [TensorSpec("image", Datatype.UINT8, (-1, SIDE, SIDE, 3))],
            BatchingDefaults(max_queue_rows=max_queue_rows),
        )
        rules: QueueRules = effective.rules
        batcher = DynamicBatcher(
            self.painter,
            rules,
            self.pool,
            instances=INSTANCES,
            observer=Unobserved(),
            clock=loop.time,
        )
        facts = ImageGeneratorFacts(
            model="m",
            version="1",
            fingerprint="f",
            max_batch_size=BATCH,
            instances=INSTANCES,
            max_queued_rows=max_queue_rows,
        )
        metrics = ImageFamilies(CollectorRegistry()).for_model("m", "1")
        self.batcher = batcher
        self.generator = ImageGenerator(
            image_task(ImageModel()),
            facts,
            GraphRows(RequestChecker("m", effective), batcher, "image"),
            None,
            metrics,
        )

    async def start(self, count: int) -> Images:
        request = ImageRequest(model_name="m", source=Samples(seed=1, count=count))
        plan = self.generator.plan(request, max_images=MANY, max_frames=2)
        return await self.generator.start(plan, None)

    async def read(self, count: int) -> float:
        """When all pictures of a request were read, virtual seconds."""
        async for _ in await self.start(count):
            pass
        return self.loop.time()


async def drain(answer: Images) -> None:
    """Read all of an answer; let go of what is left of it when cancelled."""
    try:
        async for _ in answer:
            pass
    finally:
        await answer.aclose()


def test_a_request_for_one_passes_one_for_thousands() -> None:
    loop = VirtualTimeLoop()

    async def main() -> None:
        studio = Studio(loop)
        studio.pool.start()
        many = asyncio.ensure_future(studio.read(MANY))
        waits = []
        for _ in range(20):
            await asyncio.sleep(17.3)
            came = loop.time()
            waits.append(await studio.read(1) - came)
        # At most the pieces of the large answer that are ahead, on two threads, and its own row.
        assert max(waits) <= 2 * BATCH * ROW_S + ROW_S
        assert not many.done()
        many.cancel()
        await asyncio.wait({many})
        await studio.batcher.drain()
        studio.pool.stop()

    run_virtual(main(), loop)


def test_a_request_for_one_finds_room_beside_any_number_for_thousands() -> None:
    loop = VirtualTimeLoop()

    async def main() -> None:
        studio = Studio(loop, max_queue_rows=8 * BATCH)
        studio.pool.start()
        many = []
        for _ in range(30):
            answer = await studio.start(MANY)
            many.append(asyncio.ensure_future(drain(answer)))
        waits = []
        for _ in range(20):
            await asyncio.sleep(7.3)
            came = loop.time()
            waits.append(await studio.read(1) - came)
        # All rows of large requests in the queue or under way, on two threads, and its own row.
        assert max(waits) <= 4 * BATCH * ROW_S / INSTANCES + BATCH * ROW_S + ROW_S
        for task in many:
            task.cancel()
        await asyncio.wait(many)
        await studio.batcher.drain()
        studio.pool.stop()

    run_virtual(main(), loop)


def test_two_large_requests_share() -> None:
    loop = VirtualTimeLoop()

    async def main() -> None:
        studio = Studio(loop)
        studio.pool.start()
        first = asyncio.ensure_future(studio.read(200))
        await asyncio.sleep(2 * ROW_S)
        second = await studio.read(100)
        # Half of two threads gives the second its 100 rows in 100 seconds, and the first's 200 rows
        # are not done before.
        assert 90 * ROW_S <= second <= 115 * ROW_S
        assert await first > second
        studio.pool.stop()

    run_virtual(main(), loop)


def test_one_answer_keeps_all_threads_busy() -> None:
    loop = VirtualTimeLoop()

    async def main() -> None:
        studio = Studio(loop)
        studio.pool.start()
        assert await studio.read(80) == 80 * ROW_S / INSTANCES
        studio.pool.stop()

    run_virtual(main(), loop)


def test_a_reader_who_stops_makes_the_generator_stop() -> None:
    loop = VirtualTimeLoop()

    async def main() -> None:
        studio = Studio(loop)
        studio.pool.start()
        answer = await studio.start(MANY)
        for _ in range(10):
            await anext(answer)
        await asyncio.sleep(10_000.0)
        ahead = studio.generator.pieces(MANY).ahead
        # Ten pictures are of three pieces, whose rest waits to be read.
        assert studio.painter.rows == (3 + ahead) * BATCH
        await answer.aclose()
        await studio.batcher.drain()
        studio.pool.stop()

    run_virtual(main(), loop)
