"""Verbatim overlap against a search of every substring."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.text.overlap import COPIED, Ids, match_lengths, measure_overlap

texts = st.lists(st.integers(0, 2), min_size=1, max_size=40).map(np.array)


def ids(text: str) -> Ids:
    return np.array([ord(character) for character in text])


def search(train: Ids, text: Ids) -> list[int]:
    """Longest match of each place, by looking for every substring."""
    where, what = bytes(train.tolist()), bytes(text.tolist())
    return [
        max(end - start for end in range(start, len(what) + 1) if what[start:end] in where)
        for start in range(len(what))
    ]


@given(train=texts, samples=st.lists(texts, min_size=1, max_size=3))
def test_match_lengths_are_those_of_a_search(train: Ids, samples: list[Ids]) -> None:
    found = match_lengths(train, samples)
    assert [part.tolist() for part in found] == [search(train, text) for text in samples]


def test_no_match_passes_the_end_of_the_training_text_or_of_a_sample() -> None:
    # "cd" ends the training text and "ab" begins each sample; "cdab" stands nowhere.
    first, second = match_lengths(ids("abcd"), [ids("abcd"), ids("cdab")])
    assert first.tolist() == [4, 3, 2, 1]
    assert second.tolist() == [2, 1, 2, 1]


def test_symbol_that_training_lacks_matches_nothing() -> None:
    assert match_lengths(ids("aaaa"), [ids("xax")])[0].tolist() == [0, 1, 0]


def test_long_copy_is_found_whole() -> None:
    train = np.random.default_rng(0).integers(0, 60, 20_000)
    text = np.random.default_rng(1).integers(0, 60, 3000)
    text[500:1800] = train[7000:8300]
    assert measure_overlap(train, [text]).longest[0] in range(1300, 1310)


def test_copied_share_counts_long_matches_once() -> None:
    train = np.arange(200)
    short, long = COPIED - 1, COPIED + 3
    text = np.concatenate([train[:short], train[100 : 100 + long], np.full(20, 500)])
    overlap = measure_overlap(train, [text, np.full(10, 500)])
    assert overlap.longest == (long, 0)
    assert overlap.copied == long / (len(text) + 10)


def test_dictionary_tells_the_longest_and_the_median() -> None:
    values = measure_overlap(ids("abcdef"), [ids("abc"), ids("xf"), ids("cdef")]).as_dict()
    assert (values["texts"], values["longest"], values["median"]) == (3, 4, 3.0)
    assert values["longest_each"] == [4, 3, 1]


@pytest.mark.parametrize(("train", "samples"), [("", ["a"]), ("a", []), ("a", ["a", ""])])
def test_empty_text_is_refused(train: str, samples: list[str]) -> None:
    with pytest.raises(ValueError, match="none of them empty"):
        match_lengths(ids(train), [ids(sample) for sample in samples])
