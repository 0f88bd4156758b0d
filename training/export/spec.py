"""What a family hands to the exporter, which knows no family."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import onnx
from torch import Tensor, nn

from quartet.artifact import MODEL_FILE, CaptionGolden, Golden
from training.export.parity import ParityReport
from training.export.predict import Arrays
from training.export.timing import BatchTime, Comparison


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
    filename: str = MODEL_FILE


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
    sections: Mapping[str, str] = field(default_factory=dict)
    """Further sections: heading -> text."""
    speed_unit: str = "row"
    """What one row of the timed runs is."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """The figure by which a form of a model is judged."""

    name: str
    """Key in ``run.json`` and heading in the card."""
    higher_is_better: bool
    max_drop: float
    """How much worse than float32 int8 may be on the validation split."""
    scale: float = 1.0
    """Multiplies a figure for the reader."""
    decimals: int = 4
    """Shown of a figure."""
    unit: str = ""
    """Follows a figure."""
    step: str = ""
    """Unit of a difference; empty: ``unit``."""

    def text(self, value: float) -> str:
        """A figure."""
        return f"{value * self.scale:.{self.decimals}f}{self.unit}"

    def difference(self, value: float) -> str:
        """A difference of two figures, without its unit."""
        return f"{value * self.scale:.{self.decimals}f}"

    def drop(self, before: float, after: float) -> float:
        """How much worse ``after`` is; negative if it is better."""
        return before - after if self.higher_is_better else after - before

    @property
    def step_unit(self) -> str:
        """Unit of a difference."""
        return self.step or self.unit.strip()


ACCURACY = Metric(
    name="accuracy",
    higher_is_better=True,
    max_drop=0.0005,
    scale=100.0,
    decimals=2,
    unit="%",
    step="points",
)
"""Share of right answers."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One form of a model, proved and ready to be published."""

    precision: Literal["float32", "int8"]
    graphs: Mapping[str, onnx.ModelProto]
    """File name -> graph; ``model.onnx`` has the metadata."""
    goldens: Mapping[str, Golden]
    """File name -> what a graph must give."""
    captions: CaptionGolden | None = None
    """What all graphs together must; captioners only."""
    parity: Mapping[str, ParityReport]
    """File name of a graph -> how it was held to its reference."""
    validation: float
    """Figure on the validation split, by ONNX Runtime."""
    times: tuple[BatchTime, ...] = ()
    """Of families without an int8 form, whose speed nothing is compared with."""

    @property
    def model(self) -> onnx.ModelProto:
        """The graph with the metadata."""
        return self.graphs[MODEL_FILE]


class Exportable(Protocol):
    """What the exporter asks of a trained run of any family.

    A family of models with one graph finds all of it but the data in ``single.SingleGraphRun``.
    """

    metric: Metric
    """What ``Variant.validation`` is."""

    def float32(self) -> Variant:
        """The float32 form, held to PyTorch. Raises ExportError."""
        ...

    def test_figure(self, variant: Variant) -> float:
        """The metric on the test split. For the card alone; no decision may depend on it."""
        ...

    def labels(self) -> tuple[str, ...]:
        """Class names by index; empty if the family has none."""
        ...

    def config_text(self, name: str, variant: Variant) -> str:
        """``config.pbtxt`` of the model called ``name``."""
        ...

    def card(self) -> CardFacts:
        """Facts for the model card."""
        ...

    def card_section(self, figures: Mapping[str, Any]) -> str:
        """Markdown of the stored figures of the test split (``training.evaluation``)."""
        ...


@runtime_checkable
class Quantizable(Exportable, Protocol):
    """A run of a family that has an int8 form too.

    A family of models with one graph finds both methods in ``single.QuantizedGraphRun``.
    """

    def int8(self, float32: Variant) -> Variant:
        """The int8 form, held to its own meaning; its loss of quality is judged by the caller.

        Raises ExportError if there is none for this model, or if it is unsound.
        """
        ...

    def speed(self, float32: Variant, int8: Variant) -> tuple[Comparison, ...]:
        """Time of int8 against float32."""
        ...
