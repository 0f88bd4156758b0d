"""An answer under way of a request for captions: the words of all pictures as they are certain."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import fsum

from serving.caption_types import Caption, CaptionPiece, Word
from serving.generation_metrics import GenerationMetrics
from serving.generation_types import FinishReason
from serving.tasks.answer import Answer, AnswerSize
from serving.types import Timings


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionFacts:
    """What is known before anything is written."""

    model_name: str
    model_version: str
    seed: int | None
    images: int
    captions: int
    """Of each picture."""
    prompt_tokens: int
    """Symbols that are read for each picture."""
    started: float
    """When the request came, on the answer's clock."""


class Captions(Answer[CaptionPiece]):
    """A ``CaptionAnswer``. One reader, one event loop."""

    def __init__(
        self,
        facts: CaptionFacts,
        metrics: GenerationMetrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Wait for the words of all captions; ``clock`` gives seconds."""
        texts = facts.images * facts.captions
        size = AnswerSize(
            prompt_tokens=facts.images * facts.prompt_tokens,
            given=texts,
            written=texts,
            started=facts.started,
        )
        super().__init__(size, deque(), metrics, clock)
        self.model_name = facts.model_name
        self.model_version = facts.model_version
        self.seed = facts.seed
        self.images = facts.images
        self.captions = facts.captions
        self.timings: Timings | None = None
        """Of the first picture's way through the encoder."""

    def give(self, piece: CaptionPiece) -> None:
        """A word or the end of a caption, for the reader."""
        self._deliver(piece, last=piece.whole is not None)

    def lacks(self, captions: int) -> None:
        """So many of the captions wanted will not come: the search of a picture found fewer."""
        self._to_write -= captions
        self._to_give -= captions
        self._wake()


@dataclass(frozen=True, slots=True)
class CaptionEnd:
    """Why a caption is over."""

    reason: FinishReason
    log_probability: float
    """Of the symbol that stopped it, nats; 0 if none did."""


class PictureCaptions:
    """The captions of one picture on their way into an answer, behind the beginning's words."""

    def __init__(self, answer: Captions, image: int, *, awaits_beginning: bool) -> None:
        """Bring words to ``answer``.

        Args:
            answer: takes them.
            image: number of the picture.
            awaits_beginning: hold all words back until ``begin``.
        """
        self.answer = answer
        self.image = image
        self._beginning: tuple[Word, ...] | None = None if awaits_beginning else ()
        self._held: list[tuple[int, tuple[Word, ...], CaptionEnd | None]] = []
        self._words: dict[int, tuple[Word, ...]] = {}
        """Caption -> its words so far."""

    def begin(self, words: tuple[Word, ...]) -> None:
        """The words that every caption begins with have been scored."""
        self._beginning = words
        held, self._held = self._held, []
        for part in held:
            self.add(*part)

    def add(self, caption: int, words: tuple[Word, ...], end: CaptionEnd | None) -> None:
        """The next words of a caption, and its end if they are the last."""
        if self._beginning is None:
            self._held.append((caption, words, end))
            return
        before = self._words.get(caption)
        if before is None:
            before, words = (), self._beginning + words
        self._words[caption] = before + words
        for word in words:
            self.answer.give(CaptionPiece(image=self.image, caption=caption, word=word))
        if end is not None:
            whole = _whole(self._words.pop(caption), end)
            self.answer.finished(end.reason.value)
            self.answer.give(CaptionPiece(image=self.image, caption=caption, whole=whole))


def _whole(words: tuple[Word, ...], end: CaptionEnd) -> Caption:
    return Caption(
        text=" ".join(word.text for word in words),
        words=words,
        log_probability=fsum((*(word.log_probability for word in words), end.log_probability)),
        finish_reason=end.reason,
    )
