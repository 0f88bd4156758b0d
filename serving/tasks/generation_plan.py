"""A request for text held against the model: every fault named, every choice made."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields, replace

from quartet.generation import TextGenerationTask
from serving.errors import InvalidInput
from serving.generation_types import GenerateRequest, Sampling
from serving.tasks.option_checks import (
    check_length_penalty,
    check_range,
    check_seed,
    checked_sampling,
)

MAX_TEXTS = 128
"""Texts that one request may have written."""
MAX_PROMPT = 100_000
"""Symbols of a prompt."""
MAX_STOPS = 32
"""Stop strings of a request."""
MAX_STOP_CHARACTERS = 4096
"""Characters of a stop string."""
MAX_SCORES = 250_000
"""Log-probabilities of one answer. They are held, some 100 bytes each, until the client has read
them, which may take it long, and a whole answer is written in one go."""

CONTROLS = tuple(field.name for field in fields(Sampling))
"""Fields of ``Sampling``."""
PENALTIES = ("repetition_penalty", "presence_penalty", "frequency_penalty")
"""Those of them that depend on the symbols seen before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationLimits:
    """What a model can do."""

    model: str
    task: TextGenerationTask
    top: int
    """Alternatives offered at each step."""
    controls: Collection[str]
    """Fields of ``Sampling`` that it heeds."""
    max_beams: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationPlan:
    """What is to be done."""

    sampling: Sampling
    max_tokens: int
    texts: int
    """To be written; 1 for a beam search."""
    n: int
    """Texts to be given."""
    beam_width: int | None
    """None: no beam search."""


def plan_generation(
    request: GenerateRequest, limits: GenerationLimits, *, keeps_state: bool
) -> GenerationPlan:
    """Check everything about ``request`` but its prompt and receipt.

    Args:
        request: what is wanted.
        limits: what the model can do.
        keeps_state: the text's state is to be kept, so there must be one text, drawn.

    Raises:
        InvalidInput: the text begins with the field that is wrong and says what was expected.
    """
    task = limits.task
    max_tokens = request.max_tokens
    if max_tokens is None:
        max_tokens = min(task.defaults.max_tokens, task.max_tokens)
    check_range("max_tokens", max_tokens, 0, task.max_tokens)
    if request.seed is not None:
        check_seed(request.seed)
    if request.logprobs is not None:
        check_range("logprobs", request.logprobs, 0, limits.top)
    _check_stops(request.stop)
    check_range("n", request.n, 1, MAX_TEXTS)
    if request.best_of is not None:
        check_range("best_of", request.best_of, 1, MAX_TEXTS)
        if request.best_of < request.n:
            raise InvalidInput(f"best_of: expected at least n = {request.n}, got {request.best_of}")
    check_length_penalty(request.length_penalty)
    if request.beam_width is not None:
        _check_beams(request, request.beam_width, limits)
    elif request.length_penalty != 1.0:
        raise InvalidInput("length_penalty: has an effect on a beam search alone; leave it out")
    if keeps_state:
        _refuse_choices(request)
    return GenerationPlan(
        sampling=_sampling(request, limits),
        max_tokens=max_tokens,
        texts=1 if request.beam_width is not None else request.best_of or request.n,
        n=request.n,
        beam_width=request.beam_width,
    )


def check_scores(
    request: GenerateRequest, max_tokens: int, prompts: Sequence[int], *, top: int = 0
) -> None:
    """Refuse an answer that would fill the memory with log-probabilities.

    Args:
        request: what is wanted.
        max_tokens: counts in full, for each text may become that long.
        prompts: length of each prompt, in symbols.
        top: alternatives that the model offers; a beam search keeps those of all beams.

    Raises:
        InvalidInput: there would be more than ``MAX_SCORES``.
    """
    if request.logprobs is None:
        return
    numbers = request.logprobs + 1
    texts = max(request.n, request.best_of or 0)
    if request.beam_width is not None:
        texts = request.beam_width
        numbers = top + 1 if request.logprobs else 1
    scores = texts * numbers * max_tokens * len(prompts)
    if request.echo:
        scores += request.n * (request.logprobs + 1) * sum(prompts)
    if scores > MAX_SCORES:
        raise InvalidInput(
            f"logprobs: {scores} numbers would have to be kept for this answer, at most "
            f"{MAX_SCORES} are; ask for fewer alternatives, texts or max_tokens"
        )


def _sampling(request: GenerateRequest, limits: GenerationLimits) -> Sampling:
    defaults = limits.task.defaults
    values = {
        name: getattr(defaults, name) if getattr(request, name) is None else getattr(request, name)
        for name in CONTROLS
    }
    drawing = checked_sampling(
        values["temperature"], values["top_k"], values["top_p"], len(limits.task.vocabulary)
    )
    check_range("repetition_penalty", values["repetition_penalty"], 0.01, 100.0)
    for name in ("presence_penalty", "frequency_penalty"):
        check_range(name, values[name], -2.0, 2.0)
    sampling = replace(drawing, **{name: values[name] for name in PENALTIES})
    neutral = Sampling()
    for name in CONTROLS:
        if name not in limits.controls and getattr(sampling, name) != getattr(neutral, name):
            raise InvalidInput(
                f"{name}: model {limits.model!r} has no such control; leave it out. "
                f"It has {', '.join(c for c in CONTROLS if c in limits.controls)}"
            )
    return sampling


def _check_beams(request: GenerateRequest, width: int, limits: GenerationLimits) -> None:
    check_range("beam_width", width, 1, limits.max_beams)
    if request.n > width:
        raise InvalidInput(f"n: expected at most beam_width = {width}, got {request.n}")
    if request.best_of is not None:
        raise InvalidInput("best_of: leave it out or leave out beam_width")
    neutral = Sampling()
    for name in CONTROLS:
        value = getattr(request, name)
        if value is not None and value != getattr(neutral, name):
            raise InvalidInput(f"{name}: has no effect on a beam search; leave it out")


def _refuse_choices(request: GenerateRequest) -> None:
    """A kept state is that of one text."""
    if request.n != 1 or request.best_of not in (None, 1):
        field = "n" if request.n != 1 else "best_of"
        raise InvalidInput(f"{field}: a session has one text; fork it to get several")
    if request.beam_width is not None:
        raise InvalidInput("beam_width: a session's text is drawn; leave it out")


def _check_stops(stops: tuple[str, ...]) -> None:
    if len(stops) > MAX_STOPS:
        raise InvalidInput(f"stop: expected at most {MAX_STOPS} strings, got {len(stops)}")
    for stop in stops:
        if not 1 <= len(stop) <= MAX_STOP_CHARACTERS:
            raise InvalidInput(
                f"stop: expected strings of 1 to {MAX_STOP_CHARACTERS} characters, "
                f"one has {len(stop)}"
            )
