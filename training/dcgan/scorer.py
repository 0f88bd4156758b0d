"""What a classifier that was trained here sees in pictures: the yardstick of all figures.

The scorers are served models, taken from the model repository as they are published, so that the
SHA-256 beside a figure says which yardstick it was. Both were trained without label smoothing,
which would cap the confidence that the score of Salimans et al. 2016 rests on. N pictures,
F features.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch
from torch import Tensor

from quartet.artifact import MODEL_FILE
from quartet.config import ConfigError
from training.dcgan.digit_form import slant, weight
from training.dcgan.pictures import PictureSet, digit_attributes, face_attributes
from training.provenance import sha256_of

Array = npt.NDArray[np.float64]

MODEL_REPOSITORY = Path("model_repo")
"""Where the scorers are looked for, as the exporter's default has it."""
FEATURES = "features"
"""Output of a scorer's graph."""
_BATCH = 100
_DIGIT_SIDE = 28
_LOG_ODDS_BOUND = 1e-6
"""Probabilities this near to 0 or 1 are no further told apart."""


@dataclass(frozen=True, slots=True)
class Scores:
    """What a scorer says of N pictures."""

    features: Array
    """[N, F], of the layer before the last."""
    attributes: Tensor
    """int64 [N, A], as the data's grammar has them (``training.dcgan.prompts``)."""
    values: Mapping[str, Array]
    """Attributes that change by degrees [N] each: ``weight`` in pixels and ``slant`` of digits,
    ``age`` in years and ``female``, the natural logarithm of the odds, of faces."""
    probabilities: Array | None = None
    """Of the digits [N, 10]."""


class Scorer(ABC):
    """A served model as a yardstick.

    Args:
        model: its folder in a model repository; version 1 is read.

    Raises:
        ConfigError: there is no such model.
    """

    attributes: tuple[str, ...]
    """Names of the columns of ``Scores.attributes``."""

    def __init__(self, model: Path) -> None:
        self.name = model.name
        """Of the served model."""
        file = model / "1" / MODEL_FILE
        if not file.is_file():
            raise ConfigError(f"{file}: no such scorer; export {model.name} first")
        self.sha256 = sha256_of(file)
        """Of its model.onnx."""
        self._session = onnxruntime.InferenceSession(self._graph(file).SerializeToString())
        self._input = self._session.get_inputs()[0].name

    @abstractmethod
    def score(self, images: Tensor) -> Scores:
        """Scores of pictures uint8 [N, C, S, S]."""

    @property
    def identity(self) -> dict[str, str]:
        """What stands beside each figure."""
        return {"model": self.name, "sha256": self.sha256}

    def _graph(self, file: Path) -> onnx.ModelProto:
        """The published graph, with an output of features."""
        return onnx.load(file)

    def _run(self, images: npt.NDArray[np.uint8], outputs: list[str]) -> list[Array]:
        """Outputs for ``images`` as the graph takes them, float64 [N, ...]."""
        parts = [
            self._session.run(outputs, {self._input: images[start : start + _BATCH]})
            for start in range(0, len(images), _BATCH)
        ]
        return [np.concatenate(rows).astype(np.float64) for rows in zip(*parts, strict=True)]


class DigitScorer(Scorer):
    """The served classifier of digits; the form of a digit is measured, not guessed.

    Args:
        model: folder of ``mnist`` in a model repository.
        borders: of ``weight`` and ``slant``, from the training split (``PictureSet.borders``).
    """

    attributes = ("digit", "weight", "slant")

    def __init__(self, model: Path, borders: Mapping[str, tuple[float, float]]) -> None:
        super().__init__(model)
        self._borders = borders

    def score(self, images: Tensor) -> Scores:
        """Scores of digits with or without a margin around their 28x28 pixels."""
        margin = (images.shape[2] - _DIGIT_SIDE) // 2
        middle = images[:, 0, margin : margin + _DIGIT_SIDE, margin : margin + _DIGIT_SIDE]
        middle = middle.contiguous()
        probabilities, features = self._run(middle.numpy(), ["probabilities", FEATURES])
        digits = torch.from_numpy(probabilities.argmax(1))
        return Scores(
            features,
            digit_attributes(middle, digits, self._borders),
            {"weight": weight(middle).double().numpy(), "slant": slant(middle).double().numpy()},
            probabilities,
        )

    def _graph(self, file: Path) -> onnx.ModelProto:
        model = onnx.load(file)
        add_features_output(model, "probabilities")
        return model


class FaceScorer(Scorer):
    """The served model of gender and age."""

    attributes = ("gender", "age")

    def score(self, images: Tensor) -> Scores:
        """Scores of faces of 64x64 pixels. An age counts as its years completed."""
        pixels = images.permute(0, 2, 3, 1).contiguous().numpy()
        female, ages, features = self._run(pixels, ["female", "age", FEATURES])
        female, ages = female.reshape(-1), ages.reshape(-1)
        years = torch.from_numpy(ages.astype(np.int64))
        bounded = female.clip(_LOG_ODDS_BOUND, 1 - _LOG_ODDS_BOUND)
        return Scores(
            features,
            face_attributes(years, torch.from_numpy(female > 0.5)),
            {"female": np.log(bounded) - np.log1p(-bounded), "age": ages},
        )


def add_features_output(model: onnx.ModelProto, output: str) -> None:
    """Give ``model`` the output ``features``: what its last linear layer reads.

    Args:
        model: changed in place; a chain that ends in Gemm or MatMul, maybe followed by Softmax and
            an addition of the bias.
        output: where to begin looking.

    Raises:
        ConfigError: no linear layer is found on the way back from ``output``.
    """
    makers = {name: node for node in model.graph.node for name in node.output}
    tensor = output
    while (node := makers.get(tensor)) is not None:
        if node.op_type in ("Gemm", "MatMul"):
            source = node.input[0]
            model.graph.node.append(onnx.helper.make_node("Identity", [source], [FEATURES]))
            model.graph.output.append(
                onnx.helper.make_tensor_value_info(FEATURES, onnx.TensorProto.FLOAT, None)
            )
            return
        if node.op_type not in ("Softmax", "Add", "Identity"):
            break
        tensor = node.input[0]
    raise ConfigError(f"the scorer's output {output!r} comes from no linear layer")


def open_scorer(
    dataset: str, data: PictureSet, repository: Path = MODEL_REPOSITORY
) -> Scorer | None:
    """The scorer of ``dataset``; None for pictures that no model here knows anything of.

    Raises ConfigError: the model is not in ``repository``.
    """
    if dataset == "mnist":
        return DigitScorer(repository / "mnist", data.borders)
    if dataset == "utkface":
        return FaceScorer(repository / "face-attributes")
    return None
