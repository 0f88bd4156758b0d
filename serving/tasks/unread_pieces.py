"""Pieces of text that nobody has read yet, kept small."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace

from serving.generation_types import Piece

JOIN_FROM = 256
"""Pieces that may wait as they are. A reader that keeps up never has as many before it."""
LONG_CHARACTERS = 4096
"""Pieces as long as this are not joined further, so that each character is copied only once."""


class UnreadPieces:
    """First in, first out within each text; the pieces of a reader that is behind are joined.

    A piece of 16 characters weighs some 200 bytes. Texts are written on while their reader pauses,
    so that it holds no slot; joined, what waits for it is little more than the text itself.
    """

    def __init__(self) -> None:
        self._pieces: deque[Piece] = deque()
        self._join_at = JOIN_FROM

    def __len__(self) -> int:
        return len(self._pieces)

    def append(self, piece: Piece) -> None:
        """Let ``piece`` wait."""
        self._pieces.append(piece)
        if len(self._pieces) >= self._join_at:
            self._pieces = deque(_joined(self._pieces))
            # Twice as many until the next time, so that the cost of a piece stays the same.
            self._join_at = max(JOIN_FROM, 2 * len(self._pieces))

    def popleft(self) -> Piece:
        """The piece that waits longest. Raises IndexError if none does."""
        return self._pieces.popleft()

    def clear(self) -> None:
        """Forget all."""
        self._pieces.clear()


def _joined(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """The pieces, those of each text joined to long ones.

    Pieces with symbols stay as they are: they weigh far more than their text, and how many there
    may be is bounded elsewhere.
    """
    runs: dict[int, list[Piece]] = {}
    length: dict[int, int] = {}
    for piece in pieces:
        run = runs.setdefault(piece.index, [])
        run.append(piece)
        length[piece.index] = length.get(piece.index, 0) + len(piece.text)
        whole = length[piece.index] >= LONG_CHARACTERS or piece.symbols
        if whole or piece.finish_reason is not None:
            yield from _one(run)
            del runs[piece.index], length[piece.index]
    for run in runs.values():
        yield from _one(run)


def _one(run: list[Piece]) -> Iterator[Piece]:
    """Pieces of one text, of which only the last may have symbols or a finish reason."""
    *before, last = run
    text = "".join([piece.text for piece in before])
    if last.symbols:
        if text:
            yield Piece(index=last.index, text=text)
        yield last
    else:
        yield replace(last, text=text + last.text)
