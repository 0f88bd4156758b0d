"""A request for pictures held against the model: every fault named, every choice made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quartet.image_generation import ImageGenerationTask
from quartet.philox import uniforms
from serving.image_math import move
from serving.image_types import ImageOptions, LatentPoint, LatentSource, Samples
from serving.receipts import draw_seed
from serving.tasks.image_latents import Drawing, LatentRows, Points, latent_rows
from serving.tasks.image_options import (
    ImagePlanLimits,
    chosen_class,
    chosen_prompt,
    direction_step,
    encoded_prompt,
)
from serving.tasks.image_sources import check_source, check_truncation
from serving.types import Array

BLOCK_ROWS = 64
"""Pictures whose noise is drawn at once, where so many are wanted."""


@dataclass(frozen=True, slots=True)
class ImageBatch:
    """Some pictures of a request, as the graph takes them."""

    inputs: Mapping[str, Array]
    points: Sequence[LatentPoint | None]
    """What the z of each was drawn from."""
    class_names: Sequence[str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePlan:
    """What is to be made."""

    task: ImageGenerationTask
    latents: LatentRows
    step: npt.NDArray[np.float64] | None
    """[latent_size] that all directions together add to each z; None: nothing."""
    condition: tuple[int, ...] | int | None
    """Word numbers, or the number of a class; None: no condition, or a class drawn for each."""
    seed: int | None
    """Of ``Samples``."""
    prompt: str | None

    @property
    def count(self) -> int:
        """Pictures."""
        return self.latents.count

    def batch(self, start: int, stop: int) -> ImageBatch:
        """The pictures from ``start`` to before ``stop``."""
        z = self.latents.rows(start, stop)
        if self.step is not None:
            z = move(z, self.step)
        drawn = self.latents.drawn(start, stop)
        points: Sequence[LatentPoint | None] = (None,) * (stop - start)
        if drawn is not None:
            points = [
                LatentPoint(seed, index)
                for seed, index in zip(drawn[0].tolist(), drawn[1].tolist(), strict=True)
            ]
        inputs: dict[str, Array] = {self.task.latent: z}
        names: Sequence[str | None] = (None,) * (stop - start)
        if self.task.condition == "prompt":
            inputs[self.task.condition_input] = np.tile(
                np.array(self.condition, np.int64), (stop - start, 1)
            )
        elif self.task.condition == "class":
            numbers = self._classes(start, stop)
            inputs[self.task.condition_input] = numbers
            names = [self.task.classes[number] for number in numbers]
        return ImageBatch(inputs, points, names)

    def _classes(self, start: int, stop: int) -> npt.NDArray[np.int64]:
        if self.condition is not None:
            return np.full(stop - start, self.condition, np.int64)
        said_by = self.latents.said_by(start, stop)
        return drawn_classes(said_by, self.task.latent_size, len(self.task.classes))


class PlannedPieces:
    """The pictures of a plan in pieces, which are cut from blocks.

    Drawing the noise of one picture takes a quarter of the time of 64, nearly all of it for the
    calls themselves.
    """

    def __init__(self, plan: ImagePlan) -> None:
        """Cut the pictures of ``plan``."""
        self._plan = plan
        self._start = 0
        self._block: ImageBatch | None = None

    def batch(self, start: int, stop: int) -> ImageBatch:
        """See ``ImagePlan.batch``. Quick where ``start`` rises from call to call."""
        block = self._block
        if block is None or not self._start <= start < stop <= self._start + len(block.points):
            self._start = start
            block = self._plan.batch(start, min(self._plan.count, max(stop, start + BLOCK_ROWS)))
            self._block = block
        rows = slice(start - self._start, stop - self._start)
        inputs = {name: array[rows] for name, array in block.inputs.items()}
        return ImageBatch(inputs, block.points[rows], block.class_names[rows])


def drawn_classes(points: Points, latent_size: int, classes: int) -> npt.NDArray[np.int64]:
    """The class of each point: of the uniform number behind those of its z."""
    places = np.full(len(points[0]), latent_size, np.int64)
    u = uniforms(*points, places, 1)[:, 0].astype(np.float64)
    return np.asarray(u * classes, np.int64)


def plan_images(source: LatentSource, options: ImageOptions, limits: ImagePlanLimits) -> ImagePlan:
    """Check everything about a request.

    Args:
        source: where z comes from.
        options: what else is wanted.
        limits: what the model and a request can do.

    Raises:
        InvalidInput: the text begins with the field that is wrong and says what was expected.
    """
    check_source(source, limits)
    task = limits.task
    if options.truncation is not None:
        check_truncation(options.truncation, source)
    step = direction_step(options.directions, limits)
    seed = None
    if isinstance(source, Samples):
        seed = draw_seed() if source.seed is None else source.seed
    prompt = chosen_prompt(options.prompt, limits)
    condition: tuple[int, ...] | int | None = chosen_class(options.class_name, limits)
    if prompt is not None:
        condition = encoded_prompt(prompt, task)
    drawing = Drawing(task.latent_size, options.truncation)
    return ImagePlan(
        task=task,
        latents=latent_rows(source, seed or 0, drawing),
        step=step,
        condition=condition,
        seed=seed,
        prompt=prompt,
    )
