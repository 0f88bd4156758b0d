"""PyTorch module -> ONNX graph: named dynamic axes, checked, free of the exporter's traces.

The exporter is ``torch.export``'s (``dynamo=True``): TorchScript's is deprecated since PyTorch 2.9.
Three habits of it are mended here. It freezes an axis whose example has length 1, so examples of
one row are refused. It can write example lengths into ``value_info``, so that is dropped: ONNX
Runtime infers it again. It stores each node's Python stack trace, hence paths of the machine that
exported, in the file; those are removed.
"""

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

import onnx
import torch

from training.export.errors import ExportError
from training.export.format import IR_VERSION, OPSET, check
from training.export.spec import ExportGraph


def to_onnx(graph: ExportGraph) -> onnx.ModelProto:
    """Export ``graph`` and check it.

    Raises:
        ExportError: the module is in training mode, the example has a batch of one, an axis
            declared dynamic came out fixed, the operators could not be exported, or
            ``onnx.checker`` refuses the file.
    """
    _check_request(graph)
    model = _export(graph)
    _strip(model)
    model.ir_version = IR_VERSION
    _name_axes(model, graph)
    onnx.helper.set_model_props(model, dict(graph.metadata))
    check(model)
    return model


def _check_request(graph: ExportGraph) -> None:
    if graph.module.training:
        raise ExportError(f"the module of {graph.filename} is in training mode; call its eval()")
    for name, axes in graph.dynamic_axes.items():
        if name not in graph.inputs:
            continue
        for axis in axes:
            length = graph.inputs[name].shape[axis]
            if length < 2:
                raise ExportError(
                    f"the example of input {name!r} has length {length} on axis {axis}, "
                    "which would be frozen into the graph; give 2 or more"
                )


def _export(graph: ExportGraph) -> onnx.ModelProto:
    dimensions = {
        axis_name: torch.export.Dim(axis_name)
        for axes in graph.dynamic_axes.values()
        for axis_name in axes.values()
    }
    shapes = tuple(
        {axis: dimensions[text] for axis, text in graph.dynamic_axes.get(name, {}).items()}
        for name in graph.inputs
    )
    with _quiet():
        try:
            program = torch.onnx.export(
                graph.module,
                tuple(graph.inputs.values()),
                dynamo=True,
                input_names=list(graph.inputs),
                output_names=list(graph.outputs),
                dynamic_shapes=shapes,
                opset_version=OPSET,
                external_data=False,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            raise ExportError(f"PyTorch could not export {graph.filename}: {error}") from error
    if program is None:
        raise ExportError(f"PyTorch returned no program for {graph.filename}")
    return program.model_proto


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's notes on optional packages and on its own internals off the console."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            # Axes of several inputs that share a name, which is what is wanted of a batch.
            warnings.filterwarnings("ignore", r"# The axis name: ", UserWarning)
            yield
    finally:
        logger.setLevel(level)


def _strip(model: onnx.ModelProto) -> None:
    """Remove what is of no use to a reader and may hold paths or frozen lengths."""
    graph = model.graph
    del graph.value_info[:]
    for holder in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        holder.ClearField("metadata_props")
        holder.ClearField("doc_string")


def _name_axes(model: onnx.ModelProto, graph: ExportGraph) -> None:
    """Give dynamic axes their declared names; refuse one that came out fixed."""
    for value in (*model.graph.input, *model.graph.output):
        for axis, text in graph.dynamic_axes.get(value.name, {}).items():
            dimension = value.type.tensor_type.shape.dim[axis]
            if dimension.HasField("dim_value"):
                raise ExportError(
                    f"axis {axis} of {value.name!r} was frozen at {dimension.dim_value}, "
                    f"wanted the dynamic axis {text!r}"
                )
            dimension.dim_param = text
