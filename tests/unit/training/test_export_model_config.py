"""config.pbtxt of an exported graph."""

import onnx
import pytest

from training.export.errors import ExportError
from training.export.model_config import captioner_config_text, config_text


def identity(kind: int, shape: list[str | int]) -> onnx.ModelProto:
    """A graph that returns its input."""
    value = onnx.helper.make_tensor_value_info
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    graph = onnx.helper.make_graph(
        [node], "g", [value("x", kind, shape)], [value("y", kind, shape)]
    )
    return onnx.helper.make_model(graph)


def test_config_text_leaves_out_the_batch_axis_and_marks_free_ones() -> None:
    text = config_text("m", identity(onnx.TensorProto.FLOAT, ["batch", "steps", 3]), "labels.txt")
    assert text.count("dims: [ -1, 3 ]") == 2
    assert text.count("data_type: TYPE_FP32") == 2
    assert text.count('label_filename: "labels.txt"') == 1


def test_config_text_refuses_a_graph_without_a_batch_axis() -> None:
    with pytest.raises(ExportError, match="input 'x' has no dynamic batch axis"):
        config_text("m", identity(onnx.TensorProto.FLOAT, [2, 3]))


def test_config_text_refuses_a_type_that_triton_does_not_know() -> None:
    with pytest.raises(ExportError, match="type COMPLEX64, which cannot be served"):
        config_text("m", identity(onnx.TensorProto.COMPLEX64, ["batch", 3]))


def test_a_captioner_batches_pictures() -> None:
    text = captioner_config_text("photos")
    assert 'name: "photos"' in text
    assert "max_batch_size: 8" in text
    assert "decoupled" not in text


def test_config_text_takes_the_largest_batch() -> None:
    text = config_text("m", identity(onnx.TensorProto.FLOAT, ["batch", 3]), max_batch_size=4)
    assert "max_batch_size: 4\n" in text


def test_config_text_leaves_tensors_to_the_graph_when_one_has_a_number_a_row() -> None:
    text = config_text("m", identity(onnx.TensorProto.FLOAT, ["batch"]))
    assert "dims" not in text
    assert "max_batch_size: 64\n" in text
