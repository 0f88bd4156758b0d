"""Writes ``serving/graphs``, which move rows of state: ``python -m scripts.generate_row_graphs``.

The server has no ONNX package to build them with. See ``serving.device_state_table``.
"""

from collections.abc import Mapping
from pathlib import Path

import onnx
from onnx import TensorProto, helper

OUT = Path(__file__).resolve().parent.parent / "serving" / "graphs"
OPSET = 13
IR_VERSION = 9


def row_graphs() -> Mapping[str, bytes]:
    """File name -> content. Rows are of int32, so that any 4-byte element passes unread."""
    table = helper.make_tensor_value_info("table", TensorProto.INT32, ["slots", "width"])
    rows = helper.make_tensor_value_info("rows", TensorProto.INT32, ["count", "width"])
    updated = helper.make_tensor_value_info("updated", TensorProto.INT32, ["slots", "width"])
    index = helper.make_tensor_value_info("index", TensorProto.INT64, ["count"])
    column = helper.make_tensor_value_info("index", TensorProto.INT64, ["count", 1])
    gather = helper.make_graph(
        [helper.make_node("Gather", ["table", "index"], ["rows"], axis=0)],
        "gather_rows",
        [table, index],
        [rows],
    )
    scatter = helper.make_graph(
        [helper.make_node("ScatterND", ["table", "index", "rows"], ["updated"])],
        "scatter_rows",
        [table, column, rows],
        [updated],
    )
    return {f"{graph.name}.onnx": _serialized(graph) for graph in (gather, scatter)}


def _serialized(graph: onnx.GraphProto) -> bytes:
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="quartet",
    )
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


def main() -> None:
    """Write the files."""
    OUT.mkdir(exist_ok=True)
    for name, content in row_graphs().items():
        (OUT / name).write_bytes(content)


if __name__ == "__main__":
    main()
