"""An exported graph against PyTorch, on small models with random weights."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from quartet.artifact import METADATA_KEY, ClassificationTask, parse_task
from training.export.engine import onnx_predict, torch_predict
from training.export.errors import ExportError
from training.export.format import check
from training.export.graph import to_onnx
from training.export.parity import BATCH_SIZES, FLOAT32, Tolerance, batch_dependence, check_parity
from training.export.predict import Arrays
from training.export.spec import ExportGraph
from training.mnist.config import MnistConfig
from training.mnist.export import digit_graph
from training.mnist.model import build_model

MODELS = {
    "mlp": {"arch": "mlp", "hidden": [16], "batch_norm": True},
    "lenet": {"arch": "lenet", "channels": [4, 6], "hidden": [16]},
    "resnet": {"arch": "resnet", "channels": [4, 4, 8], "blocks": 1, "batch_norm": True},
    "maxout": {"arch": "lenet", "channels": [3, 4], "hidden": [8], "activation": "maxout"},
}
Exported = tuple[ExportGraph, onnx.ModelProto]


@pytest.fixture(scope="module", params=MODELS)
def exported(request: pytest.FixtureRequest) -> Exported:
    torch.set_num_threads(1)
    torch.manual_seed(3)
    graph = digit_graph(build_model(MnistConfig.model_validate({"model": MODELS[request.param]})))
    return graph, to_onnx(graph)


@pytest.mark.parametrize("rows", BATCH_SIZES)
def test_graph_equals_pytorch_at_batch(exported: Exported, rows: int) -> None:
    graph, model = exported
    batch = {"image": graph.golden_inputs["image"][-rows:]}
    got = np.asarray(onnx_predict(model)(batch)["probabilities"], np.float64)
    expected = np.asarray(torch_predict(graph)(batch)["probabilities"], np.float64)
    assert got.shape == (rows, 10)
    np.testing.assert_allclose(got, expected, atol=FLOAT32.atol, rtol=FLOAT32.rtol)


def test_graph_gives_a_row_the_same_result_in_any_batch(exported: Exported) -> None:
    graph, model = exported
    exact = Tolerance(atol=1e-7, rtol=0.0)
    assert batch_dependence(onnx_predict(model), graph.golden_inputs, exact) <= exact.atol


def test_graph_declares_its_tensors_and_the_task(exported: Exported) -> None:
    _, model = exported
    (image,), (probabilities,) = model.graph.input, model.graph.output
    shapes = [
        [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim]
        for v in (image, probabilities)
    ]
    assert (image.name, probabilities.name) == ("image", "probabilities")
    assert shapes == [["batch", 28, 28], ["batch", 10]]
    assert image.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    task = parse_task({p.key: p.value for p in model.metadata_props}[METADATA_KEY])
    assert isinstance(task, ClassificationTask)
    assert (task.image.fit, task.labels[7]) == ("digit", "7")


def test_graph_holds_no_path_of_the_exporting_machine(exported: Exported) -> None:
    _, model = exported
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
    assert b".py" not in model.SerializeToString()


def test_graph_is_normalised_probabilities_for_every_input(exported: Exported) -> None:
    graph, model = exported
    rows = onnx_predict(model)(graph.golden_inputs)["probabilities"]
    np.testing.assert_allclose(rows.sum(axis=1), 1.0, atol=1e-6)


def small_graph() -> ExportGraph:
    torch.manual_seed(3)
    config = MnistConfig.model_validate({"model": {"arch": "mlp", "hidden": [4]}})
    return digit_graph(build_model(config))


def replace(graph: ExportGraph, **changes: object) -> ExportGraph:
    return ExportGraph(**{**graph.__dict__, **changes})


def test_export_refuses_an_example_of_one_row() -> None:
    example = {"image": torch.zeros(1, 28, 28, dtype=torch.uint8)}
    with pytest.raises(ExportError, match="length 1 on axis 0, which would be frozen"):
        to_onnx(replace(small_graph(), inputs=example))


class FixedBatch(nn.Module):
    """Forgets the batch axis."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image.float().mean().reshape(1, 1).expand(2, 10).clone()


def test_export_refuses_an_output_whose_batch_axis_was_frozen() -> None:
    with pytest.raises(ExportError, match="axis 0 of 'probabilities' was frozen at 2"):
        to_onnx(replace(small_graph(), module=FixedBatch().eval()))


def test_export_refuses_a_module_in_training_mode() -> None:
    with pytest.raises(ExportError, match=r"training mode; call its eval\(\)"):
        to_onnx(replace(small_graph(), module=FixedBatch().train()))


def test_check_refuses_a_graph_that_is_not_valid_onnx() -> None:
    model = to_onnx(small_graph())
    model.graph.node[-1].op_type = "NoSuchOperator"
    with pytest.raises(ExportError, match="not valid ONNX"):
        check(model)


def shifted(outputs: Arrays) -> Arrays:
    return {name: np.asarray(value, np.float32) + 1e-3 for name, value in outputs.items()}


def not_finite(outputs: Arrays) -> Arrays:
    return {name: np.full_like(value, np.nan) for name, value in outputs.items()}


def wrong_shape(outputs: Arrays) -> Arrays:
    return {name: value[:, :5] for name, value in outputs.items()}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [(shifted, "differs by up to"), (not_finite, "not finite"), (wrong_shape, "wanted float32")],
)
def test_parity_refuses_a_graph_that_is_not_the_model(
    spoil: Callable[[Arrays], Arrays], message: str
) -> None:
    graph = small_graph()
    reference = torch_predict(graph)
    with pytest.raises(ExportError, match=message):
        check_parity(
            lambda inputs: spoil(reference(inputs)),
            reference,
            graph.golden_inputs,
            FLOAT32,
            "PyTorch",
        )


def test_parity_refuses_a_graph_whose_rows_depend_on_each_other() -> None:
    def predict(inputs: Arrays) -> Arrays:
        image = inputs["image"].astype(np.float32)
        return {"probabilities": image.mean(axis=(1, 2)) - image.mean()}

    with pytest.raises(ExportError, match="row 0 alone, against batch"):
        batch_dependence(predict, small_graph().golden_inputs, FLOAT32)
