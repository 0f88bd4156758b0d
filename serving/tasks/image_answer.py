"""An answer under way of a request for pictures: made in pieces, a few of them ahead of the reader.

Pieces are made at the same time and read in order. A new one begins when the reader takes up a
finished one, so a reader who stops stops the work, too, and what waits for it is bounded.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass

from serving.errors import Cancelled, DeadlineExceeded, QueueFull, ServingError
from serving.image_metrics import ImageMetrics
from serving.image_types import GeneratedImage, Pixels
from serving.row_joining import as_serving_error
from serving.scheduler import Finished
from serving.tasks.image_plan import ImageBatch, ImagePlan, PlannedPieces
from serving.tasks.image_room import RowRoom
from serving.types import Array, Timings

FULL_QUEUE_WAIT_S = 0.05
"""Least time before pictures of an answer that has begun ask again for room in a full queue."""

logger = logging.getLogger(__name__)

RunBatch = Callable[[Mapping[str, Array]], Awaitable[Finished]]
"""Runs the generator. Raises as ``Scheduler.submit``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """What is known before anything is made."""

    model_name: str
    model_version: str
    fingerprint: str
    output: str
    """The graph's, which holds the pictures."""
    deadline: float | None = None
    """Monotonic time after which nobody waits."""


@dataclass(frozen=True, slots=True)
class Pieces:
    """How pictures are made ahead."""

    rows: int
    """Pictures of one piece at most."""
    ahead: int
    """Pieces that may be under way or wait for the reader."""
    at_once: int
    """Pictures from the first on that go straight to the queue, as any request does."""
    room: RowRoom
    """Through which all others of the model's answers go there."""


@dataclass(slots=True)
class _Piece:
    """Pictures from ``start`` on."""

    start: int
    rows: int
    task: asyncio.Task["_Made | ServingError"]


@dataclass(slots=True)
class _Made:
    batch: ImageBatch
    pixels: Pixels
    timings: Timings


class Images:
    """An ``ImageAnswer``. One reader, one event loop."""

    def __init__(
        self,
        facts: ImageFacts,
        plan: ImagePlan,
        pieces: Pieces,
        run: RunBatch,
        metrics: ImageMetrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is made before ``begin``.

        Args:
            facts: of the model and the request.
            plan: what is to be made.
            pieces: of how many pictures, and how many ahead.
            run: runs the generator.
            metrics: told of pictures.
            clock: that of the deadline, seconds.
        """
        task = plan.task
        self.model_name = facts.model_name
        self.model_version = facts.model_version
        self.fingerprint = facts.fingerprint
        self.seed = plan.seed
        self.count = plan.count
        self.height, self.width, self.channels = task.height, task.width, task.channels
        self.prompt = plan.prompt
        self.on_end: Callable[[ServingError | None], None] = _no_end
        """Called once: all was read (None), nobody reads on (Cancelled), or it failed."""
        self.timings: Timings | None = None
        """Of the first piece."""
        self._facts = facts
        self._batches = PlannedPieces(plan)
        self._pieces = pieces
        self._run = run
        self._metrics = metrics
        self._clock = clock
        self._under_way: deque[_Piece] = deque()
        self._started = 0
        """Pictures that are or were part of a piece."""
        self._unread: deque[GeneratedImage] = deque()
        self._ended = False

    async def begin(self) -> None:
        """Make the first pictures, so that what is refused is known before the answer begins.

        Raises:
            QueueFull, DeadlineExceeded, InferenceFailed, ShuttingDown: see ``Scheduler.submit``;
                the answer is over then.
        """
        self._start_pieces()
        try:
            await self._wait_for_first()
        except BaseException:
            await self.aclose()
            raise
        made = self._under_way[0].task.result()
        if isinstance(made, ServingError):
            self._end(made)
            raise made
        self.timings = made.timings

    def __aiter__(self) -> AsyncIterator[GeneratedImage]:
        return self

    async def __anext__(self) -> GeneratedImage:
        if not self._unread:
            await self._next_piece()
        image = self._unread.popleft()
        if image.number == self.count - 1:
            # The reader has all, and may never ask for the end.
            self._end(None)
        return image

    async def aclose(self) -> None:
        """Stop what still runs. Nothing happens if all is done."""
        self._end(Cancelled("the client left before all pictures were made"))

    async def _next_piece(self) -> None:
        """Fill the pictures to be read; raises StopAsyncIteration after the last."""
        if self._ended:
            raise StopAsyncIteration
        try:
            await self._wait_for_first()
        except asyncio.CancelledError:
            await self.aclose()
            raise
        if self._ended:
            raise StopAsyncIteration
        piece = self._under_way.popleft()
        made = piece.task.result()
        self._metrics.in_flight(-piece.rows)
        if isinstance(made, ServingError):
            self._end(made)
            raise made
        self._unread.extend(self._images(piece, made))
        self._start_pieces()

    async def _wait_for_first(self) -> None:
        """Wait for the oldest piece. Cancelling the wait leaves it running."""
        await asyncio.wait({self._under_way[0].task})

    def _start_pieces(self) -> None:
        while self._started < self.count and len(self._under_way) < self._pieces.ahead:
            rows = min(self._pieces.rows, self.count - self._started)
            task = asyncio.ensure_future(self._make(self._started, rows))
            self._under_way.append(_Piece(self._started, rows, task))
            self._metrics.in_flight(rows)
            self._started += rows

    async def _make(self, start: int, rows: int) -> "_Made | ServingError":
        """One piece, or why there is none."""
        try:
            batch = self._batches.batch(start, start + rows)
            if start < self._pieces.at_once:
                finished = await self._run_patiently(batch, patient=start > 0)
            else:
                finished = await self._run_in_room(batch, rows)
        except ServingError as error:
            return error
        except Exception as error:
            logger.exception("making pictures of model %s failed", self.model_name)
            return as_serving_error(error)
        self._metrics.generated(rows)
        # Copied out of a larger batch, which would else stay in memory as long as its last row.
        pixels = finished.outputs[self._facts.output]
        own = pixels if pixels.base is None else pixels.copy()
        return _Made(batch, own, finished.timings)

    async def _run_in_room(self, batch: ImageBatch, rows: int) -> Finished:
        """Run ``batch`` when the answers of the model leave it room."""
        deadline, room = self._facts.deadline, self._pieces.room
        try:
            await room.enter(rows, None if deadline is None else deadline - self._clock())
        except TimeoutError:
            raise DeadlineExceeded(
                "Request timeout expired while pictures of others were made"
            ) from None
        try:
            return await self._run_patiently(batch, patient=True)
        finally:
            room.leave(rows)

    async def _run_patiently(self, batch: ImageBatch, *, patient: bool) -> Finished:
        """Run ``batch``; a full queue refuses an answer only before it has begun."""
        while True:
            try:
                return await self._run(batch.inputs)
            except QueueFull as error:
                if not patient:
                    raise
                wait = max(FULL_QUEUE_WAIT_S, error.retry_after_s or 0.0)
            deadline = self._facts.deadline
            if deadline is not None and self._clock() + wait >= deadline:
                raise DeadlineExceeded("Request timeout expired while the queue was full")
            await asyncio.sleep(wait)

    def _images(self, piece: _Piece, made: _Made) -> list[GeneratedImage]:
        return [
            GeneratedImage(number=number, pixels=pixels, point=point, class_name=class_name)
            for number, (pixels, point, class_name) in enumerate(
                zip(made.pixels, made.batch.points, made.batch.class_names, strict=True),
                start=piece.start,
            )
        ]

    def _end(self, error: ServingError | None) -> None:
        if self._ended:
            return
        self._ended = True
        self._unread.clear()
        for piece in self._under_way:
            piece.task.cancel()
            self._metrics.in_flight(-piece.rows)
        self._under_way.clear()
        self.on_end(error)


def _no_end(error: ServingError | None) -> None:
    pass
