"""Integer weights."""

import numpy as np
import onnx

from training.export.engine import onnx_predict
from training.export.format import IR_VERSION, OPSET
from training.graphs.builder import FLOAT, UINT8, GraphBuilder, Value
from training.graphs.products import WEIGHT_LIMIT, Int8, quantize_columns


def test_weights_have_seven_bits_and_a_scale_for_each_column() -> None:
    matrix = np.random.default_rng(0).normal(0, [0.01, 1.0, 50.0], (64, 3)).astype(np.float32)
    integers, scales = quantize_columns(matrix)
    assert integers.dtype == np.int8
    assert np.abs(integers).max(axis=0).tolist() == [WEIGHT_LIMIT] * 3
    # Pairs of products with 8-bit activations must fit into 16 bits.
    assert 2 * 255 * WEIGHT_LIMIT < 2**15
    assert (np.abs(integers * scales - matrix) <= scales * 0.5001).all()


def test_a_column_of_zeros_stays_zero() -> None:
    integers, scales = quantize_columns(np.zeros((4, 2), np.float32))
    assert not integers.any()
    assert np.isfinite(scales).all()


def test_a_table_of_operands_holds_what_the_graph_would_make() -> None:
    values = np.tanh(np.random.default_rng(1).normal(0, 2, (50, 9))).astype(np.float32)
    values[0, :4] = np.array([0.5, 1.5, -2.5, 127], np.float32) / np.float32(127)  # ties
    graph = GraphBuilder()
    graph.rename(Int8().operand(graph, "x"), "y")
    whole = graph.finish("g", [Value("x", FLOAT, ("n", 9))], [Value("y", UINT8, ("n", 9))])
    whole.initializer.extend(graph.initializers())
    opset = [onnx.helper.make_opsetid("", OPSET)]
    model = onnx.helper.make_model(whole, ir_version=IR_VERSION, opset_imports=opset)
    np.testing.assert_array_equal(
        Int8().operand_table(values), onnx_predict(model)({"x": values})["y"]
    )
