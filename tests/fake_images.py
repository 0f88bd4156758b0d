"""Generated pictures without a model: what a wire needs of ``InferenceService``."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import numpy as np

from serving.errors import ServingError
from serving.image_types import (
    CritiqueRequest,
    CritiqueResponse,
    GeneratedImage,
    GivenLatents,
    ImageRequest,
    Interpolation,
    LatentPoint,
    LatentSource,
    Pixels,
    Samples,
    SeedList,
)
from serving.picture_files import PictureForm

SEED = 7
"""Told where a request draws and gives none."""
SIZE = (4, 3, 3)
"""Height, width and channels."""
FINGERPRINT = "00c0ffee"


def pixels_of(number: int) -> Pixels:
    """[4, 3, 3], different for each number."""
    values = np.arange(np.prod(SIZE), dtype=np.int64) + 31 * number
    return np.asarray(values.reshape(SIZE) % 251, np.uint8)


def points_of(source: LatentSource) -> list[LatentPoint | None]:
    """What each picture is drawn from."""
    match source:
        case Samples(seed, count, first):
            drawn = SEED if seed is None else seed
            return [LatentPoint(drawn, first + place) for place in range(count)]
        case SeedList(seeds, index):
            return [LatentPoint(seed, index) for seed in seeds]
        case GivenLatents(z):
            return [None] * len(z)
        case Interpolation(_, frames):
            return [None] * frames
        case _:
            return [None]


class FakeEncoding:
    """Files that are the kind, the quality and the pixels, one after the other."""

    async def picture(self, pixels: Pixels, form: PictureForm) -> bytes:
        """As ``PictureEncoding.picture``."""
        await asyncio.sleep(0)
        return f"{form.kind} {form.quality} ".encode() + pixels.tobytes()


class FakeImageAnswer:
    """The pictures of one request."""

    model_version = "3"
    fingerprint = FINGERPRINT
    height, width, channels = SIZE

    def __init__(self, request: ImageRequest, service: "FakeImages") -> None:
        self.request = request
        self.model_name = request.model_name
        self.points = points_of(request.source)
        self.count = len(self.points)
        source = request.source
        self.seed = None
        if isinstance(source, Samples):
            self.seed = SEED if source.seed is None else source.seed
        self.prompt = request.options.prompt
        self.closed = False
        self._service = service

    async def __aiter__(self) -> AsyncIterator[GeneratedImage]:
        for number, point in enumerate(self.points):
            await self._service.run(number)
            yield GeneratedImage(
                number=number,
                pixels=pixels_of(number),
                point=point,
                class_name=self.request.options.class_name,
            )

    async def aclose(self) -> None:
        self.closed = True


@dataclass
class FakeImages:
    """What it did, and what it shall do."""

    refusal: ServingError | None = None
    """Raised by ``generate_images`` and ``critique``."""
    fault: Exception | None = None
    """Raised by the iteration, at picture ``fault_at``."""
    fault_at: int = 0
    gate: asyncio.Semaphore | None = None
    """Pictures wait for it, if there is one."""
    made: int = 0
    """Pictures so far, of all answers."""
    answers: list[FakeImageAnswer] = field(default_factory=list)
    critiques: list[CritiqueRequest] = field(default_factory=list)

    async def generate_images(self, request: ImageRequest) -> FakeImageAnswer:
        """As ``InferenceService.generate_images``."""
        if self.refusal is not None:
            raise self.refusal
        self.answers.append(FakeImageAnswer(request, self))
        return self.answers[-1]

    async def critique(self, request: CritiqueRequest) -> CritiqueResponse:
        """As ``InferenceService.critique``: 1 / length of each file."""
        if self.refusal is not None:
            raise self.refusal
        self.critiques.append(request)
        return CritiqueResponse(
            model_name=request.model_name,
            model_version="3",
            probabilities=tuple(1 / len(image) for image in request.images),
        )

    async def run(self, number: int) -> None:
        """What happens before each picture."""
        if self.gate is not None:
            await self.gate.acquire()
        await asyncio.sleep(0)
        if self.fault is not None and number >= self.fault_at:
            raise self.fault
        self.made += 1

    @property
    def requests(self) -> list[ImageRequest]:
        """Those that were accepted."""
        return [answer.request for answer in self.answers]
