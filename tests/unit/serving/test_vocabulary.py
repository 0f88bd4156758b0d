"""Text to symbols and back, and what becomes of characters that a vocabulary lacks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import InvalidInput
from serving.generation_types import Replacement
from serving.vocabulary import Vocabulary

ENGLISH = tuple("\n !\"',-./:;?") + tuple("ABCDEFGHIJKLMabcdefghijklmnopqrstuvwxyz")
"""Without digits and without the capitals from N on."""
PARTS = ("<u>", "a", "ab", "abc", "b", "é", "xy")
"""Symbols of several characters; c, x and y do not stand alone."""


def mapped(text: str, symbols: tuple[str, ...] = ENGLISH, unknown: str | None = None) -> str:
    vocabulary = Vocabulary(symbols, unknown)
    return vocabulary.decode(vocabulary.encode(text).ids)


@given(st.text(st.sampled_from(ENGLISH)))
def test_decode_undoes_encode(text: str) -> None:
    vocabulary = Vocabulary(ENGLISH)
    encoded = vocabulary.encode(text, "refuse")
    assert vocabulary.decode(encoded.ids) == text
    assert len(encoded.ids) == len(text)
    assert encoded.replaced == ()


@given(st.lists(st.sampled_from(PARTS[1:])))
def test_decode_undoes_encode_of_symbols_of_several_characters(parts: list[str]) -> None:
    text = "".join(parts)
    assert mapped(text, PARTS) == text


@given(st.text(max_size=40))
def test_encode_writes_any_text_in_symbols_it_has(text: str) -> None:
    for symbols, unknown in ((ENGLISH, None), (PARTS, "<u>")):
        vocabulary = Vocabulary(symbols, unknown)
        encoded = vocabulary.encode(text)
        assert all(0 <= index < len(vocabulary) for index in encoded.ids)
        assert bool(encoded.replaced) == (vocabulary.decode(encoded.ids) != text)


@given(st.text(max_size=40))
def test_encode_refuses_just_what_it_would_replace(text: str) -> None:
    vocabulary = Vocabulary(ENGLISH)
    replaced = vocabulary.encode(text).replaced
    if replaced:
        with pytest.raises(InvalidInput):
            vocabulary.encode(text, "refuse")
    else:
        assert vocabulary.encode(text, "refuse") == vocabulary.encode(text)


def test_encode_takes_the_longest_symbol_that_fits() -> None:
    assert Vocabulary(PARTS).encode("abcabab").ids == (3, 2, 2)


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("\u2018it\u2019s\u2019 \u201cfine\u201d", "'it's' \"fine\""),
        ("a\u2014b\u2013c\u2212d", "a--b-c-d"),
        ("wait\u2026", "wait..."),
        ("\ufb01ne \ufb04", "fine ffl"),
        ("caf\u00e9 na\u00efve", "cafe naive"),
        ("cafe\u0301", "cafe"),
        ("\u00c6sop, stra\u00dfe", "AEsop, strasse"),
        ("a\tb\u00a0c\u2003d", "a b c d"),
        ("one\r\ntwo\rthree\u2028four", "one\ntwo\nthree\nfour"),
        ("ze\u200bro\ufeff", "zero"),
        ("NO", "no"),
        ("\uff28\uff49", "Hi"),
    ],
)
def test_encode_puts_what_is_near(text: str, becomes: str) -> None:
    assert mapped(text) == becomes


def test_encode_prefers_a_mark_that_the_vocabulary_has() -> None:
    assert mapped("e\u0301", ("e", "\u00e9")) == "\u00e9"


def test_encode_puts_typographic_signs_where_there_are_no_plain_ones() -> None:
    assert mapped("it's - so", ("\u2019", "\u2013", *" iost")) == "it\u2019s \u2013 so"


def test_encode_puts_the_unknown_symbol_for_what_has_nothing_near() -> None:
    assert mapped("a\u4e2d\u6587b", PARTS, "<u>") == "a<u><u>b"


def test_encode_drops_what_has_nothing_near_and_no_unknown_symbol() -> None:
    assert mapped("a\u4e2d\x00\ud800b") == "ab"


def test_encode_puts_the_unknown_symbol_for_a_character_that_does_not_stand_alone() -> None:
    vocabulary = Vocabulary(PARTS, "<u>")
    encoded = vocabulary.encode("axb")
    assert vocabulary.decode(encoded.ids) == "a<u>b"
    assert encoded.replaced == (Replacement("x", "<u>", 1),)


def test_encode_names_and_counts_what_it_replaced() -> None:
    replaced = Vocabulary(ENGLISH).encode("\u201ca\u201d \u201cb\u201d\u4e2d").replaced
    assert replaced == (
        Replacement("\u201c", '"', 2),
        Replacement("\u201d", '"', 2),
        Replacement("\u4e2d", "", 1),
    )


def test_encode_names_a_line_end_of_two_characters_as_one() -> None:
    assert Vocabulary(ENGLISH).encode("a\r\nb").replaced == (Replacement("\r\n", "\n", 1),)


def test_encode_leaves_a_line_end_that_the_vocabulary_has() -> None:
    vocabulary = Vocabulary(("\r", "\n", "a"))
    assert vocabulary.encode("a\r\n").ids == (2, 0, 1)


def test_refusal_names_characters_code_points_and_positions() -> None:
    with pytest.raises(InvalidInput) as refused:
        Vocabulary(ENGLISH).encode("ab\u00e9 \x00\u00e9", "refuse")
    assert refused.value.message == (
        "prompt: characters outside the model's vocabulary of 51 symbols: '\u00e9' (U+00E9) at "
        "position 2, '\\x00' (U+0000) at position 4; leave out unknown='refuse' to have them "
        "replaced"
    )


def test_refusal_names_only_the_first_of_many() -> None:
    with pytest.raises(InvalidInput, match=r"\(U\+4E07\) at position 7 and 92 more"):
        Vocabulary(ENGLISH).encode("".join(map(chr, range(0x4E00, 0x4E64))), "refuse")


@pytest.mark.parametrize("marks", ["", "\u0301"])
def test_encode_refuses_a_text_that_is_nearly_all_foreign(marks: str) -> None:
    foreign = [chr(code) + marks for code in range(0x4E00, 0x4E00 + 1001)]
    Vocabulary(ENGLISH).encode("".join(foreign[:999] * 2))
    with pytest.raises(InvalidInput, match="more than 1000 different characters are outside"):
        Vocabulary(ENGLISH).encode("".join(foreign))
