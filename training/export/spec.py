"""What a family hands to the exporter, which knows no family."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor, nn

from training.export.predict import Arrays, Predict


@dataclass(frozen=True, kw_only=True)
class ExportGraph:
    """One graph to be written as ONNX."""

    module: nn.Module
    """In eval mode, on the CPU, with preprocessing and softmax inside. Called with ``inputs``'
    values in order; returns one tensor, or a tuple in the order of ``outputs``."""
    inputs: Mapping[str, Tensor]
    """Input name -> example, batch of 2 or more (a batch of 1 would be frozen into the graph)."""
    outputs: tuple[str, ...]
    """Output names."""
    dynamic_axes: Mapping[str, Mapping[int, str]]
    """Tensor name -> axis -> name of the axis, for instance ``{"image": {0: "batch"}}``."""
    golden_inputs: Arrays
    """Inputs to be stored beside the model. Never cut from a data set."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Stored in the ONNX file's ``metadata_props``."""
    filename: str = "model.onnx"


@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """What only the family knows about its model, for the model card. Markdown."""

    title: str
    purpose: str
    """What the model is for and what its input must look like."""
    limits: tuple[str, ...]
    """What it cannot do, one sentence or two each."""
    data: str
    """What it was trained on."""
    terms: str
    """Terms of that data."""
    architecture: str


class Exportable(Protocol):
    """What the exporter asks of a trained run of any family."""

    def graphs(self) -> tuple[ExportGraph, ...]:
        """The graphs of the artifact."""
        ...

    def labels(self) -> tuple[str, ...]:
        """Class names by index; empty if the family has none."""
        ...

    def calibration_inputs(self, count: int) -> Iterator[Arrays]:
        """Batches of training inputs, ``count`` rows in all, for the int8 variant's ranges."""
        ...

    def validation_score(self, predict: Predict) -> float:
        """Score of ``predict`` on the validation split, 0..1, higher is better (accuracy here)."""
        ...

    def test_score(self, predict: Predict) -> float:
        """The same on the test split. For the card alone; no decision may depend on it."""
        ...

    def card(self) -> CardFacts:
        """Facts for the model card."""
        ...
