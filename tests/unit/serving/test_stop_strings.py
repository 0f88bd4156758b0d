"""Stop strings in texts that come in parts."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.stop_strings import StopStrings

LETTERS = st.text(st.sampled_from("ab"), max_size=30)
STOPS = st.lists(st.text(st.sampled_from("ab"), min_size=1, max_size=6), min_size=1, max_size=3)


def first_find(text: str, stops: list[str]) -> tuple[int, int] | None:
    """The find that ends first, the longest of several, by trying every end."""
    for end in range(1, len(text) + 1):
        lengths = [len(stop) for stop in stops if text[:end].endswith(stop)]
        if lengths:
            return end - max(lengths), end
    return None


def held_back(text: str, stops: list[str]) -> int:
    """The longest end of ``text`` that begins a stop string, by trying every length."""
    lengths = range(min(len(text), max(map(len, stops)) - 1) + 1)
    return max(n for n in lengths if n == 0 or any(s.startswith(text[-n:]) for s in stops))


@given(LETTERS, STOPS, st.lists(st.integers(0, 30)))
def test_feed_finds_the_same_however_the_text_is_cut(
    text: str, stops: list[str], cuts: list[int]
) -> None:
    scanner = StopStrings(stops).scanner()
    expected = first_find(text, stops)
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    for begin, end in pairwise(places):
        found = scanner.feed(text[begin:end])
        if found is not None:
            assert (begin + found[0], begin + found[1]) == expected
            return
        assert scanner.held == held_back(text[:end], stops)
    assert expected is None


def test_feed_holds_back_what_a_long_string_may_begin_with() -> None:
    stop = "abc" * 1000
    scanner = StopStrings([stop]).scanner()
    assert scanner.feed("x" + stop[:-1]) is None
    assert scanner.held == len(stop) - 1
    assert scanner.feed("x") is None
    assert scanner.held == 0


@pytest.mark.parametrize("stops", [["b", "ab"], ["ab", "b"]])
def test_feed_gives_the_longest_of_those_that_end_together(stops: list[str]) -> None:
    assert StopStrings(stops).scanner().feed("xab") == (1, 3)
