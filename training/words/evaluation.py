"""Hands a trained run of family ``words`` to the evaluation."""

from functools import cached_property
from pathlib import Path

import torch

from training.data.captioned_images import CaptionedImages, load_captioned_images
from training.evaluation.spec import Evaluation, Figures, Split
from training.vision.views import plain_views
from training.words.targets import average_precisions, choose_words, word_targets
from training.words.task import load_trained

_BATCH = 100
_SHOWN = 20


class WordsEvaluation:
    """One run directory of family ``words``, with the data it is judged by.

    Args:
        run_dir: what ``quartet train words`` wrote.
        data_dir: folder of data sets; read when a split is first asked for.

    Raises:
        ConfigError: ``run_dir`` is no run of this family.
        CheckpointError: its weights are missing or damaged.
        DataError: (from the methods that read data) a file is missing or damaged.
    """

    def __init__(self, run_dir: Path, data_dir: Path) -> None:
        self._config, self._model = load_trained(run_dir)
        self._data_dir = data_dir

    @cached_property
    def _images(self) -> CaptionedImages:
        data = self._config.data
        return load_captioned_images(
            self._data_dir, self._config.dataset, data.side, verify=data.verify
        )

    def data_checksums(self) -> dict[str, str]:
        """SHA-256 of the data set."""
        return {self._images.name: self._images.checksum}

    def evaluate(self, split: Split) -> Evaluation:
        """Average precision of every word, and its mean."""
        images, data = self._images, self._config.data
        part = images.test if split == "test" else images.validation
        words = choose_words(images.train.captions, data.words)
        shown = word_targets(part.captions, words, data.agreement) >= 1
        with torch.inference_mode():
            scores = torch.cat(
                [
                    self._model(plain_views(rows, data.validation_side))
                    for rows in torch.split(part.images, _BATCH)
                ]
            )
        precisions = average_precisions(scores, shown)
        known = {
            word: precision
            for word, precision in zip(words, precisions.tolist(), strict=True)
            if precision == precision  # a word that no picture of the split shows has none
        }
        return Evaluation(
            figures={
                "mean_average_precision": sum(known.values()) / len(known),
                "count": len(part),
                "average_precision": known,
            }
        )


def open_run(run_dir: Path, data_dir: Path) -> WordsEvaluation:
    """The family's entry for ``training.trained``."""
    return WordsEvaluation(run_dir, data_dir)


def describe(figures: Figures) -> str:
    """The mean, and the most frequent words."""
    precisions = list(figures["average_precision"].items())[:_SHOWN]
    listed = ", ".join(f"{word} {precision:.2f}" for word, precision in precisions)
    return (
        f"mean average precision of {len(figures['average_precision'])} words over "
        f"{figures['count']} pictures: {figures['mean_average_precision']:.4f}\n"
        f"most frequent words: {listed}"
    )
