"""A request for pictures held against the model: every fault named, every choice made."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quartet.image_generation import ImageGenerationTask
from quartet.philox import uniforms
from serving.errors import InvalidInput
from serving.image_math import move
from serving.image_types import (
    Arithmetic,
    Floats,
    GivenLatents,
    ImageOptions,
    Interpolation,
    LatentPoint,
    LatentSource,
    Samples,
    SeedList,
)
from serving.receipts import draw_seed
from serving.tasks.image_latents import Drawing, LatentRows, Points, latent_rows, merged_terms
from serving.tasks.option_checks import check_range, check_seed
from serving.types import Array

MAX_INDEX = 2**32 - 1
"""Largest index of a point; see ``quartet.latents``."""
MAX_POINTS = 1024
"""Points of one way or sum."""
MAX_STRENGTH = 100.0
"""Of a direction. Far beyond it nothing is left of z but the direction."""
MAX_PROMPT = 1000
"""Characters of a prompt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePlanLimits:
    """What a model can do, and how much one request may ask for."""

    model: str
    task: ImageGenerationTask
    max_images: int
    """Pictures of one request."""
    max_frames: int
    """Pictures of one way."""


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
    _check_source(source, limits)
    task = limits.task
    if options.truncation is not None:
        _check_truncation(options.truncation, source)
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


def chosen_class(name: str | None, limits: ImagePlanLimits) -> int | None:
    """Number of the class that ``name`` means; None if it is not given.

    Raises:
        InvalidInput: there is no such class, or the model is not told one.
    """
    if name is None:
        return None
    classes = limits.task.classes
    if limits.task.condition != "class":
        raise InvalidInput(f"class: model {limits.model!r} is not told a class; leave it out")
    if name in classes:
        return classes.index(name)
    # Longer numbers name no class, and Python refuses to convert very long ones.
    if name.isdecimal() and name.isascii() and len(name) < 10 and int(name) < len(classes):
        return int(name)
    raise InvalidInput(
        f"class: expected {', '.join(classes)} or a number below {len(classes)}, got {name!r:.60}"
    )


def chosen_prompt(text: str | None, limits: ImagePlanLimits) -> str | None:
    """What is shown: the model's own where ``text`` is None; None for a model without prompts.

    Raises:
        InvalidInput: the model takes none.
    """
    if limits.task.condition == "prompt":
        return limits.task.default_prompt if text is None else text
    if text is not None:
        raise InvalidInput(f"prompt: model {limits.model!r} takes no prompts; leave it out")
    return None


def encoded_prompt(text: str, task: ImageGenerationTask) -> tuple[int, ...]:
    """Word numbers of ``text``. Raises InvalidInput naming the words at fault."""
    if len(text) > MAX_PROMPT:
        raise InvalidInput(f"prompt: expected at most {MAX_PROMPT} characters, got {len(text)}")
    try:
        return task.encode_prompt(text)
    except ValueError as error:
        raise InvalidInput(str(error)) from None


def direction_step(
    strengths: Mapping[str, float], limits: ImagePlanLimits
) -> npt.NDArray[np.float64] | None:
    """What all ``strengths`` together add to z, [latent_size]; None: nothing.

    Raises:
        InvalidInput: a direction is unknown, or its strength out of range.
    """
    known = {
        name: (sign * direction.step, direction.vector)
        for direction in limits.task.directions
        for name, sign in ((direction.opposite, -1.0), (direction.name, 1.0))
        if name
    }
    total = np.zeros(limits.task.latent_size, np.float64)
    for name, strength in sorted(strengths.items()):
        if name not in known:
            has = f"it has {', '.join(sorted(known))}" if known else "it has none"
            raise InvalidInput(f"direction: model {limits.model!r} has no {name!r:.60}; {has}")
        check_range(f"strength of direction {name!r}", strength, -MAX_STRENGTH, MAX_STRENGTH)
        scale, vector = known[name]
        total += strength * scale * np.asarray(vector, np.float64)
    return total if strengths else None


def _check_truncation(truncation: float, source: LatentSource) -> None:
    if isinstance(source, GivenLatents):
        raise InvalidInput("truncation: bounds z that is drawn, but z was given; leave it out")
    if not (truncation > 0 and math.isfinite(truncation)):
        raise InvalidInput(f"truncation: expected a number above 0, got {truncation}")


def _check_source(source: LatentSource, limits: ImagePlanLimits) -> None:
    if isinstance(source, Samples):
        _check_samples(source, limits)
    elif isinstance(source, SeedList):
        check_range("number of seeds", len(source.seeds), 1, limits.max_images)
        for seed in source.seeds:
            check_seed(seed)
        check_range("index", source.index, 0, MAX_INDEX)
    elif isinstance(source, GivenLatents):
        _check_given(source.z, limits)
    elif isinstance(source, Interpolation):
        check_range("number of points to interpolate", len(source.points), 2, MAX_POINTS)
        _check_points(source.points)
        _check_frames(source, limits)
    else:
        _check_sum(source)


def _check_samples(source: Samples, limits: ImagePlanLimits) -> None:
    check_range("number of pictures", source.count, 1, limits.max_images)
    if source.seed is not None:
        check_seed(source.seed)
    check_range("index", source.first, 0, MAX_INDEX)
    if source.first + source.count - 1 > MAX_INDEX:
        raise InvalidInput(
            f"index: {source.count} pictures from index {source.first} on go beyond {MAX_INDEX}, "
            "the last index"
        )


def _check_given(z: Floats, limits: ImagePlanLimits) -> None:
    size = limits.task.latent_size
    if z.ndim != 2 or z.shape[1] != size:
        raise InvalidInput(f"z: expected shape [pictures, {size}], got {list(z.shape)}")
    check_range("number of pictures", len(z), 1, limits.max_images)
    with np.errstate(over="ignore"):
        bad = np.argwhere(~np.isfinite(np.asarray(z, np.float32)))
    if len(bad):
        row, column = bad[0].tolist()
        raise InvalidInput(f"z: expected finite float32 numbers, got {z[row, column]} in row {row}")


def _check_points(points: Sequence[LatentPoint]) -> None:
    for point in points:
        check_seed(point.seed)
        check_range("index", point.index, 0, MAX_INDEX)


def _check_frames(source: Interpolation, limits: ImagePlanLimits) -> None:
    least, most = len(source.points), min(limits.max_frames, limits.max_images)
    if not least <= source.frames <= most:
        raise InvalidInput(f"frames: expected {least} (one a point) to {most}, got {source.frames}")


def _check_sum(source: Arithmetic) -> None:
    check_range("number of terms of arithmetic", len(source.terms), 1, MAX_POINTS)
    _check_points([point for _, point in source.terms])
    for weight, _ in source.terms:
        if not math.isfinite(weight):
            raise InvalidInput(f"arithmetic: expected finite weights, got {weight}")
    weights = merged_terms(source).values()
    if not weights or not all(map(math.isfinite, weights)):
        raise InvalidInput("arithmetic: expected weights that do not cancel out or overflow")
