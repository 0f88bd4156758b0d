"""A model's symbols: text to ids and back, and what becomes of characters that it lacks."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from serving.errors import InvalidInput
from serving.folding import near_texts, unknown_clusters
from serving.generation_types import Replacement

MAX_NAMED = 8
"""Unknown characters that an error names."""

MAX_REPLACED = 1000
"""Different characters outside the vocabulary that are replaced: each takes a look at what is near,
and the answer names them all. A text with more is not one for the model."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A text in symbols."""

    ids: tuple[int, ...]
    replaced: tuple[Replacement, ...]
    """In the order in which the characters first came."""


class Vocabulary:
    """Symbols of one or more whole characters each."""

    def __init__(self, symbols: Sequence[str], unknown: str | None = None) -> None:
        """Index the symbols.

        Args:
            symbols: text of each, by id; distinct and not empty.
            unknown: the one that stands for any character outside; None: there is none.
        """
        self.symbols = tuple(symbols)
        self._ids = {symbol: index for index, symbol in enumerate(self.symbols)}
        self._lengths = sorted({len(symbol) for symbol in self.symbols}, reverse=True)
        self._characters = frozenset("".join(self.symbols))
        self._unknown = unknown

    def __len__(self) -> int:
        return len(self.symbols)

    def id_of(self, symbol: str) -> int:
        """The id of a symbol. Raises KeyError if it is none."""
        return self._ids[symbol]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ``ids``, each in 0 .. len(self) - 1."""
        symbols = self.symbols
        return "".join([symbols[index] for index in ids])

    def encode(self, text: str, unknown: Literal["map", "refuse"] = "map") -> Encoded:
        """Split ``text`` into symbols, at each place the longest that fits.

        Args:
            text: any text.
            unknown: what to do about a character that no symbol has: ``map`` takes a near text
                that the symbols can write (Unicode compatibility, without accents, typographic
                signs in ASCII, the other case), else the unknown symbol, else nothing.

        Raises:
            InvalidInput: ``refuse``, and there are such characters; the text names them, their
                code points and positions. Or there are more than ``MAX_REPLACED``.
        """
        ids = self._match(text)
        if ids is not None:
            return Encoded(ids, ())
        if unknown == "refuse":
            raise self._refusal(text)
        return self._mapped(text)

    def _match(self, text: str) -> tuple[int, ...] | None:
        """The symbols of ``text``, or None if they cannot write all of it."""
        if self._lengths == [1]:
            try:
                return tuple([self._ids[character] for character in text])
            except KeyError:
                return None
        ids = []
        position = 0
        while position < len(text):
            found = self._longest(text, position)
            if found is None:
                return None
            ids.append(found)
            position += len(self.symbols[found])
        return tuple(ids)

    def _longest(self, text: str, position: int) -> int | None:
        for length in self._lengths:
            found = self._ids.get(text[position : position + length])
            if found is not None:
                return found
        return None

    def _mapped(self, text: str) -> Encoded:
        """As ``encode`` with ``map``, for a text that the symbols cannot write as it is."""
        replaced: Counter[tuple[str, str]] = Counter()
        known: dict[str, str] = {}

        def replace(found: re.Match[str]) -> str:
            cluster = found[0]
            near = known.get(cluster)
            if near is None:
                if len(known) == MAX_REPLACED:
                    raise self._too_foreign()
                near = known[cluster] = self._near(cluster)
            replaced[cluster, near] += 1
            return near

        unknown = set(text) - self._characters
        if len(unknown) > MAX_REPLACED:
            raise self._too_foreign()
        if unknown:
            text = unknown_clusters(text, unknown).sub(replace, text)
        ids = self._match(text)
        if ids is None:
            ids = self._match_parts(text, replaced)
        return Encoded(ids, tuple(Replacement(*pair, n) for pair, n in replaced.items()))

    def _near(self, cluster: str) -> str:
        """The nearest text in known characters, else the unknown symbol, else nothing."""
        for near in near_texts(cluster):
            if self._characters.issuperset(near):
                return near
        return self._unknown or ""

    def _match_parts(self, text: str, replaced: Counter[tuple[str, str]]) -> tuple[int, ...]:
        """The symbols of a text in known characters, not all of which stand alone."""
        ids = []
        position = 0
        while position < len(text):
            found = self._longest(text, position)
            if found is None:
                character = text[position]
                replaced[character, self._unknown or ""] += 1
                if self._unknown is not None:
                    ids.append(self._ids[self._unknown])
                position += 1
            else:
                ids.append(found)
                position += len(self.symbols[found])
        return tuple(ids)

    def _too_foreign(self) -> InvalidInput:
        return InvalidInput(
            f"prompt: more than {MAX_REPLACED} different characters are outside the model's "
            f"vocabulary of {len(self)} symbols; the model is not one for this text"
        )

    def _refusal(self, text: str) -> InvalidInput:
        """Names the first places at which no symbol fits."""
        places: dict[str, int] = {}
        position = 0
        while position < len(text):
            found = self._longest(text, position)
            if found is None:
                places.setdefault(text[position], position)
            position += 1 if found is None else len(self.symbols[found])
        named = ", ".join(
            f"{character!r} (U+{ord(character):04X}) at position {place}"
            for character, place in list(places.items())[:MAX_NAMED]
        )
        more = f" and {len(places) - MAX_NAMED} more" if len(places) > MAX_NAMED else ""
        return InvalidInput(
            f"prompt: characters outside the model's vocabulary of {len(self)} symbols: "
            f"{named}{more}; leave out unknown='refuse' to have them replaced"
        )
