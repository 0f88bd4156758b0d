"""Whether captions name what pictures show."""

import pytest

from training.caption.naming import NOUNS, measure_naming
from training.data.caption_text import tokenize

REFERENCES = [
    [tokenize(text) for text in texts]
    for texts in (
        ("a dog runs", "two dogs", "an animal"),
        ("a dog on a beach", "a man", "a man at the sea"),
        ("men at sea", "a man", "people"),
        ("a boat",),
    )
]
NAMED = {"dog": ("dog", "dogs"), "man": ("man", "men"), "boat": ("boat",), "car": ("car",)}


def measure(*captions: str, support: int = 1) -> dict[str, dict[str, float | None]]:
    found = measure_naming([tokenize(c) for c in captions], REFERENCES, NAMED, support).as_dict()
    return {**found["nouns"], "all": found["all"]}


def test_two_references_decide_what_a_picture_shows() -> None:
    figures = measure("a dog", "a dog", "a dog", "a dog")
    assert figures["dog"] == {
        "shown": 1,
        "named": 4,
        "precision": 0.25,
        "precision_any": 0.5,
        "recall": 1.0,
    }
    assert figures["man"]["recall"] == 0.0
    assert figures["man"]["precision"] is None


def test_a_lone_reference_suffices_where_there_is_no_other() -> None:
    assert measure("x", "x", "x", "the boat")["boat"]["recall"] == 1.0


def test_plurals_count_and_parts_of_words_do_not() -> None:
    figures = measure("dogs", "men", "a woman", "x")
    assert figures["dog"]["recall"] == 1.0
    assert figures["man"]["named"] == 1


def test_all_counts_pairs_of_picture_and_noun() -> None:
    figures = measure("a dog and a man", "a man", "a dog", "a boat")
    assert figures["all"]["shown"] == 4
    assert figures["all"]["named"] == 5
    assert figures["all"]["recall"] == pytest.approx(3 / 4)
    assert figures["all"]["precision"] == pytest.approx(3 / 5)


def test_nouns_with_too_few_pictures_are_not_judged() -> None:
    assert set(measure("x", "x", "x", "x", support=2)) == {"man", "all"}


def test_no_form_stands_for_two_nouns() -> None:
    forms = [form for words in NOUNS.values() for form in words]
    assert len(forms) == len(set(forms))
    assert all(tokenize(form) == (form,) for form in forms)
