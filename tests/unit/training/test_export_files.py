"""Graphs as files."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper, numpy_helper

from quartet.artifact import WEIGHTS_FILE
from training.export.files import ALIGNMENT, write_graphs

LARGE = np.arange(1000, dtype=np.float32)


def adding(**weights: np.ndarray) -> onnx.ModelProto:
    """Y = x + all weights."""
    nodes, last = [], "x"
    for index, name in enumerate(weights):
        result = "y" if index == len(weights) - 1 else f"sum_{index}"
        nodes.append(helper.make_node("Add", [last, name], [result]))
        last = result
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "adding",
        [value("x", onnx.TensorProto.FLOAT, [1000])],
        [value("y", onnx.TensorProto.FLOAT, [1000])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 20)])


def run(path: Path) -> np.ndarray:
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["y"], {"x": np.zeros(1000, np.float32)})[0])


def test_one_graph_keeps_its_weights_inside(tmp_path: Path) -> None:
    model = adding(a=LARGE)
    assert write_graphs(tmp_path, {"model.onnx": model}) == (tmp_path / "model.onnx",)
    assert (tmp_path / "model.onnx").read_bytes() == model.SerializeToString()


def test_several_graphs_share_equal_tensors_in_one_file(tmp_path: Path) -> None:
    graphs = {
        "model.onnx": adding(a=LARGE, one=np.array([1.0], np.float32), b=LARGE * 2),
        "prefill.onnx": adding(a=LARGE, c=LARGE * 3),
    }
    paths = write_graphs(tmp_path, graphs)
    assert [path.name for path in paths] == ["model.onnx", "prefill.onnx", WEIGHTS_FILE]
    assert (tmp_path / WEIGHTS_FILE).stat().st_size == 2 * ALIGNMENT + LARGE.nbytes
    np.testing.assert_array_equal(run(tmp_path / "model.onnx"), LARGE * 3 + 1)
    np.testing.assert_array_equal(run(tmp_path / "prefill.onnx"), LARGE * 4)


def test_a_graph_of_another_network_keeps_its_weights_inside(tmp_path: Path) -> None:
    graphs = {
        "model.onnx": adding(a=LARGE),
        "prefill.onnx": adding(a=LARGE),
        "encoder.onnx": adding(a=LARGE * 7),
    }
    paths = write_graphs(tmp_path, graphs)
    assert [path.name for path in paths] == [*graphs, WEIGHTS_FILE]
    assert (tmp_path / WEIGHTS_FILE).stat().st_size == LARGE.nbytes
    (tmp_path / WEIGHTS_FILE).unlink()
    np.testing.assert_array_equal(run(tmp_path / "encoder.onnx"), LARGE * 7)


def test_tensors_of_one_name_and_other_content_are_kept_apart(tmp_path: Path) -> None:
    write_graphs(tmp_path, {"model.onnx": adding(a=LARGE), "prefill.onnx": adding(a=LARGE * 5)})
    np.testing.assert_array_equal(run(tmp_path / "model.onnx"), LARGE)
    np.testing.assert_array_equal(run(tmp_path / "prefill.onnx"), LARGE * 5)


def test_writing_leaves_the_graphs_as_they_are(tmp_path: Path) -> None:
    graphs = {"model.onnx": adding(a=LARGE), "prefill.onnx": adding(a=LARGE)}
    before = [model.SerializeToString() for model in graphs.values()]
    write_graphs(tmp_path, graphs)
    assert [model.SerializeToString() for model in graphs.values()] == before


def test_a_graph_without_its_weights_file_cannot_be_loaded(tmp_path: Path) -> None:
    write_graphs(tmp_path, {"model.onnx": adding(a=LARGE), "prefill.onnx": adding(a=LARGE)})
    (tmp_path / WEIGHTS_FILE).unlink()
    with pytest.raises(Exception, match=WEIGHTS_FILE):  # onnxruntime's own errors share no base
        run(tmp_path / "model.onnx")
