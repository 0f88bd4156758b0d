"""Hands a trained run of family ``mnist`` to the evaluation."""

from functools import cached_property
from pathlib import Path

import torch

from training.data.mnist import Mnist, load_mnist
from training.evaluation.classification import evaluate_classifier
from training.evaluation.report import Predictions
from training.evaluation.report import describe as describe
from training.evaluation.spec import Evaluation, Split
from training.mnist.data import prepare
from training.mnist.model import CLASSES
from training.mnist.task import load_trained

_BATCH = 1000


class MnistEvaluation:
    """One run directory of family ``mnist``, with the data it is judged by.

    Args:
        run_dir: what ``quartet train mnist`` wrote.
        data_dir: folder of data sets; read when a split is first asked for.

    Raises:
        ConfigError: ``run_dir`` is no run of this family.
        CheckpointError: its weights are missing or damaged.
        DataError: (from the methods that read data) a file is missing, or not the published one
            though the run was trained on that.
    """

    def __init__(self, run_dir: Path, data_dir: Path) -> None:
        self._config, self._model = load_trained(run_dir)
        self._data_dir = data_dir

    @cached_property
    def _data(self) -> Mnist:
        return load_mnist(self._data_dir, verify=self._config.data.verify)

    def data_checksums(self) -> dict[str, str]:
        """SHA-256 of the four IDX files, uncompressed."""
        return dict(self._data.checksums)

    def evaluate(self, split: Split) -> Evaluation:
        """Figures and pictures of a classifier; the classes are the digits."""
        labels = tuple(str(digit) for digit in range(CLASSES))
        return evaluate_classifier(self.predictions(split), labels)

    def predictions(self, split: Split) -> Predictions:
        """PyTorch's float32 answers over a whole split."""
        data = self._data.test if split == "test" else self._data.validation
        with torch.inference_mode():
            logits = torch.cat(
                [self._model(prepare(rows)) for rows in torch.split(data.images, _BATCH)]
            )
        return Predictions(
            images=data.images.numpy(),
            targets=data.labels.numpy(),
            log_probabilities=torch.log_softmax(logits.double(), dim=1).numpy(),
        )


def open_run(run_dir: Path, data_dir: Path) -> MnistEvaluation:
    """The family's entry for ``training.trained``."""
    return MnistEvaluation(run_dir, data_dir)
