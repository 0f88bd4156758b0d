"""A person's judgement of captions."""

import json
from pathlib import Path

import pytest

from quartet.config import ConfigError
from training.caption.marks import Marks, mark_counts, read_marks, write_marks

MARKS = Marks("a reader", {"1.jpg": {"a dog": "right"}, "2.jpg": {"a cat": "wrong"}})


def test_a_changed_caption_loses_its_mark() -> None:
    assert MARKS.mark("1.jpg", "a dog") == "right"
    assert MARKS.mark("1.jpg", "a dog runs") is None
    assert MARKS.mark("3.jpg", "a dog") is None


def test_counts_tell_what_is_not_judged() -> None:
    counts = MARKS.count({"1.jpg": "a dog", "2.jpg": "two cats", "3.jpg": "a boat"})
    assert counts == {
        "judge": "a reader",
        "right": 1,
        "nearly right": 0,
        "wrong": 0,
        "not judged": 2,
    }
    assert mark_counts(counts) == "1 right, 2 not judged"


def test_places_are_made_and_old_marks_are_kept() -> None:
    places = MARKS.with_places_for({"1.jpg": "a dog runs", "3.jpg": "a boat"})
    assert places.marks == {
        "1.jpg": {"a dog": "right", "a dog runs": None},
        "2.jpg": {"a cat": "wrong"},
        "3.jpg": {"a boat": None},
    }


def test_marks_are_read_as_they_were_written(tmp_path: Path) -> None:
    places = MARKS.with_places_for({"1.jpg": "a dog runs"})
    write_marks(tmp_path / "marks.json", places)
    assert read_marks(tmp_path / "marks.json") == places
    assert read_marks(tmp_path / "none.json") == Marks()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is damaged"),
        ('{"marks": {}}', "is damaged"),
        ('{"judge": "", "marks": {"1.jpg": ["a dog"]}}', "is damaged"),
        (json.dumps({"judge": "", "marks": {"1.jpg": {"a dog": "good"}}}), "got 'good'"),
    ],
)
def test_damaged_marks_are_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "marks.json").write_text(content)
    with pytest.raises(ConfigError, match=message):
        read_marks(tmp_path / "marks.json")
