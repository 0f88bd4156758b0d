"""Symbols of a row become pieces of text."""

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import InferenceFailed, ServingError
from serving.generation_types import FinishReason, Piece, Symbol
from serving.stop_strings import StopStrings
from serving.text_sink import TAIL_CHARACTERS, TextRules, TextSink
from serving.token_scheduler import Drawn, RowState

LETTERS = tuple("abcdefgh")
PARTS = ("a", "bc", "def", "gh", "\n")
"""Symbols of several characters."""


@dataclass
class Listener:
    """Remembers what it is told."""

    pieces: list[Piece] = field(default_factory=list)
    written: list[int] = field(default_factory=list)
    states: list[tuple[RowState, int]] = field(default_factory=list)
    errors: list[ServingError] = field(default_factory=list)

    def wrote(self, index: int, symbols: int) -> None:
        self.written.append(symbols)

    def piece(self, piece: Piece) -> None:
        self.pieces.append(piece)

    def kept(self, state: RowState, token: int) -> None:
        self.states.append((state, token))

    def failed(self, error: ServingError) -> None:
        self.errors.append(error)

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self.pieces)

    @property
    def symbols(self) -> list[Symbol]:
        return [symbol for piece in self.pieces for symbol in piece.symbols]

    @property
    def reason(self) -> FinishReason | None:
        return self.pieces[-1].finish_reason if self.pieces else None


def drawn(tokens: list[int]) -> Drawn:
    """Symbols whose scores and alternatives follow from their ids."""
    ids = np.array(tokens, np.int64)
    return Drawn(
        tokens=ids,
        log_probabilities=(-ids / 8).astype(np.float32),
        top_tokens=np.stack([ids, (ids + 1) % 5, (ids + 2) % 5], axis=1),
        top_log_probabilities=np.tile(np.array([-0.5, -1, -2], np.float32), (len(tokens), 1)),
    )


def sink_of(
    listener: Listener,
    *stops: str,
    symbols: tuple[str, ...] = LETTERS,
    max_tokens: int = 100,
    stop_symbols: frozenset[int] = frozenset(),
    logprobs: int | None = None,
    keep_state: bool = False,
    sum_scores: bool = False,
) -> TextSink:
    rules = TextRules(
        symbols=symbols,
        max_tokens=max_tokens,
        stop=StopStrings(stops) if stops else None,
        stop_symbols=stop_symbols,
        logprobs=logprobs,
        keep_state=keep_state,
        sum_scores=sum_scores,
    )
    return TextSink(rules, 0, listener)


def test_accept_gives_one_piece_a_run() -> None:
    listener = Listener()
    sink = sink_of(listener)
    assert sink.accept(drawn([0, 1, 2])) is None
    assert sink.accept(drawn([3])) is None
    assert [piece.text for piece in listener.pieces] == ["abc", "d"]
    assert listener.reason is None
    assert listener.written == [3, 1]


def test_accept_ends_at_max_tokens_inside_a_run() -> None:
    listener = Listener()
    sink = sink_of(listener, max_tokens=5)
    assert sink.accept(drawn([0, 1, 2])) is None
    assert sink.accept(drawn([3, 4, 5])) == 2
    assert (listener.text, listener.reason) == ("abcde", FinishReason.LENGTH)
    assert sink.written == 5


def test_accept_ends_at_a_stop_symbol_which_is_not_text() -> None:
    listener = Listener()
    assert sink_of(listener, stop_symbols=frozenset({2})).accept(drawn([0, 1, 2, 3])) == 3
    assert (listener.text, listener.reason) == ("ab", FinishReason.STOP)


def test_accept_ends_at_a_stop_string_that_spans_pieces() -> None:
    listener = Listener()
    sink = sink_of(listener, "cde")
    assert sink.accept(drawn([0, 1, 2])) is None
    assert sink.accept(drawn([3])) is None
    assert sink.accept(drawn([4, 5])) == 1
    assert [piece.text for piece in listener.pieces] == ["ab", ""]
    assert listener.reason is FinishReason.STOP
    assert listener.written == [3, 1, 1]


def test_accept_releases_what_was_no_stop_string_after_all() -> None:
    listener = Listener()
    sink = sink_of(listener, "abh")
    sink.accept(drawn([0, 1]))
    assert listener.pieces == []
    sink.accept(drawn([2]))
    assert listener.text == "abc"


def test_accept_releases_what_is_held_when_the_text_ends() -> None:
    listener = Listener()
    assert sink_of(listener, "abc", max_tokens=2).accept(drawn([0, 1, 2])) == 2
    assert (listener.text, listener.reason) == ("ab", FinishReason.LENGTH)


def test_a_stop_string_that_is_complete_at_max_tokens_counts_as_stop() -> None:
    listener = Listener()
    assert sink_of(listener, "bc", max_tokens=3).accept(drawn([0, 1, 2, 3])) == 3
    assert (listener.text, listener.reason) == ("a", FinishReason.STOP)


def test_a_stop_string_before_a_stop_symbol_wins() -> None:
    listener = Listener()
    sink = sink_of(listener, "ab", stop_symbols=frozenset({3}))
    assert sink.accept(drawn([2, 0, 1, 3])) == 3
    assert listener.text == "c"


def test_a_row_that_writes_nothing_ends_by_length() -> None:
    listener = Listener()
    nothing = drawn([0])
    nothing = Drawn(
        tokens=nothing.tokens[:0],
        log_probabilities=nothing.log_probabilities[:0],
        top_tokens=nothing.top_tokens[:0],
        top_log_probabilities=nothing.top_log_probabilities[:0],
    )
    assert sink_of(listener, max_tokens=0).accept(nothing) == 0
    assert listener.pieces == [Piece(index=0, text="", finish_reason=FinishReason.LENGTH)]


def test_log_probabilities_come_with_their_symbols() -> None:
    listener = Listener()
    sink_of(listener, logprobs=2).accept(drawn([1, 2]))
    assert listener.symbols == [
        Symbol("b", -0.125, {"b": -0.5, "c": -1.0}),
        Symbol("c", -0.25, {"c": -0.5, "d": -1.0}),
    ]


def test_log_probabilities_without_alternatives() -> None:
    listener = Listener()
    sink_of(listener, logprobs=0).accept(drawn([1]))
    assert listener.symbols == [Symbol("b", -0.125)]


def test_symbols_are_held_back_with_their_text() -> None:
    listener = Listener()
    sink = sink_of(listener, "bx", "cd", logprobs=0)
    sink.accept(drawn([0, 1]))
    sink.accept(drawn([4]))
    assert [(p.text, len(p.symbols)) for p in listener.pieces] == [("a", 1), ("be", 2)]


def test_the_symbol_in_which_a_stop_string_begins_is_cut_with_its_text() -> None:
    listener = Listener()
    sink = sink_of(listener, "fg", symbols=PARTS, logprobs=0)
    assert sink.accept(drawn([0, 2, 3, 1])) == 3
    assert listener.text == "ade"
    assert [symbol.text for symbol in listener.symbols] == ["a", "de"]


def test_scores_are_summed_over_what_belongs_to_the_text() -> None:
    sink = sink_of(Listener(), sum_scores=True, max_tokens=3)
    sink.accept(drawn([1, 2]))
    sink.accept(drawn([4, 7]))
    assert (sink.log_probability, sink.written) == (-7 / 8, 3)


def test_a_text_that_keeps_its_state_is_over_when_the_state_has_come() -> None:
    listener = Listener()
    sink = sink_of(listener, "cd", keep_state=True)
    assert sink.accept(drawn([0, 1, 2, 3, 4])) == 4
    assert [(piece.text, piece.finish_reason) for piece in listener.pieces] == [("ab", None)]
    state = {"h": np.zeros(1)}
    sink.settled(state, 3)
    assert listener.states == [(state, 3)]
    assert listener.pieces[1:] == [Piece(index=0, text="", finish_reason=FinishReason.STOP)]
    assert sink.tail == "abcd"


def test_only_the_end_of_a_kept_text_is_remembered() -> None:
    sink = sink_of(Listener(), keep_state=True, max_tokens=1000)
    for _ in range(100):
        sink.accept(drawn([0, 1, 2, 3]))
    assert sink.tail == "abcd" * (TAIL_CHARACTERS // 4)


def test_failed_tells_the_listener() -> None:
    listener = Listener()
    error = InferenceFailed("broken")
    sink_of(listener).failed(error)
    assert listener.errors == [error]


@given(
    tokens=st.lists(st.integers(0, len(PARTS) - 1), min_size=1, max_size=40),
    stops=st.lists(st.text(st.sampled_from("abcdefgh\n"), min_size=1, max_size=5), max_size=3),
    stop_symbols=st.frozensets(st.integers(0, len(PARTS) - 1), max_size=1),
    cuts=st.lists(st.integers(1, 39)),
    max_tokens=st.integers(1, 45),
    logprobs=st.sampled_from([None, 0, 3]),
)
def test_the_text_is_the_same_however_its_symbols_are_divided_among_runs(
    tokens: list[int],
    stops: list[str],
    stop_symbols: frozenset[int],
    cuts: list[int],
    max_tokens: int,
    logprobs: int | None,
) -> None:
    def write(places: list[int]) -> tuple[str, FinishReason | None, int, list[Symbol]]:
        listener = Listener()
        sink = sink_of(
            listener,
            *stops,
            symbols=PARTS,
            stop_symbols=stop_symbols,
            max_tokens=max_tokens,
            logprobs=logprobs,
        )
        for begin, end in pairwise(places):
            taken = sink.accept(drawn(tokens[begin:end]))
            if taken is not None:
                assert begin + taken == sink.written
                break
        # What may be the beginning of a stop string is still held if the text has not ended.
        return listener.text, listener.reason, sink.written, listener.symbols

    places = sorted({0, len(tokens), *(cut for cut in cuts if cut < len(tokens))})
    text, reason, written, symbols = write(places)
    assert (text, reason, written, symbols) == write([0, len(tokens)])
    assert not any(stop in text for stop in stops)
    assert "".join(PARTS[token] for token in tokens).startswith(text)
    if logprobs is not None:
        assert "".join(symbol.text for symbol in symbols) == text
    if reason is FinishReason.LENGTH:
        assert text == "".join(PARTS[token] for token in tokens[:max_tokens])


@pytest.mark.parametrize("logprobs", [None, 5])
def test_pieces_of_one_row_are_in_order_and_only_the_last_has_a_reason(
    logprobs: int | None,
) -> None:
    listener = Listener()
    sink = sink_of(listener, "hh", logprobs=logprobs, max_tokens=12)
    for _ in range(3):
        sink.accept(drawn([0, 7, 1, 2]))
    assert listener.text == "ahbc" * 3
    assert [piece.finish_reason for piece in listener.pieces[:-1]] == [None, None]
    assert listener.reason is FinishReason.LENGTH
