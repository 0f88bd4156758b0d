"""Turns the symbols of rows and searches into the words of captions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from quartet.beam_search import Beams
from serving.beam_search import SearchSink
from serving.caption_types import Word
from serving.errors import ServingError
from serving.generation_types import FinishReason
from serving.tasks.caption_answer import CaptionEnd, PictureCaptions
from serving.token_scheduler import Drawn, Floats, Ids, RowState


@dataclass(frozen=True, slots=True, kw_only=True)
class WordRules:
    """What the captions of one model have in common."""

    symbols: Sequence[str]
    """Text of each symbol, by id."""
    stop_symbols: frozenset[int]
    hidden: Ids
    """Symbols that are never part of a caption."""
    grid: tuple[int, int] | None
    """Rows and columns of the attention, if there is any."""

    def words(
        self, tokens: Sequence[int], scores: Sequence[float], attention: Floats | None
    ) -> tuple[Word, ...]:
        """The words of ``tokens`` [T], whose attention is [T, places] or none."""
        if attention is None or self.grid is None:
            maps: Sequence[Floats | None] = [None] * len(tokens)
        else:
            # A copy: a view would keep the maps of the whole run, of all rows, in memory.
            maps = list(attention[: len(tokens)].reshape(-1, *self.grid).copy())
        symbols = self.symbols
        return tuple(
            Word(symbols[token], score, shares)
            for token, score, shares in zip(tokens, scores, maps, strict=True)
        )


class CaptionSink:
    """The ``RowSink`` of one caption."""

    def __init__(
        self, rules: WordRules, captions: PictureCaptions, number: int, max_tokens: int
    ) -> None:
        """Write caption ``number`` of a picture, of at most ``max_tokens`` symbols."""
        self._rules = rules
        self._captions = captions
        self._number = number
        self._left = max_tokens

    def read(self, log_probabilities: Floats, attention: Floats | None) -> None:
        """See ``RowSink.read``; these rows ask for none."""

    def accept(self, drawn: Drawn) -> int | None:
        """See ``RowSink.accept``."""
        tokens = drawn.tokens[: self._left].tolist()
        scores = drawn.log_probabilities[: self._left].tolist()
        self._left -= len(tokens)
        end = None if self._left else CaptionEnd(FinishReason.LENGTH, 0.0)
        taken = shown = len(tokens)
        stops = (i for i, token in enumerate(tokens) if token in self._rules.stop_symbols)
        stop = next(stops, None)
        if stop is not None:
            shown, taken = stop, stop + 1
            end = CaptionEnd(FinishReason.STOP, scores[stop])
        words = self._rules.words(tokens[:shown], scores[:shown], drawn.attention)
        captions = self._captions
        captions.answer.wrote((captions.image, self._number), taken)
        captions.add(self._number, words, end)
        return None if end is None else taken

    def settled(self, state: RowState, token: int) -> None:
        """See ``RowSink.settled``: no state is kept."""

    def failed(self, error: ServingError) -> None:
        """See ``RowSink.failed``."""
        self._captions.answer.failed(error)


class BeginningSink:
    """The ``RowSink`` of a row that only reads the words that captions begin with."""

    def __init__(
        self, rules: WordRules, captions: PictureCaptions, beginning: Sequence[int]
    ) -> None:
        """Score ``beginning``, at least one word."""
        self._rules = rules
        self._captions = captions
        self._left = tuple(beginning)
        self._words: tuple[Word, ...] = ()

    def read(self, log_probabilities: Floats, attention: Floats | None) -> None:
        """See ``RowSink.read``."""
        tokens = self._left[: len(log_probabilities)]
        scores = log_probabilities[np.arange(len(tokens)), list(tokens)].tolist()
        self._words += self._rules.words(tokens, scores, attention)
        self._left = self._left[len(tokens) :]

    def accept(self, drawn: Drawn) -> int | None:
        """See ``RowSink.accept``: all has been read, and nothing is to be written."""
        self._captions.begin(self._words)
        return 0

    def settled(self, state: RowState, token: int) -> None:
        """See ``RowSink.settled``: no state is kept."""

    def failed(self, error: ServingError) -> None:
        """See ``RowSink.failed``."""
        self._captions.answer.failed(error)


class CaptionSearchSink:
    """The ``BeamSink`` of a search that never sees hidden symbols."""

    def __init__(self, search: SearchSink, hidden: Ids) -> None:
        """Let ``search`` choose among the symbols that are not ``hidden``."""
        self._search = search
        self._hidden = hidden

    def choose(
        self, top_tokens: Ids, top_log_probabilities: Floats, attention: Floats | None
    ) -> Beams | None:
        """See ``BeamSink.choose``."""
        hidden = np.isin(top_tokens, self._hidden)
        if hidden.any():
            # As many candidates of each beam as the one has that has the fewest.
            fewest = int((~hidden).sum(axis=1).min())
            order = np.argsort(hidden, axis=1, kind="stable")[:, :fewest]
            top_tokens = np.take_along_axis(top_tokens, order, axis=1)
            top_log_probabilities = np.take_along_axis(top_log_probabilities, order, axis=1)
        return self._search.choose(top_tokens, top_log_probabilities, attention)

    def failed(self, error: ServingError) -> None:
        """See ``BeamSink.failed``."""
        self._search.failed(error)
