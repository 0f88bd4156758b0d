"""Turns captions into words and numbers, and back.

Captions are in lower case and hold only the letters a to z, digits and spaces; the same text is
trained on and scored, so that figures published for such references compare.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

BEGIN = "<start>"
"""Symbol before the first word; id 0."""
END = "<end>"
"""Symbol after the last word; id 1."""
UNKNOWN = "<unk>"
"""Symbol of every word outside the vocabulary; id 2. References never hold it."""
_REMOVED = re.compile(r"[^a-z0-9\s]")


def tokenize(text: str) -> tuple[str, ...]:
    """The words of ``text``: lower case, without any character but a-z, 0-9 and space.

    A removed character joins its neighbours ("man's" is "mans"); white space of any kind separates.
    """
    return tuple(_REMOVED.sub("", text.lower()).split())


def build_vocabulary(captions: Iterable[Sequence[str]], min_count: int) -> tuple[str, ...]:
    """``BEGIN``, ``END``, ``UNKNOWN``, then the words seen ``min_count`` times or more.

    Words go by falling count, equal counts by the alphabet. A word's position is its id.
    """
    if min_count < 1:
        raise ValueError(f"min_count: expected 1 or more, got {min_count}")
    counts = Counter(word for words in captions for word in words)
    frequent = [word for word, count in counts.items() if count >= min_count]
    return (BEGIN, END, UNKNOWN, *sorted(frequent, key=lambda word: (-counts[word], word)))


def encode(words: Iterable[str], index: Mapping[str, int]) -> list[int]:
    """Ids of ``words`` by ``index`` (word -> id), without ``BEGIN`` and ``END``.

    A word outside ``index`` becomes ``UNKNOWN``.
    """
    unknown = index[UNKNOWN]
    return [index.get(word, unknown) for word in words]


def decode(ids: Iterable[int], vocabulary: Sequence[str]) -> tuple[str, ...]:
    """Words of ``ids`` up to the first ``END``, without any ``BEGIN``.

    Raises IndexError for an id before ``END`` that is outside ``vocabulary``.
    """
    words: list[str] = []
    for number in ids:
        if not 0 <= number < len(vocabulary):
            raise IndexError(f"ids: expected 0 to {len(vocabulary) - 1}, got {number}")
        if vocabulary[number] == END:
            break
        if vocabulary[number] != BEGIN:
            words.append(vocabulary[number])
    return tuple(words)
