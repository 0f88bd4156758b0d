"""Runs a graph through PyTorch or ONNX Runtime behind the same signature, ``Predict``."""

import numpy as np
import onnx
import onnxruntime as ort
import torch

from training.export.predict import Arrays, Predict
from training.export.spec import ExportGraph


def torch_predict(graph: ExportGraph) -> Predict:
    """``graph.module`` itself, eager, as the reference that every exported file is held to."""

    def predict(inputs: Arrays) -> Arrays:
        tensors = [torch.from_numpy(np.ascontiguousarray(inputs[name])) for name in graph.inputs]
        with torch.inference_mode():
            result = graph.module(*tensors)
        outputs = result if isinstance(result, tuple) else (result,)
        return {name: output.numpy() for name, output in zip(graph.outputs, outputs, strict=True)}

    return predict


def onnx_predict(model: onnx.ModelProto, *, optimize: bool = True) -> Predict:
    """``model`` on ONNX Runtime's CPU provider, one thread.

    Args:
        model: the graph.
        optimize: False runs every operator as the ONNX specification defines it, without fusion.
            For a QDQ graph that means float arithmetic between explicit quantisation steps: the
            meaning of the file, free of what one CPU's integer kernels make of it.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if not optimize:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]

    def predict(inputs: Arrays) -> Arrays:
        return dict(zip(names, session.run(names, dict(inputs)), strict=True))

    return predict
