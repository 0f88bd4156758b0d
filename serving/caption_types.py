"""Requests for captions and what comes back, whatever the wire.

Log-probabilities are in nats, under the model's own distribution. Times in a video are seconds from
its first frame.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from serving.generation_types import FinishReason

Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionOptions:
    """How the captions of each picture are found. None leaves the choice to the model.

    Without ``temperature`` a beam search gives the best captions; with one they are drawn, each
    with random numbers of its own.
    """

    captions: int | None = None
    """Captions of each picture."""
    beam_width: int | None = None
    """Width of the search; 1 always takes the likeliest word. Not with ``temperature``."""
    length_penalty: float | None = None
    """The score is the sum of log-probabilities over length ** length_penalty. Not with
    ``temperature``."""
    min_tokens: int | None = None
    """Words at least, those of ``beginning`` included."""
    max_tokens: int | None = None
    """Words at most, likewise."""
    temperature: float | None = None
    """Draw words in place of searching; 0 always takes the likeliest."""
    top_k: int | None = None
    """Draw from the k likeliest words."""
    top_p: float | None = None
    """Draw from the likeliest words whose probabilities reach this sum."""
    seed: int | None = None
    """Of the draw; None: the server draws one, and tells it."""
    beginning: str = ""
    """Words that every caption begins with."""
    attention: bool = False
    """Give the attention of every word."""


@dataclass(slots=True, kw_only=True)
class CaptionRequest:
    """Captions wanted of one or more pictures, still encoded."""

    model_name: str
    model_version: str = ""
    images: tuple[bytes, ...]
    """At least one. Only the first frame of an animation is looked at."""
    options: CaptionOptions = field(default_factory=CaptionOptions)
    client: str = ""
    """Whose request it is: waiting captions of different clients take turns."""
    deadline: float | None = None
    """``time.monotonic()`` time after which nobody waits for the answer."""
    id: str = ""
    """The client's own id, echoed in the answer; empty if none."""
    protocol: str = "http"
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of a video."""

    time_s: float
    data: bytes
    """An encoded picture."""


@dataclass(slots=True, kw_only=True)
class VideoRequest:
    """Captions wanted of the scenes of one video."""

    model_name: str
    model_version: str = ""
    video: bytes = b""
    """An animated GIF or WebP, or MP4; empty if there are ``frames``."""
    frames: tuple[Frame, ...] = ()
    """In place of ``video``, by ascending time."""
    options: CaptionOptions = field(default_factory=CaptionOptions)
    client: str = ""
    deadline: float | None = None
    id: str = ""
    protocol: str = "http"
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a caption."""

    text: str
    log_probability: float
    attention: Floats | None = None
    """[rows, columns] of the model's grid over the whole picture, adding up to 1; None if it was
    not asked for, or the model has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caption:
    """One whole caption."""

    text: str
    """Its words, with spaces between."""
    words: tuple[Word, ...]
    """Those of the beginning included."""
    log_probability: float
    """Sum over its words and the end that stopped it."""
    finish_reason: FinishReason


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionPiece:
    """The next word of one caption, or its end."""

    image: int
    """Which picture, from 0."""
    caption: int
    """Which of its captions, from 0, best first where a search was made."""
    word: Word | None = None
    """None: the caption is over, and ``whole`` is given."""
    whole: Caption | None = None


class CaptionAnswer(Protocol):
    """An answer under way. Iterating gives the words of all captions as they are certain.

    Words that are drawn, and those of a search of width 1, come one by one; those of a wider search
    when it is over. Leaving the iteration (``aclose``, cancellation) stops what still runs.
    """

    model_name: str
    model_version: str
    seed: int | None
    """Of the draw; None if nothing was drawn."""
    images: int
    captions: int
    """Of each picture, at most: a narrow search may find fewer."""

    def __aiter__(self) -> AsyncIterator[CaptionPiece]:
        """Pieces; raises ServingError if the engine failed or the deadline passed."""
        ...

    async def aclose(self) -> None:
        """Stop what still runs. Nothing happens if all is done."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionResponse:
    """All captions of a request."""

    model_name: str
    model_version: str
    seed: int | None
    results: tuple[tuple[Caption, ...], ...]
    """For each picture its captions, best first; drawn ones in the order of their numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A part of a video in which little changes."""

    start_s: float
    end_s: float
    frame_s: float
    """Time of the frame that was captioned."""
    captions: tuple[Caption, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoResponse:
    """Captions of a video's scenes, in order."""

    model_name: str
    model_version: str
    seed: int | None
    duration_s: float
    frames: int
    """Looked at."""
    scenes: tuple[Scene, ...]


async def collect_captions(answer: CaptionAnswer) -> CaptionResponse:
    """Wait for all captions of ``answer``. Raises as its iteration."""
    found: list[dict[int, Caption]] = [{} for _ in range(answer.images)]
    try:
        async for piece in answer:
            if piece.whole is not None:
                found[piece.image][piece.caption] = piece.whole
    finally:
        await answer.aclose()
    return CaptionResponse(
        model_name=answer.model_name,
        model_version=answer.model_version,
        seed=answer.seed,
        results=tuple(tuple(c for _, c in sorted(captions.items())) for captions in found),
    )
