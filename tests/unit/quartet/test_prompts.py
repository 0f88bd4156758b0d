"""Words of a prompt."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quartet.prompts import prompt_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a thin slanted three", ("a", "thin", "slanted", "three")),
        ("  A Thin\tTHREE.\n", ("a", "thin", "three")),
        ("a middle-aged man", ("a", "middle-aged", "man")),
        ("an 8, please!", ("an", "8", "please")),
        ("the man's face", ("the", "man", "s", "face")),
        ("", ()),
        (" ., ", ()),
    ],
)
def test_prompt_words_are_lower_case_without_punctuation(text: str, words: tuple[str, ...]) -> None:
    assert prompt_words(text) == words


@settings(deadline=None)
@given(st.text(max_size=40))
def test_prompt_words_are_their_own_words(text: str) -> None:
    words = prompt_words(text)
    assert prompt_words(" ".join(words)) == words
    assert all(word and set(word) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") for word in words)
