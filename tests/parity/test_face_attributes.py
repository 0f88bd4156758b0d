"""The graph of a scorer of faces against PyTorch, on a small network with random weights."""

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from training.export.engine import onnx_predict, torch_predict
from training.export.graph import to_onnx
from training.export.parity import FLOAT32, check_batch_invariance, check_parity
from training.export.spec import ExportGraph
from training.faces.export import scorer_graph
from training.faces.model import FaceAttributes
from training.vision.config import ResidualConfig


@pytest.fixture(scope="module")
def exported() -> tuple[ExportGraph, onnx.ModelProto]:
    torch.set_num_threads(1)
    torch.manual_seed(5)
    model = FaceAttributes(ResidualConfig(channels=(8, 8, 16, 16), blocks=1), 0.0)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
    graph = scorer_graph(model.eval())
    return graph, to_onnx(graph)


def test_scorer_graph_equals_pytorch(exported: tuple[ExportGraph, onnx.ModelProto]) -> None:
    graph, model = exported
    predict = onnx_predict(model)
    check_parity(predict, torch_predict(graph), graph.golden_inputs, FLOAT32, "PyTorch")
    got = predict(graph.golden_inputs)
    assert {name: value.dtype for name, value in got.items()} == dict.fromkeys(
        ("female", "age", "features"), np.dtype(np.float32)
    )


def test_scorer_graph_gives_a_row_the_same_bits_in_any_batch(
    exported: tuple[ExportGraph, onnx.ModelProto],
) -> None:
    graph, model = exported
    check_batch_invariance(onnx_predict(model), graph.golden_inputs)
