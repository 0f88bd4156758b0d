"""Picture generation: noise through a generator, pictures through its discriminator."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from quartet.image_generation import ImageGenerationTask
from serving.errors import InvalidInput, NotSupported
from serving.image_metrics import ImageMetrics
from serving.image_types import CritiqueRequest, ImageRequest
from serving.request_check import RequestChecker
from serving.scheduler import Finished, Scheduler
from serving.tasks.image_answer import ImageFacts, Images, Pieces
from serving.tasks.image_options import (
    ImagePlanLimits,
    chosen_class,
    chosen_prompt,
    encoded_prompt,
)
from serving.tasks.image_plan import ImagePlan, plan_images
from serving.tasks.image_room import RowRoom
from serving.tasks.picture_input import PictureInput
from serving.types import Array, Datatype, InferRequest, Tensor, Timings

CRITIC_IMAGE = "image"
CRITIC_OUTPUT = "probability"
"""Tensors of the critic's graph; see ``quartet.image_generation``."""
MAX_AHEAD = 4
"""Pieces of one answer at most that are under way or wait for its reader."""
PIECE_BYTES = 4 * 1024 * 1024
"""Of the pixels of one piece, unless a single picture has more: what a slow reader keeps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageGeneratorFacts:
    """What a generator's graphs offer, and what its pictures depend on."""

    model: str
    version: str
    fingerprint: str
    """Of all that pictures depend on but the request, hexadecimal."""
    max_batch_size: int
    """Rows of one run, >= 1."""
    instances: int
    """Runs at once, >= 1."""
    max_queued_rows: int
    """Rows that may wait for the generator."""


class GraphRows:
    """A graph behind the scheduler that all its requests share."""

    def __init__(self, checker: RequestChecker, scheduler: Scheduler, output: str) -> None:
        """Run rows for ``output``, in the batches of ``scheduler``."""
        self._checker = checker
        self._scheduler = scheduler
        self._output = output

    async def run(self, inputs: Mapping[str, Array], deadline: float | None) -> Finished:
        """The output of some rows.

        Args:
            inputs: input name -> array, first axis the batch.
            deadline: monotonic time at which they are given up.

        Raises:
            QueueFull, DeadlineExceeded, InferenceFailed, ShuttingDown: see ``Scheduler.submit``.
        """
        tensors = {name: Tensor(_DATATYPES[array.dtype], array) for name, array in inputs.items()}
        work = self._checker.check(
            InferRequest(model_name="", inputs=tensors, outputs=(self._output,), deadline=deadline)
        )
        return await self._scheduler.submit(work)


@dataclass(frozen=True, slots=True, kw_only=True)
class Critic:
    """The discriminator of a generator."""

    pictures: PictureInput
    """Turns encoded pictures into its rows."""
    graph: GraphRows
    max_batch_size: int
    """Rows of one run, >= 1."""


class ImageGenerator:
    """One model version that makes pictures. Lives on the event loop."""

    def __init__(
        self,
        task: ImageGenerationTask,
        facts: ImageGeneratorFacts,
        graph: GraphRows,
        critic: Critic | None,
        metrics: ImageMetrics,
    ) -> None:
        """Put the parts together."""
        self.task = task
        self.facts = facts
        self._graph = graph
        self._critic = critic
        self._metrics = metrics
        # Enough that each instance finds a full run when it is done with another.
        rows = min(2 * facts.instances * facts.max_batch_size, facts.max_queued_rows // 2)
        self._room = RowRoom(rows)

    def plan(self, request: ImageRequest, *, max_images: int, max_frames: int) -> ImagePlan:
        """See ``plan_images``."""
        limits = self._limits(max_images=max_images, max_frames=max_frames)
        return plan_images(request.source, request.options, limits)

    async def start(self, plan: ImagePlan, deadline: float | None) -> Images:
        """Begin to answer. Returns when the first pictures are made.

        Cancelling the call stops everything.

        Raises:
            QueueFull, DeadlineExceeded, InferenceFailed, ShuttingDown: see ``Scheduler.submit``.
        """
        facts = ImageFacts(
            model_name=self.facts.model,
            model_version=self.facts.version,
            fingerprint=self.facts.fingerprint,
            output=self.task.output,
            deadline=deadline,
        )

        async def run(inputs: Mapping[str, Array]) -> Finished:
            return await self._graph.run(inputs, deadline)

        answer = Images(facts, plan, self.pieces(plan.count), run, self._metrics)
        await answer.begin()
        return answer

    def pieces(self, count: int) -> Pieces:
        """How an answer of ``count`` pictures is cut.

        A few pictures are spread over all that may run at once. Of many, each piece is a full run,
        and so few are ahead, of all answers together, that the queue stays others'.
        """
        facts, picture = self.facts, self.task.height * self.task.width * self.task.channels
        share = -(-count // min(facts.instances, MAX_AHEAD))
        rows = max(1, min(facts.max_batch_size, share, PIECE_BYTES // picture))
        return Pieces(
            rows=rows,
            ahead=min(MAX_AHEAD, facts.instances + 1),
            at_once=facts.max_batch_size,
            room=self._room,
        )

    def critic(self) -> Critic:
        """Raises NotSupported if the model has none."""
        if self._critic is None:
            raise NotSupported(
                f"model {self.facts.model!r} has no discriminator, so it cannot judge pictures"
            )
        return self._critic

    def said(self, request: CritiqueRequest) -> dict[str, Array]:
        """What the critic is told of each picture of ``request``: input name -> [N, ...].

        Raises:
            InvalidInput: a class is missing or unknown, or a prompt has unknown words.
        """
        limits, task = self._limits(), self.task
        number, prompt = (
            chosen_class(request.class_name, limits),
            chosen_prompt(request.prompt, limits),
        )
        if task.condition == "none":
            return {}
        if task.condition == "class" and number is None:
            raise InvalidInput(f"class: expected one of {', '.join(task.classes)}, got none")
        row = number if prompt is None else encoded_prompt(prompt, task)
        return {task.condition_input: np.array([row] * len(request.images), np.int64)}

    async def critique(
        self, pictures: Tensor, said: Mapping[str, Array], deadline: float | None
    ) -> tuple[tuple[float, ...], Timings]:
        """Probabilities that ``pictures`` [N, H, W, C] are real; the times of the first run.

        Raises:
            QueueFull, DeadlineExceeded, InferenceFailed, ShuttingDown: see ``Scheduler.submit``.
        """
        critic = self.critic()
        step = critic.max_batch_size
        inputs = {CRITIC_IMAGE: pictures.data, **said}
        tasks = [
            asyncio.ensure_future(
                critic.graph.run(
                    {name: array[start : start + step] for name, array in inputs.items()}, deadline
                )
            )
            for start in range(0, len(pictures.data), step)
        ]
        try:
            finished: Sequence[Finished] = await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
        found = np.concatenate([one.outputs[CRITIC_OUTPUT] for one in finished])
        return tuple(found.tolist()), finished[0].timings

    def _limits(self, *, max_images: int = 1, max_frames: int = 1) -> ImagePlanLimits:
        return ImagePlanLimits(
            model=self.facts.model, task=self.task, max_images=max_images, max_frames=max_frames
        )


_DATATYPES = {
    np.dtype(np.float32): Datatype.FP32,
    np.dtype(np.int64): Datatype.INT64,
    np.dtype(np.uint8): Datatype.UINT8,
}
"""Of the contract's tensors."""
