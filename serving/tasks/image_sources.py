"""Where the noise of a request for pictures comes from, held against what there is."""

import math
from collections.abc import Sequence

import numpy as np

from serving.errors import InvalidInput
from serving.image_types import (
    Arithmetic,
    Floats,
    GivenLatents,
    Interpolation,
    LatentPoint,
    LatentSource,
    Samples,
    SeedList,
)
from serving.tasks.image_latents import merged_terms
from serving.tasks.image_options import ImagePlanLimits
from serving.tasks.option_checks import check_range, check_seed

MAX_INDEX = 2**32 - 1
"""Largest index of a point; see ``quartet.latents``."""
MAX_POINTS = 1024
"""Points of one way or sum."""


def check_truncation(truncation: float, source: LatentSource) -> None:
    """Refuse a bound that means nothing. Raises InvalidInput."""
    if isinstance(source, GivenLatents):
        raise InvalidInput("truncation: bounds z that is drawn, but z was given; leave it out")
    if not (truncation > 0 and math.isfinite(truncation)):
        raise InvalidInput(f"truncation: expected a number above 0, got {truncation}")


def check_source(source: LatentSource, limits: ImagePlanLimits) -> None:
    """Refuse points that do not exist, and more pictures than a request may ask for.

    Raises:
        InvalidInput: the text begins with the field that is wrong and says what was expected.
    """
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
