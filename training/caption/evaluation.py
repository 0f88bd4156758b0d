"""Evaluates a trained run of family ``caption``; what ``quartet evaluate`` writes of it.

Captions are decoded freely: the network reads its own words, never a person's. The length penalty
of each beam width and the width that is shown are chosen on the validation split; the split that
is judged is decoded once at each width. What the decoder sees of a picture is computed once.
"""

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from torch import Tensor

from quartet.beam_search import Hypothesis
from training.caption.cider import CiderD
from training.caption.decoding import words_of
from training.caption.figures import Found, make_figures
from training.caption.judge import (
    RECORD,
    Captioned,
    chosen_rows,
    sheet_entries,
    sheet_title,
)
from training.caption.marks import marks_file, read_marks
from training.caption.model import Picture
from training.caption.nearest import nearest_captions
from training.caption.references import References, Words
from training.caption.report import card_section as card_section
from training.caption.report import describe as describe
from training.caption.sheet import Looked, draw_attention, draw_sheet
from training.caption.sight import mean_features, see_all
from training.caption.task import load_trained
from training.caption.tuning import WIDTHS, Tuned, search_all, tune_penalty
from training.data.caption_text import tokenize
from training.data.captioned_images import (
    CaptionedImages,
    CaptionedSplit,
    load_captioned_images,
)
from training.evaluation.spec import Evaluation, Split

LOOKED = 4
"""Captions on the sheet of attention."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """A split of N pictures, what people wrote of them and what the network sees of them."""

    part: CaptionedSplit
    references: References
    cider: CiderD
    view: Picture
    """N rows."""
    features: Tensor
    """[N, C], the encoder's means."""


class CaptionEvaluation:
    """One run directory of family ``caption``, with the data it is judged by.

    Args:
        run_dir: what ``quartet train caption`` wrote.
        data_dir: folder of data sets; read when a split is first asked for.
        tell: takes a line of progress.

    Raises:
        ConfigError: ``run_dir`` is no run of this family.
        CheckpointError: its weights are missing or damaged.
        DataError: (from the methods that read data) a file is missing or damaged.
    """

    def __init__(
        self, run_dir: Path, data_dir: Path, tell: Callable[[str], None] = lambda line: None
    ) -> None:
        self.config, self._captioner = load_trained(run_dir)
        self._model = self._captioner.model
        self._run_dir, self._data_dir, self._tell = run_dir, data_dir, tell

    @cached_property
    def images(self) -> CaptionedImages:
        """Pictures with captions."""
        config = self.config
        return load_captioned_images(
            self._data_dir, config.dataset, config.data.side, verify=config.data.verify
        )

    def data_checksums(self) -> dict[str, str]:
        """SHA-256 of the data set."""
        return {self.images.name: self.images.checksum}

    @cached_property
    def tuned(self) -> Mapping[int, Tuned]:
        """Beam width -> how the validation split wants it."""
        seen, longest = self._validation, self.config.data.max_words
        tuned = {}
        for width in WIDTHS:
            one = tune_penalty(self._model, seen.view, seen.cider, width, longest)
            tried = ", ".join(f"{p:g}: {score:.4f}" for p, score in one.cider_d.items())
            self._tell(f"beam {width}, CIDEr-D of validation by length penalty: {tried}")
            tuned[width] = one
        return tuned

    def evaluate(self, split: Split) -> Evaluation:
        """Scores beside floors and people, diversity, named nouns; two sheets; all captions.

        Raises ConfigError: the marks of the run (``training.caption.marks``) are damaged.
        """
        marks = read_marks(marks_file(self._run_dir, split))
        tuned = self.tuned
        seen = self._validation if split == "validation" else self._see(self.images.test)
        hypotheses = {width: self._search(seen, one) for width, one in tuned.items()}
        captions = {width: self._words(one) for width, one in hypotheses.items()}
        best = max(tuned, key=lambda width: tuned[width].best)
        train = _tokenized(self.images.train)
        found = Found(
            captions=captions,
            tuned=tuned,
            width=best,
            nearest=self._nearest(seen, train),
            references=seen.references,
            train=train,
            cider=seen.cider,
        )
        texts = {width: [" ".join(words) for words in one] for width, one in captions.items()}
        cider_d = seen.cider.scores(captions[best]).tolist()
        shown = _shown(seen.part, texts[best], cider_d)
        judgement = marks.count(shown.by_picture())
        title = sheet_title(split, best, judgement)
        return Evaluation(
            figures={**make_figures(found), "judgement": judgement},
            plots={
                RECORD: partial(draw_sheet, sheet_entries(shown, marks), title),
                **self._attention_plot(seen.part, hypotheses[best]),
            },
            records={
                RECORD: {
                    "width": best,
                    "pictures": list(seen.part.names),
                    "captions": {str(width): one for width, one in texts.items()},
                    "cider_d": cider_d,
                }
            },
        )

    @cached_property
    def _validation(self) -> _Seen:
        return self._see(self.images.validation)

    def _see(self, part: CaptionedSplit) -> _Seen:
        self._tell(f"looking at {len(part)} pictures")
        references = _tokenized(part)
        return _Seen(part, references, CiderD(references), *see_all(self._captioner, part.images))

    def _search(self, seen: _Seen, tuned: Tuned) -> list[Hypothesis]:
        self._tell(f"beam {tuned.settings.width}: {len(seen.part)} captions")
        return [best[0] for best in search_all(self._model, seen.view, tuned.settings)]

    def _words(self, found: Sequence[Hypothesis]) -> list[Words]:
        return [words_of(one, self._model.symbols) for one in found]

    def _nearest(self, seen: _Seen, train: References) -> list[Words]:
        pictures = self.images.train.images
        self._tell(f"looking at {len(pictures)} training pictures")
        return nearest_captions(seen.features, mean_features(self._captioner, pictures), train)

    def _attention_plot(
        self, part: CaptionedSplit, found: Sequence[Hypothesis]
    ) -> dict[str, Callable[[Path], None]]:
        """The sheet of where words look; none for a network without attention."""
        looked = []
        for row in chosen_rows(len(part))[:LOOKED]:
            shares, words = found[row].attention, words_of(found[row], self._model.symbols)
            if shares is not None and words:
                side = math.isqrt(shares.shape[1])  # pictures and their grids are square
                maps = shares[: len(words)].reshape(len(words), side, side)
                looked.append(Looked(part.images[row].permute(1, 2, 0).numpy(), words, maps))
        return {"attention": partial(draw_attention, looked)} if looked else {}


def open_run(run_dir: Path, data_dir: Path) -> CaptionEvaluation:
    """The family's entry for ``training.trained``; tells its progress on standard error."""
    return CaptionEvaluation(run_dir, data_dir, _tell)


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _tokenized(part: CaptionedSplit) -> list[list[Words]]:
    return [[tokenize(text) for text in texts] for texts in part.captions]


def _shown(part: CaptionedSplit, texts: Sequence[str], cider_d: Sequence[float]) -> Captioned:
    """The pictures of the sheet."""
    rows = chosen_rows(len(part))
    chosen = CaptionedSplit(
        part.images[rows],
        tuple(part.names[row] for row in rows),
        tuple(part.captions[row] for row in rows),
    )
    return Captioned(chosen, [texts[row] for row in rows], [cider_d[row] for row in rows])
