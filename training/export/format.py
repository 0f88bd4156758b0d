"""The version of the ONNX format that all files here have, and its checker."""

import onnx

from training.export.errors import ExportError

OPSET = 20
"""Operator set of the file: the newest that ONNX Runtime 1.17 (IR 9) to now read alike."""
IR_VERSION = 9
"""File format version; 9 keeps the file readable by every runtime that knows the operator set."""


def check(model: onnx.ModelProto) -> None:
    """``onnx.checker`` with strict shape inference. Raises ExportError."""
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"the exported graph is not valid ONNX: {error}") from error
