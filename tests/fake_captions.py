"""Captions without a model: what a wire needs of ``InferenceService``."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import numpy as np

from serving.caption_types import (
    Caption,
    CaptionPiece,
    CaptionRequest,
    Floats,
    Scene,
    VideoRequest,
    VideoResponse,
    Word,
)
from serving.errors import ServingError
from serving.generation_types import FinishReason

SEED = 7
"""Told where a request draws and gives none."""
GRID = (2, 3)
WORDS = ("a", "dog", "on", "grass")


def attention_of(image: int, caption: int, place: int) -> Floats:
    """[2, 3], adding up to 1, different for each word."""
    values = np.arange(1, 7, dtype=np.float32).reshape(GRID)
    values[0, 0] += image + 2 * caption + 4 * place
    return np.asarray(values / values.sum(), np.float32)


def caption_of(image: int, caption: int, *, attention: bool = False) -> Caption:
    """The caption of that number of a picture; the last word is the picture's number."""
    texts = (*WORDS[: 4 - caption % 2], str(image))
    words = tuple(
        Word(
            text,
            -0.25 * (place + 1) - caption,
            attention_of(image, caption, place) if attention else None,
        )
        for place, text in enumerate(texts)
    )
    return Caption(
        text=" ".join(texts),
        words=words,
        log_probability=sum(word.log_probability for word in words) - 0.5,
        finish_reason=FinishReason.LENGTH if caption % 2 else FinishReason.STOP,
    )


class FakeCaptionAnswer:
    """The captions of one request, word by word, one caption after the other."""

    model_version = "3"

    def __init__(self, request: CaptionRequest, service: "FakeCaptions") -> None:
        options = request.options
        self.request = request
        self.model_name = request.model_name
        drawn = options.temperature is not None and options.temperature > 0
        self.seed = (SEED if options.seed is None else options.seed) if drawn else None
        self.images = len(request.images)
        self.captions = options.captions or 1
        self.closed = False
        self._service = service

    async def __aiter__(self) -> AsyncIterator[CaptionPiece]:
        given = 0
        for image in range(self.images):
            for number in range(self.captions):
                whole = caption_of(image, number, attention=self.request.options.attention)
                for word in whole.words:
                    await self._service.run(given)
                    given += 1
                    yield CaptionPiece(image=image, caption=number, word=word)
                yield CaptionPiece(image=image, caption=number, whole=whole)

    async def aclose(self) -> None:
        self.closed = True


@dataclass
class FakeCaptions:
    """What it did, and what it shall do."""

    refusal: ServingError | None = None
    """Raised by ``caption`` and ``caption_video``."""
    fault: Exception | None = None
    """Raised by the iteration, at word ``fault_at`` of the answer."""
    fault_at: int = 0
    gate: asyncio.Semaphore | None = None
    """Words wait for it, if there is one."""
    answers: list[FakeCaptionAnswer] = field(default_factory=list)
    videos: list[VideoRequest] = field(default_factory=list)

    async def caption(self, request: CaptionRequest) -> FakeCaptionAnswer:
        """As ``InferenceService.caption``."""
        if self.refusal is not None:
            raise self.refusal
        self.answers.append(FakeCaptionAnswer(request, self))
        return self.answers[-1]

    async def caption_video(self, request: VideoRequest) -> VideoResponse:
        """As ``InferenceService.caption_video``: two scenes."""
        if self.refusal is not None:
            raise self.refusal
        self.videos.append(request)
        options = request.options
        drawn = options.temperature is not None and options.temperature > 0
        return VideoResponse(
            model_name=request.model_name,
            model_version="3",
            seed=(SEED if options.seed is None else options.seed) if drawn else None,
            duration_s=4.5,
            frames=9,
            scenes=tuple(
                Scene(
                    start_s=2.0 * scene,
                    end_s=2.0 + 2.5 * scene,
                    frame_s=1.0 + 2.0 * scene,
                    captions=tuple(
                        caption_of(scene, number, attention=options.attention)
                        for number in range(options.captions or 1)
                    ),
                )
                for scene in range(2)
            ),
        )

    async def run(self, word: int) -> None:
        """What happens before each word."""
        if self.gate is not None:
            await self.gate.acquire()
        await asyncio.sleep(0)
        if self.fault is not None and word >= self.fault_at:
            raise self.fault

    @property
    def requests(self) -> list[CaptionRequest]:
        """Those that were accepted."""
        return [answer.request for answer in self.answers]
