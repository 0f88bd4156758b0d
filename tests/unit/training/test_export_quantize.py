"""The int8 variant: its form, its refusal, the choice of the default."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from quartet.artifact import GOLDEN_FILE
from training.export.engine import onnx_predict
from training.export.errors import ExportError
from training.export.predict import Arrays, Predict
from training.export.quantize import after_convolutions, quantize_int8, softmax_head
from training.export.single import QuantizedGraphRun
from training.export.spec import ACCURACY, ExportGraph, Metric, Variant
from training.export.timing import Comparison
from training.export.variants import check_drop, choose
from training.mnist.config import MnistConfig
from training.mnist.export import digit_graph
from training.mnist.model import build_model

LOSS = Metric(name="loss", higher_is_better=False, max_drop=0.001, unit=" nats")


class FakeRun(QuantizedGraphRun):
    """A run whose validation scores are given: first float32's, then int8's."""

    def __init__(self, *scores: float) -> None:
        self._scores = iter(scores)
        model = {"arch": "lenet", "channels": [4, 6], "hidden": [16]}
        torch.manual_seed(3)
        self.digits = digit_graph(build_model(MnistConfig.model_validate({"model": model})))

    def graph(self) -> ExportGraph:
        return self.digits

    def calibration_inputs(self, count: int) -> Iterator[Arrays]:
        yield self.digits.golden_inputs

    def validation_score(self, predict: Predict) -> float:
        return next(self._scores)

    def test_score(self, predict: Predict) -> float:
        raise AssertionError("no decision may look at the test split")


@pytest.fixture(scope="module")
def variants() -> tuple[Variant, Variant]:
    torch.set_num_threads(1)
    run = FakeRun(0.9900, 0.9896)
    float32 = run.float32()
    return float32, run.int8(float32)


def initializers(model: onnx.ModelProto, kind: int) -> list[np.ndarray]:
    return [onnx.numpy_helper.to_array(t) for t in model.graph.initializer if t.data_type == kind]


def test_int8_holds_weights_to_seven_bits(variants: tuple[Variant, Variant]) -> None:
    weights = [w for w in initializers(variants[1].model, onnx.TensorProto.INT8) if w.ndim > 1]
    assert len(weights) == 3
    assert all(int(w.min()) >= -64 and int(w.max()) <= 64 for w in weights)


def test_int8_has_one_scale_per_output_channel(variants: tuple[Variant, Variant]) -> None:
    scales = {
        t.name: t.dims[0]
        for t in variants[1].model.graph.initializer
        if t.name.endswith("weight_scale")
    }
    assert sorted(scales.values()) == [4, 6, 16]


def test_int8_leaves_the_layer_before_softmax_in_float32(
    variants: tuple[Variant, Variant],
) -> None:
    nodes = variants[1].model.graph.node
    head = next(node for node in nodes if node.op_type == "Softmax").input[0]
    gemm = next(node for node in nodes if head in node.output)
    names = {t.name: t.data_type for t in variants[1].model.graph.initializer}
    assert names[gemm.input[1]] == onnx.TensorProto.FLOAT


def test_int8_keeps_tensors_metadata_and_standard_operators(
    variants: tuple[Variant, Variant],
) -> None:
    float32, int8 = (variant.model for variant in variants)
    assert list(int8.graph.input) == list(float32.graph.input)
    assert list(int8.graph.output) == list(float32.graph.output)
    assert list(int8.metadata_props) == list(float32.metadata_props)
    assert [entry.domain for entry in int8.opset_import] == [""]


def test_int8_is_close_to_float32(variants: tuple[Variant, Variant]) -> None:
    inputs = variants[0].goldens[GOLDEN_FILE].inputs
    first, second = (
        np.asarray(onnx_predict(variant.model)(inputs)["probabilities"], np.float64)
        for variant in variants
    )
    assert np.abs(first - second).max() < 0.02


def test_int8_is_refused_with_its_numbers_when_validation_falls(
    variants: tuple[Variant, Variant],
) -> None:
    with pytest.raises(ExportError, match=r"98\.94% against float32's 99\.00%.*0\.06 points"):
        check_drop(ACCURACY, *with_scores(variants, 0.9900, 0.9894))


def test_int8_is_accepted_at_exactly_the_allowed_loss(variants: tuple[Variant, Variant]) -> None:
    check_drop(ACCURACY, *with_scores(variants, 0.9900, 0.9895))


def test_int8_is_refused_when_a_figure_rises_that_should_be_low(
    variants: tuple[Variant, Variant],
) -> None:
    check_drop(LOSS, *with_scores(variants, 1.45, 1.451))
    check_drop(LOSS, *with_scores(variants, 1.45, 1.40))
    with pytest.raises(ExportError, match=r"1\.4521 nats against float32's 1\.4500 nats.*0\.0021"):
        check_drop(LOSS, *with_scores(variants, 1.45, 1.4521))


def with_scores(
    variants: tuple[Variant, Variant], float32: float, int8: float
) -> tuple[Variant, Variant]:
    return replace(variants[0], validation=float32), replace(variants[1], validation=int8)


def speed(*ratios: float) -> list[Comparison]:
    return [
        Comparison(
            batch_size=size,
            baseline_us_per_row=100.0,
            candidate_us_per_row=100.0 * ratio,
            ratio=ratio,
            ratio_quartiles=(ratio, ratio),
        )
        for size, ratio in zip((1, 8, 32), ratios, strict=True)
    ]


@pytest.mark.parametrize(
    ("ratios", "winner"), [((0.5, 0.6, 0.9), "int8"), ((0.5, 0.6, 0.91), "float32")]
)
def test_choose_makes_int8_the_default_when_it_is_faster_at_every_batch_size(
    variants: tuple[Variant, Variant], ratios: tuple[float, ...], winner: str
) -> None:
    choice = choose(ACCURACY, *variants, speed(*ratios))
    assert choice.variants[-1].precision == winner
    assert choice.reason.startswith(f"The default is {winner}")
    assert len(choice.variants) == 2


class NoWeights(nn.Module):
    """Nothing to quantise."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.softmax(image.float().mean(dim=1)[:, :10], dim=1)


def test_int8_is_refused_when_there_is_nothing_to_quantise() -> None:
    run = FakeRun(1.0)
    run.digits = replace(run.digits, module=NoWeights().eval())
    model = run.float32().model
    with pytest.raises(ExportError, match="none of Conv, Gemm, MatMul"):
        quantize_int8(model, [run.digits.golden_inputs])


def test_softmax_head_sees_through_a_bias_but_not_through_an_activation() -> None:
    nodes = [
        onnx.helper.make_node("MatMul", ["x", "w"], ["a"], name="first"),
        onnx.helper.make_node("Relu", ["a"], ["b"], name="relu"),
        onnx.helper.make_node("MatMul", ["b", "v"], ["c"], name="last"),
        onnx.helper.make_node("Add", ["c", "bias"], ["d"], name="add"),
        onnx.helper.make_node("Softmax", ["d"], ["y"], name="softmax"),
    ]
    model = onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", [], []))
    assert softmax_head(model) == ["add", "last"]


def test_after_convolutions_are_the_nodes_that_lead_to_none() -> None:
    def node(op: str, name: str, *inputs: str) -> onnx.NodeProto:
        return onnx.helper.make_node(op, inputs, [f"{name}_out"], name=name)

    nodes = [
        node("Cast", "cast", "image"),
        node("Conv", "first", "cast_out", "w"),
        node("Relu", "relu", "first_out"),
        node("Conv", "branch", "relu_out", "w"),
        node("Add", "join", "branch_out", "relu_out"),
        node("MatMul", "reader", "join_out", "w"),
    ]
    model = onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", [], []))
    assert set(after_convolutions(model)) == {"join", "reader"}
