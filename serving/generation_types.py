"""Requests for generated text and what comes back, whatever the wire.

Lengths are in symbols of the model's vocabulary; log-probabilities are in nats, under the model's
own distribution (temperature 1, no penalty, no restriction).
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, Protocol


class FinishReason(StrEnum):
    """Why a text ended."""

    STOP = "stop"
    """A stop string or stop symbol came."""
    LENGTH = "length"
    """``max_tokens`` were written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How the next symbol is drawn; see ``quartet.generation``."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What, sent again with the same request, gives the same bytes."""

    seed: int
    """In 0 .. 2**63 - 1."""
    model: str
    version: str
    sha256: str
    """Hash over the version's graphs and weights, hexadecimal."""
    provider: str
    """Execution provider that ran, for instance CPUExecutionProvider."""
    precision: str
    """Arithmetic of the weights, as the model declares it."""


@dataclass(slots=True, kw_only=True)
class GenerateRequest:
    """A text wanted. None leaves the choice to the model's declaration."""

    model_name: str
    model_version: str = ""
    prompt: str = ""
    prompt_ids: tuple[int, ...] | None = None
    """The prompt as symbols' ids, in place of ``prompt``."""
    max_tokens: int | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    stop: tuple[str, ...] = ()
    """Strings that end the text; not part of it."""
    seed: int | None = None
    """None: the server draws one; the receipt tells it."""
    n: int = 1
    """Texts wanted, each with its own random numbers."""
    best_of: int | None = None
    """Texts written, of which the ``n`` of highest mean log-probability are given. Not streamed."""
    beam_width: int | None = None
    """Beam search of this width in place of drawing; gives the ``n`` best. Not streamed."""
    length_penalty: float = 1.0
    """Beam search: the score is the sum of log-probabilities over length ** length_penalty."""
    logprobs: int | None = None
    """Report log-probabilities of the symbols, and this many alternatives for each."""
    echo: bool = False
    """Give the prompt back in front of the text, with its log-probabilities if asked for."""
    unknown: Literal["map", "refuse"] = "map"
    """Characters outside the vocabulary: replaced by a near one and named in the answer, or an
    error that names them."""
    receipt: Receipt | None = None
    """Of an earlier answer: its seed is used; any other model, version or engine is refused."""
    session: str = ""
    """Continue this stored state in place of an empty one; empty: none."""
    client: str = ""
    """Whose request it is: waiting rows of different clients take turns."""
    deadline: float | None = None
    """``time.monotonic()`` time after which nobody waits for the answer."""
    id: str = ""
    """The client's own id, echoed in the answer; empty if none."""
    protocol: str = "http"
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Symbol:
    """One symbol of a text, with what the model thought of it."""

    text: str
    log_probability: float | None
    """None for the first symbol of a text: nothing came before it."""
    alternatives: Mapping[str, float] = field(default_factory=dict)
    """Likeliest symbols at this place -> their log-probability, likeliest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A part of one text. The last part of a text has a ``finish_reason``."""

    index: int
    """Which of the ``n`` texts."""
    text: str
    """May be empty, for instance while a stop string may have begun."""
    symbols: tuple[Symbol, ...] = ()
    """The symbols that ``text`` is made of; empty unless log-probabilities were asked for."""
    finish_reason: FinishReason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Symbols of an answer."""

    prompt_tokens: int
    completion_tokens: int
    """Written in all, also those of texts that ``best_of`` dropped."""


@dataclass(frozen=True, slots=True)
class Replacement:
    """Characters of the prompt that the model does not know."""

    character: str
    replacement: str
    """What it became; empty if it was dropped."""
    count: int


class GeneratedText(Protocol):
    """An answer under way. Iterating gives the pieces of all texts as they come.

    Leaving the iteration (``aclose``, cancellation) stops the rows of the request.
    """

    model_name: str
    model_version: str
    receipt: Receipt
    """Known from the start."""
    replaced: tuple[Replacement, ...]
    """Known from the start."""
    prompt: str
    """What the model reads of the request's prompt, replacements made; known from the start."""

    @property
    def usage(self) -> Usage:
        """So far; final once the iteration has ended."""
        ...

    def __aiter__(self) -> AsyncIterator[Piece]:
        """Pieces; raises ServingError if the engine failed or the deadline passed."""
        ...

    async def aclose(self) -> None:
        """Stop what still runs. Nothing happens if all is done."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedText:
    """One whole text."""

    index: int
    text: str
    symbols: tuple[Symbol, ...]
    finish_reason: FinishReason


async def collect(answer: GeneratedText) -> tuple[FinishedText, ...]:
    """Wait for all texts of ``answer``, in the order of their index. Raises as its iteration."""
    pieces: dict[int, list[Piece]] = {}
    try:
        async for piece in answer:
            pieces.setdefault(piece.index, []).append(piece)
    finally:
        await answer.aclose()
    return tuple(_joined(index, parts) for index, parts in sorted(pieces.items()))


def _joined(index: int, parts: list[Piece]) -> FinishedText:
    reason = parts[-1].finish_reason
    if reason is None:
        raise RuntimeError(f"text {index} ended without a reason")
    return FinishedText(
        index=index,
        text="".join(part.text for part in parts),
        symbols=tuple(symbol for part in parts for symbol in part.symbols),
        finish_reason=reason,
    )
