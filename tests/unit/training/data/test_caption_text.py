"""Captions as words and ids."""

import pytest

from training.data.caption_text import (
    BEGIN,
    END,
    UNKNOWN,
    build_vocabulary,
    decode,
    encode,
    tokenize,
)

CAPTIONS = (("a", "dog", "runs"), ("a", "cat", "runs"), ("a", "bird"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A dog's  ball , red-white .", ("a", "dogs", "ball", "redwhite")),
        ("two\tdogs\nrun", ("two", "dogs", "run")),
        ("Number 7", ("number", "7")),
        ("Größe", ("gre",)),
        (" . ! ", ()),
    ],
)
def test_tokenize_keeps_only_letters_digits_and_words(text: str, words: tuple[str, ...]) -> None:
    assert tokenize(text) == words


def test_build_vocabulary_orders_by_count_then_alphabet() -> None:
    words = ("a", "runs", "bird", "cat", "dog")
    assert build_vocabulary(CAPTIONS, 1) == (BEGIN, END, UNKNOWN, *words)


def test_build_vocabulary_leaves_out_rare_words() -> None:
    assert build_vocabulary(CAPTIONS, 2)[3:] == ("a", "runs")


def test_build_vocabulary_refuses_a_count_below_one() -> None:
    with pytest.raises(ValueError, match="min_count: expected 1 or more, got 0"):
        build_vocabulary(CAPTIONS, 0)


def test_decode_gives_the_words_that_were_encoded() -> None:
    vocabulary = build_vocabulary(CAPTIONS, 2)
    index = {word: number for number, word in enumerate(vocabulary)}
    ids = encode(("a", "zebra", "runs"), index)
    assert ids == [3, 2, 4]
    assert decode(ids, vocabulary) == ("a", UNKNOWN, "runs")


def test_decode_stops_at_the_first_end() -> None:
    vocabulary = build_vocabulary(CAPTIONS, 2)
    assert decode([0, 3, 1, 4, 99], vocabulary) == ("a",)


@pytest.mark.parametrize("number", [-1, 5])
def test_decode_refuses_an_id_outside_the_vocabulary(number: int) -> None:
    with pytest.raises(IndexError, match=f"expected 0 to 4, got {number}"):
        decode([3, number], build_vocabulary(CAPTIONS, 2))
