"""A person's judgement of captions, kept beside the run.

``marks-<split>.json``::

    {"judge": "who looked", "marks": {"<picture>": {"<caption>": "right"}}}

A mark holds for a picture and the very words that were judged, so a caption that changes is not
judged any more, and one that comes back finds its mark again. null stands for not judged.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from quartet.config import ConfigError
from training.evaluation.spec import Figures, Split
from training.rundir import write_json

Mark = Literal["right", "nearly right", "wrong"]
"""right: all that the caption says is so; nearly right: the main thing is, a detail is not; wrong:
the main thing is not."""
MARKS: tuple[Mark, ...] = get_args(Mark)


@dataclass(frozen=True, slots=True)
class Marks:
    """All judgements of a split."""

    judge: str = ""
    """Who looked at the pictures."""
    marks: Mapping[str, Mapping[str, Mark | None]] = field(default_factory=dict)
    """Picture -> caption -> mark."""

    def mark(self, picture: str, caption: str) -> Mark | None:
        """That of these words about this picture; None if nobody judged them."""
        return self.marks.get(picture, {}).get(caption)

    def with_places_for(self, captions: Mapping[str, str]) -> "Marks":
        """The same, and a null for each caption (picture -> caption) that has no mark."""
        places = {
            picture: {**self.marks.get(picture, {}), caption: self.mark(picture, caption)}
            for picture, caption in captions.items()
        }
        return Marks(self.judge, {**self.marks, **places})

    def count(self, captions: Mapping[str, str]) -> Figures:
        """For JSON: ``judge``, how many of the captions have each mark, and ``not judged``."""
        found = Counter(self.mark(picture, caption) for picture, caption in captions.items())
        counts: Figures = {mark: found[mark] for mark in MARKS}
        return {"judge": self.judge, **counts, "not judged": found[None]}


def mark_counts(counts: Figures) -> str:
    """How many captions have each mark, as text; ``counts`` is what ``Marks.count`` gives."""
    named = [f"{counts[mark]} {mark}" for mark in (*MARKS, "not judged") if counts[mark]]
    return ", ".join(named)


def marks_file(run_dir: Path, split: Split) -> Path:
    """Where the marks of a split lie."""
    return run_dir / f"marks-{split}.json"


def read_marks(path: Path) -> Marks:
    """The marks of a file; none if there is no file. Raises ConfigError for a damaged one."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        judge, marks = str(values["judge"]), dict(values["marks"])
        given = [(p, c, mark) for p, texts in marks.items() for c, mark in texts.items()]
    except FileNotFoundError:
        return Marks()
    except (json.JSONDecodeError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{path} is damaged: {error!r}") from error
    _refuse_unknown(path, given)
    return Marks(judge, marks)


def write_marks(path: Path, marks: Marks) -> None:
    """Replace ``path``."""
    write_json(path, {"judge": marks.judge, "marks": marks.marks})


def _refuse_unknown(path: Path, given: Iterable[tuple[str, str, object]]) -> None:
    for picture, caption, mark in given:
        if mark is not None and mark not in MARKS:
            raise ConfigError(
                f"{path}: {picture}, {caption!r}: expected null or one of {', '.join(MARKS)}, "
                f"got {mark!r}"
            )
