"""Hands a trained run of family ``mnist`` to the exporter."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from quartet.artifact import METADATA_KEY, ClassificationTask, ImageSpec, dump_task
from training.data.mnist import Mnist, Split, load_mnist
from training.evaluation.classification import card_section
from training.export.predict import Arrays, Predict
from training.export.single import QuantizedGraphRun
from training.export.spec import CardFacts, ExportGraph
from training.mnist.data import prepare
from training.mnist.model import CLASSES, SIDE
from training.mnist.strokes import golden_images
from training.mnist.task import load_trained

INPUT, OUTPUT = "image", "probabilities"
LABELS = tuple(str(digit) for digit in range(CLASSES))
_BATCH = 1000
_SEED = 0


class DigitClassifier(nn.Module):
    """The served graph: pictures as they are stored, in; probabilities, out."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> Tensor:
        """uint8 [batch, 28, 28], ink 255 on 0, to float32 [batch, 10], each row summing to 1."""
        return torch.softmax(self.model(prepare(image)), dim=1)


class MnistRun(QuantizedGraphRun):
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

    def labels(self) -> tuple[str, ...]:
        """The digits as text, by index."""
        return LABELS

    def graph(self) -> ExportGraph:
        """The classifier."""
        return digit_graph(self._model)

    def calibration_inputs(self, count: int) -> Iterator[Arrays]:
        """``count`` training pictures, or all if fewer, drawn with a fixed seed, by up to 100."""
        images = self._data.train.images.numpy()
        count = min(count, len(images))
        rows = np.random.default_rng(_SEED).choice(len(images), count, replace=False)
        for start in range(0, count, 100):
            yield {INPUT: images[rows[start : start + 100]]}

    def validation_score(self, predict: Predict) -> float:
        """Accuracy on the 5,000 validation pictures."""
        return _accuracy(predict, self._data.validation)

    def test_score(self, predict: Predict) -> float:
        """Accuracy on the 10,000 test pictures."""
        return _accuracy(predict, self._data.test)

    def card_section(self, figures: Mapping[str, Any]) -> str:
        """Figures of a classifier."""
        return card_section(figures)

    def card(self) -> CardFacts:
        """Facts for the model card."""
        published = self._config.data.verify
        parameters = sum(parameter.numel() for parameter in self._model.parameters())
        return CardFacts(
            title=f"Handwritten digits ({self._config.model.arch})",
            purpose=_PURPOSE,
            limits=_LIMITS,
            data=_DATA if published else _OTHER_DATA,
            terms=_TERMS if published else _OTHER_TERMS,
            architecture=f"{_ARCHITECTURES[self._config.model.arch]} {parameters:,} parameters.",
        )


def open_run(run_dir: Path, data_dir: Path) -> MnistRun:
    """The family's entry for ``training.trained``."""
    return MnistRun(run_dir, data_dir)


def digit_graph(model: nn.Module) -> ExportGraph:
    """The export of any model that maps standardised pictures [B, 1, 28, 28] to logits [B, 10]."""
    task = ClassificationTask(
        image=ImageSpec(input=INPUT, layout="HW", height=SIDE, width=SIDE, mode="L", fit="digit"),
        output=OUTPUT,
        labels=LABELS,
    )
    return ExportGraph(
        module=DigitClassifier(model).eval(),
        inputs={INPUT: torch.zeros(2, SIDE, SIDE, dtype=torch.uint8)},
        outputs=(OUTPUT,),
        dynamic_axes={INPUT: {0: "batch"}, OUTPUT: {0: "batch"}},
        golden_inputs={INPUT: golden_images()},
        metadata={METADATA_KEY: dump_task(task)},
    )


def _accuracy(predict: Predict, split: Split) -> float:
    images, labels = split.images.numpy(), split.labels.numpy()
    correct = 0
    for start in range(0, len(images), _BATCH):
        rows = slice(start, start + _BATCH)
        scores = np.asarray(predict({INPUT: images[rows]})[OUTPUT])
        correct += int((scores.argmax(axis=1) == labels[rows]).sum())
    return correct / len(images)


_ARCHITECTURES = {
    "mlp": "Fully connected network (Rumelhart, Hinton, Williams 1986) with dropout.",
    "lenet": "Two 5x5 convolutions with pooling, then fully connected layers (after LeCun et al. "
    "1998, wider, with ReLU and dropout).",
    "resnet": "Residual network of 3x3 convolutions with skip connections (He et al. 2016).",
}
_PURPOSE = """\
Says which of the digits 0 to 9 a picture of **one** handwritten digit shows. Input `image` is
uint8 [batch, 28, 28] in MNIST's form: ink 255 on a background of 0, the digit fitted into 20x20
pixels and centred by its mass. `POST /v1/classify` brings a photo or a drawing to that form.
Output `probabilities` is float32 [batch, 10]."""
_LIMITS = (
    "It knows no eleventh class: a letter, an empty page or noise also gets a digit, often with "
    "high probability.",
    "It reads one digit. Numbers of several digits must be cut apart first.",
    "Its training pictures were written by US census staff and high-school students; other habits "
    "(a 1 with a long upstroke, a crossed 7) are rare there.",
    "A photo with shadows, ruled paper or other objects may be brought to MNIST's form wrongly "
    "before the model sees it.",
)
_DATA = """\
MNIST (Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits", 1998):
55,000 pictures for training, 5,000 for validation (the last of the training files), 10,000 for
the test. No picture of it is part of this folder; those in `golden.npz` are drawn by
`training.mnist.strokes`."""
_OTHER_DATA = """\
Files in MNIST's form other than the published ones (`--no-data.verify`); their checksums stand in
each version's `run.json`."""
_OTHER_TERMS = "those of the files' owner."
_TERMS = "Creative Commons Attribution-ShareAlike 3.0, as commonly stated for MNIST."
