"""Requests for generated pictures and what comes back, whatever the wire.

A picture is made of noise z, and z is named by (seed, index), computed from such, or given. The
same request gives the same pictures at any load.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class LatentPoint:
    """One z, see ``quartet.latents``."""

    seed: int
    """0 to 2**63 - 1."""
    index: int = 0
    """0 to 2**32 - 1."""


@dataclass(frozen=True, slots=True)
class Samples:
    """``count`` points of one seed, from ``first`` on."""

    seed: int | None = None
    """None: the server draws one, and tells it."""
    count: int = 1
    first: int = 0
    """Index of the first."""


@dataclass(frozen=True, slots=True)
class SeedList:
    """One point of each of several seeds."""

    seeds: tuple[int, ...]
    index: int = 0
    """Of each."""


@dataclass(frozen=True, slots=True)
class GivenLatents:
    """z itself."""

    z: Floats
    """[N, latent_size], all finite."""


@dataclass(frozen=True, slots=True)
class Interpolation:
    """A path through two or more points, along great circles (slerp; Shoemake 1985, White 2016)."""

    points: tuple[LatentPoint, ...]
    frames: int = 16
    """Pictures in all, at equal distances in time; the points are among them."""
    closed: bool = False
    """Go back to the first point; it is not repeated at the end."""


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """One picture of a weighted sum of points, divided by the root of its weights' squares' sum.

    The division keeps the sum of independent normal z standard normal.
    """

    terms: tuple[tuple[float, LatentPoint], ...]
    """Weight and point of each; at least one."""


LatentSource = Samples | SeedList | GivenLatents | Interpolation | Arithmetic
"""Where z comes from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageOptions:
    """What else decides about a picture. None leaves the choice to the model."""

    truncation: float | None = None
    """No number of z that is drawn is further than this from 0; > 0."""
    class_name: str | None = None
    """Name of a class, or its number in decimal; None: drawn with each picture's seed and index, or
    at random for a z that was given."""
    prompt: str | None = None
    """What the picture should show; None: the model's own."""
    directions: Mapping[str, float] = field(default_factory=dict)
    """Name of a direction (or of its opposite) -> strength, 1 being the model's step; any sign."""


@dataclass(slots=True, kw_only=True)
class ImageRequest:
    """Pictures wanted of one generator."""

    model_name: str
    model_version: str = ""
    source: LatentSource
    options: ImageOptions = field(default_factory=ImageOptions)
    deadline: float | None = None
    """``time.monotonic()`` time after which nobody waits for the answer."""
    id: str = ""
    protocol: str = "http"
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedImage:
    """One picture."""

    number: int
    """Its place in the answer, from 0."""
    pixels: Pixels
    """[height, width, 1 or 3]."""
    point: LatentPoint | None = None
    """What z was drawn from; None for one that was computed or given."""
    class_name: str | None = None
    """Of a generator that is told a class."""


class ImageAnswer(Protocol):
    """An answer under way. Iterating gives the pictures in order.

    Few pictures are made ahead of the reader, so that a slow one fills no memory and thousands for
    one client hold up nobody else. Leaving the iteration (``aclose``, cancellation) stops the work.
    """

    model_name: str
    model_version: str
    fingerprint: str
    """Hexadecimal; the same request to a model of the same fingerprint gives the same pixels."""
    seed: int | None
    """Of ``Samples``, drawn by the server or not; None otherwise."""
    count: int
    """Pictures in all."""
    height: int
    width: int
    channels: int
    """1 or 3."""
    prompt: str | None
    """That was used; None for a model without."""

    def __aiter__(self) -> AsyncIterator[GeneratedImage]:
        """Pictures; raises ServingError if the engine failed or the deadline passed."""
        ...

    async def aclose(self) -> None:
        """Stop what still runs. Nothing happens if all is done."""
        ...


@dataclass(slots=True, kw_only=True)
class CritiqueRequest:
    """A generator's discriminator is asked whether pictures are real."""

    model_name: str
    model_version: str = ""
    images: tuple[bytes, ...]
    """Encoded files, at least one."""
    class_name: str | None = None
    """What is said of all of them; needed where the model has classes."""
    prompt: str | None = None
    """Likewise where it has prompts; None: the model's own."""
    deadline: float | None = None
    id: str = ""
    protocol: str = "http"
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CritiqueResponse:
    """What the discriminator thinks."""

    model_name: str
    model_version: str
    probabilities: tuple[float, ...]
    """That each picture is real rather than generated, 0 to 1, in the order of the request."""
