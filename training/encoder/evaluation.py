"""Hands a trained run of family ``encoder`` to the evaluation."""

from functools import cached_property
from pathlib import Path

import torch

from training.data.tiny_imagenet import TinyImageNet, load_tiny_imagenet
from training.encoder.task import load_trained
from training.evaluation.metrics import wilson_interval
from training.evaluation.spec import Evaluation, Figures, Split
from training.vision.views import plain_views

_BATCH = 250


class EncoderEvaluation:
    """One run directory of family ``encoder``, with the data it is judged by.

    Args:
        run_dir: what ``quartet train encoder`` wrote.
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
    def _data(self) -> TinyImageNet:
        return load_tiny_imagenet(self._data_dir)

    def data_checksums(self) -> dict[str, str]:
        """SHA-256 of the data set."""
        return {"tiny-imagenet-200": self._data.checksum}

    def evaluate(self, split: Split) -> Evaluation:
        """Share of pictures whose class comes first, and whose class is among the first five."""
        data = self._data.test if split == "test" else self._data.validation
        first = five = 0
        with torch.inference_mode():
            for start in range(0, len(data), _BATCH):
                rows = slice(start, start + _BATCH)
                views = plain_views(data.images[rows], self._config.data.validation_side)
                hits = self._model(views).topk(5).indices == data.labels[rows].unsqueeze(1)
                first += int(hits[:, 0].sum())
                five += int(hits.any(dim=1).sum())
        return Evaluation(
            figures={
                "accuracy": first / len(data),
                "accuracy_interval_95": list(wilson_interval(first, len(data))),
                "top5_accuracy": five / len(data),
                "count": len(data),
            }
        )


def open_run(run_dir: Path, data_dir: Path) -> EncoderEvaluation:
    """The family's entry for ``training.trained``."""
    return EncoderEvaluation(run_dir, data_dir)


def describe(figures: Figures) -> str:
    """Both accuracies, in words."""
    low, high = figures["accuracy_interval_95"]
    return (
        f"class first: {figures['accuracy']:.2%} of {figures['count']} pictures "
        f"(Wilson 95 % interval {low:.2%} to {high:.2%})\n"
        f"class among the first five: {figures['top5_accuracy']:.2%}"
    )
