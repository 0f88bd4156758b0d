"""Turns the symbols of one row into text: stop strings, the end, log-probabilities."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from serving.errors import ServingError
from serving.generation_types import FinishReason, Piece, Symbol
from serving.stop_strings import StopStrings
from serving.token_scheduler import Drawn, Floats, RowState

TAIL_CHARACTERS = 256
"""Of a kept text's end that are remembered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRules:
    """What the texts of one request have in common."""

    symbols: Sequence[str]
    """Text of each symbol, by id."""
    max_tokens: int
    stop: StopStrings | None = None
    stop_symbols: frozenset[int] = frozenset()
    logprobs: int | None = None
    """See ``GenerateRequest.logprobs``."""
    keep_state: bool = False
    """The text is over only when its state has come."""
    sum_scores: bool = False
    """Whether ``TextSink.log_probability`` is wanted."""


class TextListener(Protocol):
    """Who is told of the texts. Called on the event loop."""

    def wrote(self, index: int, symbols: int) -> None:
        """So many symbols were drawn and belong to the text."""
        ...

    def piece(self, piece: Piece) -> None:
        """A part of a text; one with a ``finish_reason`` is its last."""
        ...

    def kept(self, state: RowState, token: int) -> None:
        """The text's state, just before its last piece."""
        ...

    def failed(self, error: ServingError) -> None:
        """A row was given up."""
        ...


class TextSink:
    """The ``RowSink`` of one text."""

    __slots__ = (
        "_held",
        "_held_symbols",
        "_index",
        "_listener",
        "_reason",
        "_rules",
        "_scanner",
        "log_probability",
        "tail",
        "written",
    )

    def __init__(self, rules: TextRules, index: int, listener: TextListener) -> None:
        self._rules = rules
        self._index = index
        self._listener = listener
        self._scanner = rules.stop.scanner() if rules.stop else None
        self._held = ""
        """Written, but it may be the beginning of a stop string."""
        self._held_symbols: list[Symbol] = []
        """Those of ``_held``, if log-probabilities are wanted."""
        self._reason: FinishReason | None = None
        self.written = 0
        """Symbols that belong to the text, those of what stopped it included."""
        self.log_probability = 0.0
        """Sum over them, nats."""
        self.tail = ""
        """The end of their text, if the state is kept."""

    def read(self, log_probabilities: Floats, attention: Floats | None) -> None:
        """See ``RowSink.read``; these rows ask for none."""

    def accept(self, drawn: Drawn) -> int | None:
        """See ``RowSink.accept``."""
        rules = self._rules
        if self._reason is not None:
            return 0
        tokens = drawn.tokens.tolist()
        reason = None
        if len(tokens) >= rules.max_tokens - self.written:
            del tokens[rules.max_tokens - self.written :]
            reason = FinishReason.LENGTH
        taken = shown = len(tokens)
        if rules.stop_symbols and not rules.stop_symbols.isdisjoint(tokens):
            shown = next(i for i, token in enumerate(tokens) if token in rules.stop_symbols)
            taken = shown + 1
            reason = FinishReason.STOP
        symbols = rules.symbols
        texts = [symbols[token] for token in tokens[:shown]]
        text = "".join(texts)
        if rules.logprobs is not None:
            self._held_symbols += self._symbols_of(texts, drawn)
        ready = len(self._held) + len(text)
        if self._scanner is not None and text:
            found = self._scanner.feed(text)
            if found is not None:
                ready = len(self._held) + found[0]
                taken = _symbols_until(texts, found[1])
                reason = FinishReason.STOP
            elif reason is None:
                ready -= self._scanner.held
        self._account(tokens[:taken], drawn)
        self._held += text
        self._release(ready, reason)
        return None if reason is None else taken

    def settled(self, state: RowState, token: int) -> None:
        """See ``RowSink.settled``."""
        self._listener.kept(state, token)
        reason = self._reason or FinishReason.LENGTH
        self._listener.piece(Piece(index=self._index, text="", finish_reason=reason))

    def failed(self, error: ServingError) -> None:
        """See ``RowSink.failed``."""
        self._listener.failed(error)

    def _account(self, tokens: list[int], drawn: Drawn) -> None:
        rules = self._rules
        self.written += len(tokens)
        if rules.sum_scores:
            scores = drawn.log_probabilities[: len(tokens)]
            self.log_probability += float(scores.sum(dtype=np.float64))
        if rules.keep_state:
            text = "".join([rules.symbols[token] for token in tokens])
            self.tail = (self.tail + text)[-TAIL_CHARACTERS:]
        self._listener.wrote(self._index, len(tokens))

    def _release(self, ready: int, reason: FinishReason | None) -> None:
        """Give out the first ``ready`` characters of what is held, and the end if it is."""
        self._reason = reason
        released: tuple[Symbol, ...] = ()
        if self._rules.logprobs is not None:
            released, ready = self._release_symbols(ready, final=reason is not None)
        text, self._held = self._held[:ready], self._held[ready:]
        shown_reason = None if self._rules.keep_state else reason
        if text or shown_reason is not None:
            self._listener.piece(
                Piece(index=self._index, text=text, symbols=released, finish_reason=shown_reason)
            )

    def _release_symbols(self, ready: int, *, final: bool) -> tuple[tuple[Symbol, ...], int]:
        """The symbols of the first ``ready`` characters, and how many characters these are.

        A symbol goes out whole; only at the end may the last one be cut, where a stop string began.
        """
        held = self._held_symbols
        count = length = 0
        while count < len(held) and length + len(held[count].text) <= ready:
            length += len(held[count].text)
            count += 1
        released = held[:count]
        if final and length < ready:
            released.append(replace(held[count], text=held[count].text[: ready - length]))
            length = ready
        del held[:count]
        return tuple(released), length

    def _symbols_of(self, texts: Sequence[str], drawn: Drawn) -> list[Symbol]:
        count, top = len(texts), self._rules.logprobs
        scores = drawn.log_probabilities[:count].tolist()
        if not top:
            return [Symbol(text, score) for text, score in zip(texts, scores, strict=True)]
        symbols = self._rules.symbols
        near = drawn.top_tokens[:count, :top].tolist()
        near_scores = drawn.top_log_probabilities[:count, :top].tolist()
        return [
            Symbol(text, score, dict(zip([symbols[i] for i in ids], others, strict=True)))
            for text, score, ids, others in zip(texts, scores, near, near_scores, strict=True)
        ]


def _symbols_until(texts: Sequence[str], end: int) -> int:
    """How many of the symbols make up the first ``end`` characters."""
    length = 0
    for count, text in enumerate(texts, start=1):
        length += len(text)
        if length >= end:
            return count
    return len(texts)
