"""Rows of state and constants in the memory of the device that the engine runs on.

Rows move by two tiny graphs, Gather and ScatterND, that ONNX Runtime runs on the device; the host
sees indices alone. ScatterND writes into the table itself: its input and its output are bound to
the same memory, which the providers take as leave not to copy the rest.

The graphs lie beside this module; ``scripts/generate_row_graphs.py`` writes them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime

from quartet.config import ConfigError
from serving.providers import Device
from serving.session import OnnxSession, SessionOptions
from serving.state_table import Block, Blocks, Index, RowSpec, StateSpec, StateTable
from serving.types import Array

GRAPHS = Path(__file__).parent / "graphs"
GATHER_FILE = "gather_rows.onnx"
SCATTER_FILE = "scatter_rows.onnx"

ELEMENT = np.dtype(np.int32)
"""The graphs move elements of this type, whatever they mean."""


@dataclass(frozen=True, slots=True)
class _Memory:
    """Rows of elements somewhere: on the device or on the host."""

    device: str
    pointer: int
    rows: int
    width: int
    """Elements of one row."""

    def bound(self) -> tuple[str, int, np.dtype[np.int32], tuple[int, int], int]:
        """As the arguments of ``IOBinding`` after the name."""
        return (self.device, 0, ELEMENT, (self.rows, self.width), self.pointer)


class DeviceStateTable(StateTable):
    """States and constants in the device's memory."""

    def __init__(self, specs: Sequence[RowSpec], slots: int, device: Device) -> None:
        """Set the memory aside and load the graphs.

        Raises:
            ConfigError: a row of a state is no whole number of 4-byte elements, or the device was
                not honoured.
        """
        super().__init__(specs, slots)
        for spec in self.specs:
            if _row_bytes(spec) % ELEMENT.itemsize:
                raise ConfigError(
                    f"state {spec.input!r}: a row is {_row_bytes(spec)} bytes of {spec.dtype}; "
                    f"on {device.provider} it must be a multiple of {ELEMENT.itemsize}"
                )
        self._kind = device.kind
        self._gather = OnnxSession(GRAPHS / GATHER_FILE, device, SessionOptions())
        self._scatter = OnnxSession(GRAPHS / SCATTER_FILE, device, SessionOptions())
        self._tables = {block.spec.input: block for block in self.blocks(slots)}

    def take(self, slots: Sequence[int]) -> dict[str, Array]:
        """See ``StateTable.take``."""
        index = self._index(slots)
        taken = {}
        for table in self._tables.values():
            spec = table.spec
            array = np.empty((len(slots), *spec.shape), spec.dtype)
            if array.size:
                self._gather_rows(self._table(spec), index, _host_memory(array))
            taken[spec.input] = array
        return taken

    def blocks(self, rows: int, specs: Sequence[RowSpec] | None = None) -> Blocks:
        """See ``StateTable.blocks``."""
        return tuple(
            Block(
                spec,
                onnxruntime.OrtValue.ortvalue_from_numpy(
                    np.zeros((rows, *spec.shape), spec.dtype), self._kind, 0
                ),
            )
            for spec in (self.specs if specs is None else specs)
        )

    def gather(self, slots: Sequence[int], blocks: Blocks) -> None:
        """See ``StateTable.gather``."""
        index = self._index(slots)
        for block in blocks:
            self._gather_rows(self._table(block.spec), index, _memory(block, len(slots)))

    def scatter(self, slots: Sequence[int], blocks: Blocks) -> None:
        """See ``StateTable.scatter``."""
        index = self._index(slots)
        for block in blocks:
            if isinstance(block.spec, StateSpec):
                self._scatter_rows(self._table(block.spec), index, _memory(block, len(slots)))

    def _put(self, spec: RowSpec, index: Index, rows: Array) -> None:
        """See ``StateTable._put``."""
        contiguous = np.ascontiguousarray(rows)
        self._scatter_rows(self._table(spec), index, _host_memory(contiguous))

    def _copy(self, specs: Sequence[RowSpec], sources: Index, targets: Index) -> None:
        """See ``StateTable._copy``."""
        for block in self.blocks(len(sources), specs):
            table, between = self._table(block.spec), _memory(block, len(sources))
            self._gather_rows(table, sources, between)
            self._scatter_rows(table, targets, between)

    def _table(self, spec: RowSpec) -> _Memory:
        return _memory(self._tables[spec.input], self.slots)

    def _gather_rows(self, table: _Memory, index: Index, rows: _Memory) -> None:
        """``rows[i] = table[index[i]]``."""
        binding = self._gather.new_binding()
        binding.bind_input("table", *table.bound())
        binding.bind_cpu_input("index", index)
        binding.bind_output("rows", *rows.bound())
        self._gather.run_bound(binding)

    def _scatter_rows(self, table: _Memory, index: Index, rows: _Memory) -> None:
        """``table[index[i]] = rows[i]``."""
        binding = self._scatter.new_binding()
        binding.bind_input("table", *table.bound())
        binding.bind_cpu_input("index", index[:, np.newaxis])
        binding.bind_input("rows", *rows.bound())
        binding.bind_output("updated", *table.bound())
        self._scatter.run_bound(binding)


def _memory(block: Block, rows: int) -> _Memory:
    width = _row_bytes(block.spec) // ELEMENT.itemsize
    return _Memory(block.value.device_name(), block.value.data_ptr(), rows, width)


def _host_memory(array: Array) -> _Memory:
    """Of a C-contiguous array, which must outlive its use."""
    width = array[0].nbytes // ELEMENT.itemsize
    return _Memory("cpu", array.ctypes.data, len(array), width)


def _row_bytes(spec: RowSpec) -> int:
    return int(np.prod(spec.shape, dtype=np.int64)) * spec.dtype.itemsize
