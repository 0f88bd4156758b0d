"""Exports models that are one graph, traced from PyTorch; some are quantised, too."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

from quartet.artifact import GOLDEN_FILE, LABELS_FILE, MODEL_FILE
from training.export import golden, parity
from training.export.engine import onnx_predict, torch_predict
from training.export.errors import ExportError
from training.export.graph import to_onnx
from training.export.model_config import config_text
from training.export.predict import Arrays, Predict
from training.export.quantize import quantize_int8
from training.export.spec import ACCURACY, ExportGraph, Metric, Variant
from training.export.timing import Comparison, compare_speed

CALIBRATION_ROWS = 1000
INT8_PARITY = parity.Tolerance(atol=golden.INT8.atol * golden.HEADROOM, rtol=0.0)
"""int8 against its own unfused graph, and a row alone against the row in a batch."""


class SingleGraphRun(ABC):
    """All of ``Exportable`` but what only the family knows."""

    metric: Metric = ACCURACY
    """What the scores are."""
    golden_tolerance: parity.Tolerance = golden.FLOAT32
    """Of the golden file of the float32 form."""

    @abstractmethod
    def graph(self) -> ExportGraph:
        """The graph."""

    @abstractmethod
    def validation_score(self, predict: Predict) -> float:
        """The metric of ``predict`` on the validation split."""

    @abstractmethod
    def test_score(self, predict: Predict) -> float:
        """The same on the test split. For the card alone; no decision may depend on it."""

    def labels(self) -> tuple[str, ...]:
        """Class names by index; empty if the family has none."""
        return ()

    def float32(self) -> Variant:
        """Export ``graph`` and hold it to PyTorch. Raises ExportError."""
        graph = self._checked_graph()
        model = to_onnx(graph)
        reference, candidate = torch_predict(graph), onnx_predict(model)
        inputs, source = graph.golden_inputs, golden.float32_source()
        report = parity.check_parity(
            candidate, reference, inputs, parity.FLOAT32, "PyTorch, float32"
        )
        stored = golden.make_golden(inputs, reference, candidate, self.golden_tolerance, source)
        return Variant(
            precision="float32",
            graphs={MODEL_FILE: model},
            goldens={GOLDEN_FILE: stored},
            parity={MODEL_FILE: report},
            validation=self.validation_score(candidate),
        )

    def test_figure(self, variant: Variant) -> float:
        """``test_score`` of the variant's graph on ONNX Runtime."""
        return self.test_score(onnx_predict(variant.model))

    def config_text(self, name: str, variant: Variant) -> str:
        """Batched, with the class names of the first output."""
        return config_text(name, variant.model, LABELS_FILE if self.labels() else "")

    def _checked_graph(self) -> ExportGraph:
        graph = self.graph()
        if graph.filename != MODEL_FILE:
            raise ExportError(f"expected a graph called {MODEL_FILE}, got {graph.filename}")
        return graph


class QuantizedGraphRun(SingleGraphRun):
    """All of ``Quantizable`` but what only the family knows."""

    @abstractmethod
    def calibration_inputs(self, count: int) -> Iterator[Arrays]:
        """Batches of training inputs, ``count`` rows in all, for the int8 variant's ranges."""

    def int8(self, float32: Variant) -> Variant:
        """Quantise ``float32`` and hold it to its own meaning.

        Raises ExportError if the fused graph strays from the unfused one.
        """
        model = quantize_int8(float32.model, self.calibration_inputs(CALIBRATION_ROWS))
        reference, candidate = onnx_predict(model, optimize=False), onnx_predict(model)
        inputs, source = float32.goldens[GOLDEN_FILE].inputs, golden.int8_source()
        report = parity.check_parity(
            candidate, reference, inputs, INT8_PARITY, "the same file, unfused"
        )
        stored = golden.make_golden(inputs, reference, candidate, golden.INT8, source)
        return Variant(
            precision="int8",
            graphs={MODEL_FILE: model},
            goldens={GOLDEN_FILE: stored},
            parity={MODEL_FILE: report},
            validation=self.validation_score(candidate),
        )

    def speed(self, float32: Variant, int8: Variant) -> tuple[Comparison, ...]:
        """Both graphs on the golden inputs."""
        inputs = float32.goldens[GOLDEN_FILE].inputs
        return compare_speed(onnx_predict(float32.model), onnx_predict(int8.model), inputs)
