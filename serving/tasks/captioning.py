"""Image captioning: pictures through the encoder, and words from what it makes of them."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from quartet.artifact import ImageCaptioningTask
from serving.caption_types import CaptionOptions
from serving.errors import ServingError
from serving.generation_metrics import GenerationMetrics
from serving.request_check import RequestChecker
from serving.scheduler import Finished, Scheduler
from serving.tasks.answer import cancel_jobs
from serving.tasks.caption_answer import CaptionFacts, Captions
from serving.tasks.caption_jobs import CaptionCall, CaptionJobs
from serving.tasks.caption_plan import CaptionLimits, CaptionPlan, plan_captions
from serving.tasks.option_checks import MAX_BEAMS
from serving.tasks.picture_input import PictureInput
from serving.token_scheduler import Job, RowState, TokenScheduler
from serving.types import Array, InferRequest, Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionerFacts:
    """What a captioner's graphs offer, and what its captions depend on."""

    model: str
    version: str
    sha256: str
    """Hash over the version's graphs and weights, hexadecimal."""
    top: int
    """Candidates offered at each step."""
    places: int
    """Of the attention; 0: there is none."""
    slots: int
    """Rows that run at once: no beam search can be wider."""
    max_rows: int = 1024
    """Rows that may wait: no request can have more."""


class PictureEncoder:
    """The graph that makes of a picture what a caption's row begins with."""

    def __init__(
        self, pictures: PictureInput, checker: RequestChecker, scheduler: Scheduler
    ) -> None:
        """Encode in the batches of ``scheduler``, in which other requests' pictures run too."""
        self.pictures = pictures
        self._checker = checker
        self._scheduler = scheduler

    async def encode(self, picture: Array, deadline: float | None) -> Finished:
        """All outputs for one picture, without the batch axis of the input.

        Raises:
            QueueFull, DeadlineExceeded, InferenceFailed, ShuttingDown: see ``Scheduler.submit``.
        """
        tensor = Tensor(self.pictures.datatype, picture[None])
        work = self._checker.check(
            InferRequest(
                model_name="", inputs={self.pictures.spec.input: tensor}, deadline=deadline
            )
        )
        return await self._scheduler.submit(work)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionerParts:
    """What a ``Captioner`` is made of."""

    task: ImageCaptioningTask
    facts: CaptionerFacts
    encoder: PictureEncoder
    scheduler: TokenScheduler
    """Shared by the captions of all requests."""
    metrics: GenerationMetrics
    clock: Callable[[], float] = field(default=time.monotonic)
    """That of deadlines."""


class Captioner:
    """One model version that captions pictures. Lives on the event loop."""

    def __init__(self, parts: CaptionerParts) -> None:
        """Put the parts together."""
        self.task = parts.task
        self.facts = parts.facts
        self.pictures = parts.encoder.pictures
        """Turns pictures into the rows that ``start`` takes."""
        self._encoder = parts.encoder
        self._scheduler = parts.scheduler
        self._metrics = parts.metrics
        self._clock = parts.clock
        self._jobs = CaptionJobs(parts.task, parts.facts.top)
        self._limits = CaptionLimits(
            model=parts.facts.model,
            task=parts.task,
            places=parts.facts.places,
            max_beams=min(parts.facts.top, parts.facts.slots, MAX_BEAMS),
            max_rows=parts.facts.max_rows,
        )

    def plan(self, options: CaptionOptions, images: int) -> CaptionPlan:
        """See ``plan_captions``."""
        return plan_captions(options, self._limits, images)

    async def start(
        self, plan: CaptionPlan, pictures: Array, *, client: str = "", deadline: float | None = None
    ) -> Captions:
        """Begin to answer. The captions of a picture run as soon as it is encoded.

        Returns when all captions are with the scheduler, so that an error of the encoder and a
        full queue are known before the answer begins. Cancelling the call stops everything.

        Args:
            plan: from ``plan``.
            pictures: [images, ...] as ``self.pictures`` makes them.
            client: whose request it is.
            deadline: monotonic time at which it is given up.

        Raises:
            QueueFull, DeadlineExceeded, InferenceFailed, ShuttingDown: see ``Scheduler.submit``
                and ``TokenScheduler.submit``.
        """
        answer = self._answer(plan, len(pictures))
        call = CaptionCall(plan=plan, answer=answer, client=client, deadline=deadline)
        jobs: list[Job] = []
        answer.stop_rows = partial(cancel_jobs, self._scheduler, jobs)
        tasks = [
            asyncio.ensure_future(self._begin(call, image, picture, jobs))
            for image, picture in enumerate(pictures)
        ]
        try:
            encoded = await asyncio.gather(*tasks)
        except ServingError as error:
            answer.failed(error)
            raise
        except BaseException:
            await answer.aclose()
            raise
        finally:
            for task in tasks:
                task.cancel()
        answer.timings = encoded[0].timings
        return answer

    async def _begin(
        self, call: CaptionCall, image: int, picture: Array, jobs: list[Job]
    ) -> Finished:
        """Encode one picture and hand its captions to the scheduler; ``jobs`` are those so far."""
        encoded = await self._encoder.encode(picture, call.deadline)
        if not call.answer.over:
            new = self._jobs.make(call, image, _row_of(encoded))
            self._scheduler.submit(new)
            jobs += new
        return encoded

    def _answer(self, plan: CaptionPlan, images: int) -> Captions:
        facts = CaptionFacts(
            model_name=self.facts.model,
            model_version=self.facts.version,
            seed=plan.seed,
            images=images,
            captions=plan.captions,
            prompt_tokens=1 + len(plan.beginning),
            started=self._clock(),
        )
        return Captions(facts, self._metrics, self._clock)


def _row_of(encoded: Finished) -> RowState:
    """What the rows of one picture begin with.

    Copied out of a larger batch, which would else stay in memory until the last of them has left.
    """
    return {
        name: array[0] if array.base is None else array[0].copy()
        for name, array in encoded.outputs.items()
    }
