"""Triton's ``config.pbtxt`` of an exported graph.

Fields: triton-inference-server/common, ``protobuf/model_config.proto``.
"""

import onnx

from training.export.errors import ExportError

MAX_BATCH_SIZE = 64
"""Rows of one run: parity is proved up to here."""
MAX_PICTURES = 8
"""The same of networks that take milliseconds for each row, such as a captioner's encoder."""

_TYPES: dict[int, str] = {
    onnx.TensorProto.BOOL: "TYPE_BOOL",
    onnx.TensorProto.UINT8: "TYPE_UINT8",
    onnx.TensorProto.INT8: "TYPE_INT8",
    onnx.TensorProto.INT32: "TYPE_INT32",
    onnx.TensorProto.INT64: "TYPE_INT64",
    onnx.TensorProto.FLOAT16: "TYPE_FP16",
    onnx.TensorProto.FLOAT: "TYPE_FP32",
    onnx.TensorProto.DOUBLE: "TYPE_FP64",
    onnx.TensorProto.STRING: "TYPE_STRING",
}


def config_text(
    name: str,
    model: onnx.ModelProto,
    label_filename: str = "",
    *,
    max_batch_size: int = MAX_BATCH_SIZE,
) -> str:
    """``config.pbtxt`` of ``model``.

    A tensor of one number a row has no ``dims`` in Triton's format but ``[ 1 ]`` and a ``reshape``.
    With such a tensor all are left out: servers take them from the graph.

    Args:
        name: the model's folder.
        model: its first axis of every tensor is the batch.
        label_filename: file of class names for the first output; empty for none.
        max_batch_size: rows of one run at most.

    Raises:
        ExportError: a tensor has a type that Triton does not know or no batch axis.
    """
    inputs = [_tensor("input", value, "") for value in model.graph.input]
    outputs = [
        _tensor("output", value, label_filename if index == 0 else "")
        for index, value in enumerate(model.graph.output)
    ]
    sizes = [len(v.type.tensor_type.shape.dim) for v in (*model.graph.input, *model.graph.output)]
    blocks = [
        f'name: "{name}"',
        'backend: "onnxruntime"',
        f"max_batch_size: {max_batch_size}",
        *([*inputs, *outputs] if min(sizes) > 1 else []),
        "# 0: a batch takes what waits and never waits for company.",
        "dynamic_batching { max_queue_delay_microseconds: 0 }",
        "# Every version is served; a request that names none gets the highest.",
        "version_policy { all { } }",
    ]
    return "\n".join(blocks) + "\n"


def generator_config_text(name: str) -> str:
    """``config.pbtxt`` of a text generator.

    The server derives the tensors from the declaration inside ``model.onnx``. Batches are made of
    rows step by step, not of requests, hence no batch axis here.
    """
    lines = [
        f'name: "{name}"',
        'backend: "onnxruntime"',
        "max_batch_size: 0",
        "# One request may have many responses: the text, piece by piece.",
        "model_transaction_policy { decoupled: true }",
        "# Every version is served; a request that names none gets the highest.",
        "version_policy { all { } }",
    ]
    return "\n".join(lines) + "\n"


def captioner_config_text(name: str) -> str:
    """``config.pbtxt`` of a captioner; its batches are those of the encoder's pictures."""
    lines = [
        f'name: "{name}"',
        'backend: "onnxruntime"',
        "# Pictures that go through the encoder together.",
        f"max_batch_size: {MAX_PICTURES}",
        "# 0: a batch takes what waits and never waits for company.",
        "dynamic_batching { max_queue_delay_microseconds: 0 }",
        "# Every version is served; a request that names none gets the highest.",
        "version_policy { all { } }",
    ]
    return "\n".join(lines) + "\n"


def _tensor(kind: str, value: onnx.ValueInfoProto, label_filename: str) -> str:
    tensor = value.type.tensor_type
    dims = [d.dim_value if d.HasField("dim_value") else -1 for d in tensor.shape.dim]
    if not dims or dims[0] != -1:
        raise ExportError(f"{kind} {value.name!r} has no dynamic batch axis: {dims}")
    if tensor.elem_type not in _TYPES:
        text = onnx.TensorProto.DataType.Name(tensor.elem_type)
        raise ExportError(f"{kind} {value.name!r} has type {text}, which cannot be served")
    lines = [
        f'    name: "{value.name}"',
        f"    data_type: {_TYPES[tensor.elem_type]}",
        f"    dims: [ {', '.join(map(str, dims[1:]))} ]",
    ]
    if label_filename:
        lines.append(f'    label_filename: "{label_filename}"')
    return "\n".join([f"{kind} [", "  {", *lines, "  }", "]"])
