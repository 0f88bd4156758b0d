"""Pieces that wait: their order, their text, and how many there are."""

import random
import tracemalloc

import pytest

from serving.generation_types import FinishReason, Piece, Symbol
from serving.tasks.unread_pieces import JOIN_FROM, LONG_CHARACTERS, UnreadPieces

SYMBOLS = (Symbol("a", -1.0),)


def read(unread: UnreadPieces) -> list[Piece]:
    return [unread.popleft() for _ in range(len(unread))]


def test_pieces_of_a_reader_that_keeps_up_stay_as_they_are() -> None:
    unread = UnreadPieces()
    pieces = [Piece(index=place % 3, text=str(place)) for place in range(JOIN_FROM - 1)]
    for piece in pieces:
        unread.append(piece)
    assert read(unread) == pieces
    with pytest.raises(IndexError):
        unread.popleft()


@pytest.mark.parametrize("scored", [False, True])
@pytest.mark.parametrize("texts", [1, 2, 5])
def test_texts_are_whole_and_end_with_their_reason(texts: int, scored: bool) -> None:
    draw = random.Random(texts)
    lengths = [draw.randint(0, 40) for _ in range(3000)]
    unread = UnreadPieces()
    written = [""] * texts
    symbols = [0] * texts
    for place, length in enumerate(lengths):
        index = place % texts
        text = chr(ord("a") + place % 26) * length
        written[index] += text
        with_symbols = scored and place % 7 == 0
        symbols[index] += with_symbols
        unread.append(
            Piece(
                index=index,
                text=text,
                symbols=SYMBOLS if with_symbols else (),
                finish_reason=FinishReason.STOP if place >= len(lengths) - texts else None,
            )
        )
    pieces = read(unread)
    for index in range(texts):
        own = [piece for piece in pieces if piece.index == index]
        assert "".join(piece.text for piece in own) == written[index]
        assert sum(len(piece.symbols) for piece in own) == symbols[index]
        assert [piece.finish_reason for piece in own[:-1]] == [None] * (len(own) - 1)
        assert own[-1].finish_reason is FinishReason.STOP


def test_a_text_that_nobody_reads_weighs_little_more_than_itself() -> None:
    unread = UnreadPieces()
    tracemalloc.start()
    for place in range(20_000):
        unread.append(Piece(index=place % 4, text=chr(ord("a") + place % 26) * 16))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    characters = 20_000 * 16
    assert len(unread) < 4 * JOIN_FROM
    # As they came they would weigh 13 bytes a character.
    assert held < 2 * characters
    assert max(len(piece.text) for piece in read(unread)) < LONG_CHARACTERS + 16
