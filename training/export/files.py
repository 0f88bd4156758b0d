"""Graphs as files. Several graphs of one version share their large tensors in one file."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, external_data_helper, numpy_helper

from quartet.artifact import MODEL_FILE, PREFILL_FILE, WEIGHTS_FILE

ALIGNMENT = 4096
"""Offset of each tensor, bytes: a memory page, so that a runtime may map it."""
SMALLEST = 1024
"""Tensors of fewer bytes stay in the graph."""
SHARING = frozenset((MODEL_FILE, PREFILL_FILE))
"""Graphs of one network, which have weights in common."""


def write_graphs(folder: Path, graphs: Mapping[str, onnx.ModelProto]) -> tuple[Path, ...]:
    """Write graphs by file name; the paths written.

    A graph is written with its weights inside; but those of ``SHARING``, if there are several, keep
    theirs in ``WEIGHTS_FILE``, tensors of equal name, type and content once.
    """
    store = _Store()
    shares = len(SHARING & graphs.keys()) > 1
    paths = []
    for name, model in graphs.items():
        written = model
        if shares and name in SHARING:
            written = onnx.ModelProto()
            written.CopyFrom(model)
            for tensor in written.graph.initializer:
                store.move(tensor)
        (folder / name).write_bytes(written.SerializeToString())
        paths.append(folder / name)
    if shares:
        paths.append(folder / WEIGHTS_FILE)
        paths[-1].write_bytes(bytes(store.data))
    return tuple(paths)


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
