"""A request for captions held against the model: every fault named, every choice made."""

import re
from dataclasses import dataclass

from quartet.artifact import ImageCaptioningTask
from serving.caption_types import CaptionOptions
from serving.errors import InvalidInput
from serving.generation_types import Sampling
from serving.receipts import draw_seed
from serving.tasks.option_checks import (
    MAX_BEAMS,
    check_length_penalty,
    check_range,
    check_seed,
    checked_sampling,
)
from serving.types import MAX_IMAGES

MAX_CAPTIONS = MAX_BEAMS
"""Captions of each picture, drawn or searched for."""
MAX_ATTENTION = 4_000_000
"""Numbers of all attention maps of one answer: a few bytes each until the client has read them,
and some ten characters each in an answer as text."""
MAX_BEGINNING = 10_000
"""Characters of a beginning."""

_REMOVED = re.compile(r"[^a-z0-9\s]")
GREEDY = Sampling(temperature=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionLimits:
    """What a model can do."""

    model: str
    task: ImageCaptioningTask
    places: int
    """Of its attention; 0: it has none."""
    max_beams: int
    """Widest search."""
    max_rows: int = 1024
    """Rows that may wait at once: a request of more could never be taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionPlan:
    """What is to be done for each picture."""

    captions: int
    """To be given; a search may find fewer."""
    width: int | None
    """Of the search, >= 2; None: captions are written row by row."""
    length_penalty: float
    """Of the search."""
    sampling: Sampling
    """Of rows."""
    min_tokens: int
    """Words behind the beginning, before which no caption ends."""
    max_tokens: int
    """Symbols behind the beginning, >= 1; what stops a caption counts too."""
    beginning: tuple[int, ...]
    """Words that every caption begins with."""
    seed: int | None
    """Of drawn captions; None: nothing is drawn."""
    attention: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """How captions are found; see ``CaptionPlan``."""

    captions: int
    width: int | None = None
    length_penalty: float = 1.0
    sampling: Sampling = GREEDY


def plan_captions(options: CaptionOptions, limits: CaptionLimits, images: int) -> CaptionPlan:
    """Check everything about a request but its pictures.

    Args:
        options: what is wanted.
        limits: what the model can do.
        images: how many pictures there are.

    Raises:
        InvalidInput: the text begins with the field that is wrong and says what was expected.
    """
    check_range("images", images, 1, MAX_IMAGES)
    if options.captions is not None:
        check_range("captions", options.captions, 1, MAX_CAPTIONS)
    if options.seed is not None:
        check_seed(options.seed)
    beginning = _beginning(options.beginning, limits.task)
    least, most = _lengths(options, limits.task, len(beginning))
    way = _search(options, limits) if options.temperature is None else _draw(options, limits)
    _check_rows(limits, images, way.width or way.captions)
    if options.attention:
        _check_attention(limits, images * (way.width or way.captions) * most)
    seed = None
    if way.sampling.temperature:
        seed = draw_seed() if options.seed is None else options.seed
    return CaptionPlan(
        captions=way.captions,
        width=way.width,
        length_penalty=way.length_penalty,
        sampling=way.sampling,
        min_tokens=max(0, least - len(beginning)),
        max_tokens=most - len(beginning),
        beginning=beginning,
        seed=seed,
        attention=options.attention,
    )


def _beginning(text: str, task: ImageCaptioningTask) -> tuple[int, ...]:
    """The words of ``text``, made as those of the captions that the model learnt from."""
    if len(text) > MAX_BEGINNING:
        raise InvalidInput(
            f"beginning: expected at most {MAX_BEGINNING} characters, got {len(text)}"
        )
    words = _REMOVED.sub("", text.lower()).split()
    if not words:
        return ()
    others = {task.begin, *task.stop, *task.hidden}
    ids = {word: index for index, word in enumerate(task.vocabulary) if word not in others}
    for word in words:
        if word not in ids:
            raise InvalidInput(
                f"beginning: the model does not know the word {word!r:.60}; "
                f"expected some of its {len(ids)} words"
            )
    return tuple(ids[word] for word in words)


def _lengths(options: CaptionOptions, task: ImageCaptioningTask, begun: int) -> tuple[int, int]:
    """The least and the greatest length in words, the ``begun`` ones of the beginning included."""
    most = options.max_tokens
    if most is None:
        most = min(task.defaults.max_tokens, task.max_tokens)
    check_range("max_tokens", most, 1, task.max_tokens)
    if most <= begun:
        raise InvalidInput(
            f"max_tokens: expected more than the {begun} words of beginning, got {most}"
        )
    least = options.min_tokens
    if least is None:
        least = min(task.defaults.min_tokens, most)
    if not 0 <= least <= most:
        raise InvalidInput(f"min_tokens: expected 0 to max_tokens = {most}, got {least}")
    return least, most


def _search(options: CaptionOptions, limits: CaptionLimits) -> _Way:
    for name in ("top_k", "top_p"):
        if getattr(options, name) is not None:
            raise InvalidInput(
                f"{name}: has no effect on a beam search; leave it out or give a temperature"
            )
    defaults = limits.task.defaults
    penalty = options.length_penalty
    penalty = defaults.length_penalty if penalty is None else penalty
    check_length_penalty(penalty)
    width = options.beam_width
    if width is None:
        width = min(max(defaults.beam_width, options.captions or 1), limits.max_beams)
    check_range("beam_width", width, 1, limits.max_beams)
    captions = options.captions
    if captions is None:
        captions = min(defaults.captions, width)
    if captions > width:
        raise InvalidInput(
            f"captions: expected at most beam_width = {width}, got {captions}; "
            f"this model's beam_width may be {limits.max_beams}"
        )
    # The likeliest word at each step is what a row of temperature 0 writes, word by word.
    return _Way(captions=captions, width=width if width > 1 else None, length_penalty=penalty)


def _draw(options: CaptionOptions, limits: CaptionLimits) -> _Way:
    for name in ("beam_width", "length_penalty"):
        if getattr(options, name) is not None:
            raise InvalidInput(
                f"{name}: captions of a temperature are drawn, not searched for; leave one out"
            )
    sampling = checked_sampling(
        0.0 if options.temperature is None else options.temperature,
        options.top_k or 0,
        1.0 if options.top_p is None else options.top_p,
        len(limits.task.vocabulary),
    )
    if sampling.temperature:
        return _Way(captions=options.captions or limits.task.defaults.captions, sampling=sampling)
    if options.captions not in (None, 1):
        raise InvalidInput(
            f"captions: at temperature 0 all would be the same, expected 1, got {options.captions}"
        )
    return _Way(captions=1)


def _check_rows(limits: CaptionLimits, images: int, rows: int) -> None:
    if images * rows > limits.max_rows:
        raise InvalidInput(
            f"images: {images} with {rows} captions or beams each are {images * rows} rows, "
            f"expected at most {limits.max_rows} in one request"
        )


def _check_attention(limits: CaptionLimits, words: int) -> None:
    if not limits.places:
        raise InvalidInput(f"attention: model {limits.model!r} has none; leave it out")
    if words * limits.places > MAX_ATTENTION:
        raise InvalidInput(
            f"attention: {words * limits.places} numbers would have to be kept for this answer, "
            f"at most {MAX_ATTENTION} are; ask for fewer captions, max_tokens or pictures"
        )
