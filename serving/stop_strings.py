"""Looks for strings in a text that comes in parts, each character once.

One automaton a string (Knuth, Morris, Pratt 1977): its state is the length of the longest beginning
of the string that the text ends with, which is also how much of the text has to be held back.
"""

from collections.abc import Sequence


class StopStrings:
    """The strings of one request."""

    def __init__(self, strings: Sequence[str]) -> None:
        """Prepare ``strings``, none of them empty."""
        self.patterns = tuple((string, _failures(string)) for string in strings)

    def scanner(self) -> "StopScanner":
        """To look through one text."""
        return StopScanner(self)


class StopScanner:
    """How far one text has come."""

    __slots__ = ("_patterns", "_states", "held")

    def __init__(self, strings: StopStrings) -> None:
        self._patterns = strings.patterns
        self._states = [0] * len(strings.patterns)
        self.held = 0
        """Characters at the text's end that may be the beginning of a stop string."""

    def feed(self, text: str) -> tuple[int, int] | None:
        """Look through the next part of the text.

        Returns:
            Begin and end of the stop string that ends first, of several the longest, counted from
            the beginning of ``text``: the begin is negative if it lies in the parts before. None if
            there is none yet. After a find the scanner is of no more use.
        """
        end = len(text)
        length = 0
        for index, (pattern, failures) in enumerate(self._patterns):
            state, found = _advance(pattern, failures, self._states[index], text, end)
            self._states[index] = state
            if found is not None and (found < end or len(pattern) > length):
                end, length = found, len(pattern)
        if length:
            return end - length, end
        self.held = max(self._states)
        return None


def _advance(
    pattern: str, failures: Sequence[int], state: int, text: str, end: int
) -> tuple[int, int | None]:
    """The state after ``text[:end]``, or the end of the first find."""
    position = 0
    while True:
        if state == 0:
            position = text.find(pattern[0], position, end)
            if position < 0:
                return 0, None
            state = 1
        elif position < end:
            character = text[position]
            while state and pattern[state] != character:
                state = failures[state - 1]
            if pattern[state] == character:
                state += 1
        else:
            return state, None
        position += 1
        if state == len(pattern):
            return state, position


def _failures(pattern: str) -> list[int]:
    """For each beginning of ``pattern``, the longest shorter beginning that it ends with."""
    failures = [0] * len(pattern)
    state = 0
    for position in range(1, len(pattern)):
        while state and pattern[state] != pattern[position]:
            state = failures[state - 1]
        if pattern[state] == pattern[position]:
            state += 1
        failures[position] = state
    return failures
