"""Graphs as files. Several graphs of one version share their large tensors in one file."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, external_data_helper, numpy_helper

from quartet.artifact import WEIGHTS_FILE

ALIGNMENT = 4096
"""Offset of each tensor, bytes: a memory page, so that a runtime may map it."""
SMALLEST = 1024
"""Tensors of fewer bytes stay in the graph."""


def write_graphs(folder: Path, graphs: Mapping[str, onnx.ModelProto]) -> tuple[Path, ...]:
    """Write graphs by file name; the paths written.

    One graph is written with its weights inside. Several keep their weights in ``WEIGHTS_FILE``,
    tensors of equal name, type and content once.
    """
    if len(graphs) == 1:
        [(name, model)] = graphs.items()
        (folder / name).write_bytes(model.SerializeToString())
        return (folder / name,)
    store = _Store()
    paths = []
    for name, model in graphs.items():
        outside = onnx.ModelProto()
        outside.CopyFrom(model)
        for tensor in outside.graph.initializer:
            store.move(tensor)
        (folder / name).write_bytes(outside.SerializeToString())
        paths.append(folder / name)
    weights = folder / WEIGHTS_FILE
    weights.write_bytes(bytes(store.data))
    return (*paths, weights)


class _Store:
    """The content of the weights file while it grows."""

    def __init__(self) -> None:
        self.data = bytearray()
        self._places: dict[tuple[str, int, tuple[int, ...], bytes], int] = {}

    def move(self, tensor: TensorProto) -> None:
        """Replace the content of ``tensor`` by a reference, unless it is small."""
        content = numpy_helper.to_array(tensor)
        raw = np.ascontiguousarray(content).tobytes()
        if len(raw) < SMALLEST:
            return
        key = (tensor.name, tensor.data_type, content.shape, raw)
        if key not in self._places:
            self.data.extend(bytes(-len(self.data) % ALIGNMENT))
            self._places[key] = len(self.data)
            self.data.extend(raw)
        plain = numpy_helper.from_array(content, tensor.name)
        external_data_helper.set_external_data(
            plain, WEIGHTS_FILE, offset=self._places[key], length=len(raw)
        )
        plain.ClearField("raw_data")
        tensor.CopyFrom(plain)
