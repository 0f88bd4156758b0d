"""How varied captions are."""

import pytest

from training.caption.diversity import measure_diversity

CAPTIONS = [("a", "dog"), ("a", "cat", "sits"), ("a", "dog"), ("two", "dogs", "run", "fast")]


def test_copies_and_repetitions_are_counted() -> None:
    figures = measure_diversity(CAPTIONS, {("a", "dog"), ("a", "horse")})
    assert figures == {
        "captions": 4,
        "distinct": 3,
        "new": 0.5,
        "vocabulary": 8,
        "words": 11 / 4,
        "most_frequent": {"caption": "a dog", "count": 2},
    }


def test_no_captions_are_refused() -> None:
    with pytest.raises(ValueError, match="one or more"):
        measure_diversity([], set())
