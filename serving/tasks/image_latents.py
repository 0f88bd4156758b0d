"""Where the noise of each picture of a request comes from, made in pieces as it is needed."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from quartet.latents import latents
from serving.image_math import path_shares, slerp, weighted_sum
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

Points = tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]
"""Seeds and indices, [B] each."""


class LatentRows(Protocol):
    """The noise of all pictures of one request."""

    @property
    def count(self) -> int:
        """Pictures."""
        ...

    def rows(self, start: int, stop: int) -> Floats:
        """float32 [stop - start, latent_size] of the pictures from ``start`` on."""
        ...

    def drawn(self, start: int, stop: int) -> Points | None:
        """What these were drawn from; None if they were computed or given."""
        ...

    def said_by(self, start: int, stop: int) -> Points:
        """Whose number decides what is said of each picture if the request does not say it.

        A way and a sum have one class throughout, that of their first point.
        """
        ...


@dataclass(frozen=True, slots=True)
class Drawing:
    """How noise is drawn for a model and a request."""

    size: int
    truncation: float | None

    def draw(self, points: Points) -> Floats:
        """float32 [B, size]."""
        return latents(*points, self.size, self.truncation)


def latent_rows(source: LatentSource, seed: int, drawing: Drawing) -> LatentRows:
    """The noise of a request that was checked; ``seed`` is that of ``Samples``."""
    if isinstance(source, Samples):
        return _SampleRows(source, seed, drawing)
    if isinstance(source, SeedList):
        return _SeedRows(np.array(source.seeds, np.uint64), source.index, drawing)
    if isinstance(source, GivenLatents):
        return _GivenRows(np.asarray(source.z, np.float32))
    if isinstance(source, Interpolation):
        return _PathRows(source, drawing)
    return _SumRow(source, drawing)


@dataclass(frozen=True, slots=True)
class _SampleRows:
    source: Samples
    seed: int
    drawing: Drawing

    @property
    def count(self) -> int:
        return self.source.count

    def rows(self, start: int, stop: int) -> Floats:
        return self.drawing.draw(self.drawn(start, stop))

    def drawn(self, start: int, stop: int) -> Points:
        first = self.source.first
        indices = np.arange(first + start, first + stop, dtype=np.int64)
        return np.full(stop - start, self.seed, np.uint64), indices

    def said_by(self, start: int, stop: int) -> Points:
        return self.drawn(start, stop)


@dataclass(frozen=True, slots=True)
class _SeedRows:
    seeds: npt.NDArray[np.uint64]
    index: int
    drawing: Drawing

    @property
    def count(self) -> int:
        return len(self.seeds)

    def rows(self, start: int, stop: int) -> Floats:
        return self.drawing.draw(self.drawn(start, stop))

    def drawn(self, start: int, stop: int) -> Points:
        return self.seeds[start:stop], np.full(stop - start, self.index, np.int64)

    def said_by(self, start: int, stop: int) -> Points:
        return self.drawn(start, stop)


@dataclass(frozen=True, slots=True)
class _GivenRows:
    z: Floats

    @property
    def count(self) -> int:
        return len(self.z)

    def rows(self, start: int, stop: int) -> Floats:
        return self.z[start:stop]

    def drawn(self, start: int, stop: int) -> None:
        return None

    def said_by(self, start: int, stop: int) -> Points:
        return np.zeros(stop - start, np.uint64), np.arange(start, stop, dtype=np.int64)


class _PathRows:
    """Frames of a way through points."""

    def __init__(self, source: Interpolation, drawing: Drawing) -> None:
        self._first = source.points[0]
        self._points = drawing.draw(_arrays(source.points))
        self._leg, self._share = path_shares(
            len(source.points), source.frames, closed=source.closed
        )

    @property
    def count(self) -> int:
        return len(self._leg)

    def rows(self, start: int, stop: int) -> Floats:
        leg, share = self._leg[start:stop], self._share[start:stop]
        ends = self._points[(leg + 1) % len(self._points)]
        return slerp(self._points[leg], ends, share)

    def drawn(self, start: int, stop: int) -> None:
        return None

    def said_by(self, start: int, stop: int) -> Points:
        return _arrays((self._first,) * (stop - start))


class _SumRow:
    """One picture of a sum of points."""

    def __init__(self, source: Arithmetic, drawing: Drawing) -> None:
        merged = merged_terms(source)
        self._first = source.terms[0][1]
        self._z = weighted_sum(tuple(merged.values()), drawing.draw(_arrays(tuple(merged))))

    @property
    def count(self) -> int:
        return 1

    def rows(self, start: int, stop: int) -> Floats:
        return self._z[None][start:stop]

    def drawn(self, start: int, stop: int) -> None:
        return None

    def said_by(self, start: int, stop: int) -> Points:
        return _arrays((self._first,) * (stop - start))


def merged_terms(source: Arithmetic) -> dict[LatentPoint, float]:
    """Point -> its weights' sum, where that is not 0.

    A point that stands twice is not independent of itself: the sum's spread follows from the
    weight that it has in all.
    """
    merged: dict[LatentPoint, float] = {}
    for weight, point in source.terms:
        merged[point] = merged.get(point, 0.0) + weight
    return {point: weight for point, weight in merged.items() if weight}


def _arrays(points: tuple[LatentPoint, ...]) -> Points:
    return (
        np.array([point.seed for point in points], np.uint64),
        np.array([point.index for point in points], np.int64),
    )
