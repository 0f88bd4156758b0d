"""Hands a trained run of family ``faces`` to the exporter."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from training.data.utkface import SIDE, Split, UtkFace, load_utkface
from training.export.engine import onnx_predict
from training.export.model_config import MAX_PICTURES, config_text
from training.export.parity import Tolerance, check_batch_invariance
from training.export.predict import Predict
from training.export.rowwise import RowLinear
from training.export.single import SingleGraphRun
from training.export.spec import CardFacts, ExportGraph, Metric, Variant
from training.export.timing import time_batches
from training.faces import card
from training.faces.model import AGES, FaceAttributes
from training.faces.task import load_trained
from training.runtime import one_thread
from training.vision.drawings import draw_pictures
from training.vision.views import standardise

INPUT = "image"
OUTPUTS = ("female", "age", "features")
AGE_ERROR = Metric(
    name="age_error_years", higher_is_better=False, max_drop=0.0, decimals=2, unit=" years"
)
"""Mean absolute error of the age."""
_DRAWN = 32
"""Pictures drawn for the golden file."""
_BATCH = 64


class FaceScorer(nn.Module):
    """The served graph: pictures as they are stored, in; attributes and features, out."""

    def __init__(self, model: FaceAttributes) -> None:
        super().__init__()
        self.encoder = model.encoder
        last = model.classifier[-1]
        if not isinstance(last, nn.Linear):
            raise TypeError(f"expected a linear layer at the end, got {type(last).__name__}")
        self.classifier = RowLinear(last.weight, last.bias)
        self.expectation = RowLinear(torch.arange(AGES, dtype=torch.float32)[None], None)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """uint8 [B, S, S, 3], red, green, blue, to the probability of "female" and the age [B].

        The features [B, F] under both are the third output.
        """
        pixels = image.permute(0, 3, 1, 2).float() / 255
        features = self.encoder(standardise(pixels)).mean((2, 3))
        logits = self.classifier(features)
        age = self.expectation(torch.softmax(logits[:, 1:], 1))[:, 0]
        return logits[:, 0].sigmoid(), age, features


class FacesRun(SingleGraphRun):
    """One run directory of family ``faces``, with the data it is judged by.

    Args:
        run_dir: what ``quartet train faces`` wrote.
        data_dir: folder of data sets; read when a split is first asked for.

    Raises:
        ConfigError: ``run_dir`` is no run of this family.
        CheckpointError: its weights are missing or damaged.
        DataError: (from the methods that read data) a file is missing or damaged.
    """

    metric = AGE_ERROR
    golden_tolerance = Tolerance(atol=2e-2, rtol=1e-2)
    """Of probabilities, years and features alike."""

    def __init__(self, run_dir: Path, data_dir: Path) -> None:
        self._config, self._model = load_trained(run_dir)
        self._data_dir = data_dir

    @cached_property
    def _data(self) -> UtkFace:
        return load_utkface(self._data_dir)

    def graph(self) -> ExportGraph:
        """The scorer."""
        return scorer_graph(self._model)

    @one_thread()
    def float32(self) -> Variant:
        """As of any graph; beyond that, rows must have the same bits in any batch."""
        variant = super().float32()
        predict, inputs = onnx_predict(variant.model), self.graph().golden_inputs
        check_batch_invariance(predict, inputs)
        return replace(variant, times=time_batches(predict, inputs))

    def config_text(self, name: str, variant: Variant) -> str:
        """Small batches: each picture takes milliseconds."""
        return config_text(name, variant.model, max_batch_size=MAX_PICTURES)

    def validation_score(self, predict: Predict) -> float:
        """Mean absolute error of the age on the validation split, years."""
        return _age_error(predict, self._data.validation)

    def test_score(self, predict: Predict) -> float:
        """The same on the test split."""
        return _age_error(predict, self._data.test)

    def card_section(self, figures: Mapping[str, Any]) -> str:
        """Gender and age, by groups of age."""
        return card.section(figures)

    def card(self) -> CardFacts:
        """Facts for the model card."""
        return card.facts(self._model)


def open_run(run_dir: Path, data_dir: Path) -> FacesRun:
    """The family's entry for ``training.trained``."""
    return FacesRun(run_dir, data_dir)


def scorer_graph(model: FaceAttributes) -> ExportGraph:
    """The export of ``model``. A plain model of tensors: it declares no task."""
    return ExportGraph(
        module=FaceScorer(model).eval(),
        inputs={INPUT: torch.zeros(2, SIDE, SIDE, 3, dtype=torch.uint8)},
        outputs=OUTPUTS,
        dynamic_axes={name: {0: "batch"} for name in (INPUT, *OUTPUTS)},
        golden_inputs={INPUT: draw_pictures(_DRAWN, SIDE)},
    )


def _age_error(predict: Predict, split: Split) -> float:
    images = split.images.permute(0, 2, 3, 1).numpy()
    guesses = [
        predict({INPUT: np.ascontiguousarray(images[start : start + _BATCH])})["age"]
        for start in range(0, len(images), _BATCH)
    ]
    return float(np.abs(np.concatenate(guesses) - split.ages.numpy()).mean())
