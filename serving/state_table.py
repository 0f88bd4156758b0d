"""Rows of recurrent state in memory set aside beforehand, one slot each.

A run of the engine takes the rows of its slots out, in its own order, and puts the new ones back:
one NumPy call a state, not one a row. Binding the table itself where the slots lie side by side
would save the way out alone, since a run that fails must not have changed its rows. Measured, that
is half a percent of a run of 32 rows of 8 kB (35 of 7,000 us); it is not done.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from serving.token_scheduler import Move, RowState
from serving.types import Array

ALIGNMENT = 64
"""Bytes, a cache line: every run sees its rows at the same alignment, so kernels that treat the
ends of an array apart do the same to the same row."""

Index = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class StateSpec:
    """One recurrent state of a model."""

    input: str
    """Name of the graph's input; the state's name here."""
    output: str
    """Name of the graph's output that replaces it."""
    dtype: np.dtype[Any]
    """Of fixed size; strings are no state."""
    shape: tuple[int, ...]
    """Of one row, without the batch axis."""


@dataclass(frozen=True, slots=True)
class Block:
    """Memory for rows of one state, beside the engine, to be bound to a run.

    Attributes:
        spec: the state.
        value: [rows, ...] on the device that the engine runs on.
        array: the same memory; None if it is not the host's.
    """

    spec: StateSpec
    value: onnxruntime.OrtValue
    array: Array | None = None

    def bind_input(self, binding: onnxruntime.IOBinding, rows: int) -> None:
        """Let the first ``rows`` rows be the state that a run starts from."""
        binding.bind_input(self.spec.input, *self._place(rows))

    def bind_output(self, binding: onnxruntime.IOBinding, rows: int) -> None:
        """Let a run leave its new state in the first ``rows`` rows."""
        binding.bind_output(self.spec.output, *self._place(rows))

    def _place(self, rows: int) -> tuple[str, int, np.dtype[Any], tuple[int, ...], int]:
        value, spec = self.value, self.spec
        return (value.device_name(), 0, spec.dtype, (rows, *spec.shape), value.data_ptr())


Blocks = tuple[Block, ...]
"""One a state, in the order of the table's ``specs``."""


class StateTable(ABC):
    """The states of ``slots`` rows. A fresh one is all zeros.

    Calls for different slots may be made by several threads at once.
    """

    def __init__(self, specs: Sequence[StateSpec], slots: int) -> None:
        self.specs = tuple(specs)
        self.slots = slots

    @abstractmethod
    def take(self, slots: Sequence[int]) -> dict[str, Array]:
        """Copies on the host: state input name -> [len(slots), ...]. Raises IndexError."""

    @abstractmethod
    def put(self, slots: Sequence[int], rows: Mapping[str, Array]) -> None:
        """Set slots from the host; ``slots`` are distinct.

        Args:
            slots: which.
            rows: state input name -> [len(slots), ...], for every state.

        Raises:
            ValueError: ``rows`` are not this table's states; the text names the first that differs.
            IndexError: there is no such slot.
        """

    @abstractmethod
    def copy(self, sources: Sequence[int], targets: Sequence[int]) -> None:
        """Set each target from its source. All sources are read first; targets are distinct."""

    @abstractmethod
    def blocks(self, rows: int) -> Blocks:
        """Memory for ``rows`` rows of each state where the engine wants it."""

    @abstractmethod
    def gather(self, slots: Sequence[int], blocks: Blocks) -> None:
        """Copy slots into the first rows of ``blocks``."""

    @abstractmethod
    def scatter(self, slots: Sequence[int], blocks: Blocks) -> None:
        """Set distinct slots from the first rows of ``blocks``."""

    def zero(self, slots: Sequence[int]) -> None:
        """Set slots to zeros."""
        rows = len(slots)
        self.put(slots, {s.input: np.zeros((rows, *s.shape), s.dtype) for s in self.specs})

    def load(self, slot: int, state: RowState) -> None:
        """Set one slot. Raises as ``put``."""
        self.put((slot,), {name: np.asarray(array)[np.newaxis] for name, array in state.items()})

    def read(self, slot: int) -> dict[str, Array]:
        """A copy of one row: state input name -> array without the batch axis."""
        return {name: rows[0] for name, rows in self.take((slot,)).items()}

    def apply(self, moves: Sequence[Move]) -> None:
        """Do ``moves``, whose slots are distinct: what is copied is read before anything is set.

        Raises:
            ValueError: a state to be loaded is none of this table's.
        """
        copies = [(move.source, move.slot) for move in moves if move.source is not None]
        if copies:
            self.copy([source for source, _ in copies], [slot for _, slot in copies])
        fresh = [move.slot for move in moves if move.source is None and move.state is None]
        if fresh:
            self.zero(fresh)
        for move in moves:
            if move.source is None and move.state is not None:
                self.load(move.slot, move.state)

    def _index(self, slots: Sequence[int]) -> Index:
        """``slots`` as an array. Raises IndexError if one is outside the table."""
        index = np.asarray(slots, np.int64)
        if slots and not 0 <= min(slots) <= max(slots) < self.slots:
            raise IndexError(f"slots {list(slots)} of a table of {self.slots}")
        return index

    def _checked(
        self, slots: Sequence[int], rows: Mapping[str, Array]
    ) -> Iterator[tuple[StateSpec, Array]]:
        """Every state with its rows. Raises ValueError."""
        if rows.keys() != {spec.input for spec in self.specs}:
            raise ValueError(
                f"states {sorted(rows)} were given, expected {sorted(s.input for s in self.specs)}"
            )
        for spec in self.specs:
            array, shape = rows[spec.input], (len(slots), *spec.shape)
            if array.shape != shape or array.dtype != spec.dtype:
                raise ValueError(
                    f"state {spec.input!r} is {array.dtype} {list(array.shape[1:])}, "
                    f"expected {spec.dtype} {list(spec.shape)}"
                )
            yield spec, array


class HostStateTable(StateTable):
    """States in the host's memory, for the CPU provider."""

    def __init__(self, specs: Sequence[StateSpec], slots: int) -> None:
        super().__init__(specs, slots)
        self._tables = tuple(_aligned_zeros((slots, *s.shape), s.dtype) for s in self.specs)

    def take(self, slots: Sequence[int]) -> dict[str, Array]:
        """See ``StateTable.take``."""
        index = self._index(slots)
        return {s.input: t[index] for s, t in zip(self.specs, self._tables, strict=True)}

    def put(self, slots: Sequence[int], rows: Mapping[str, Array]) -> None:
        """See ``StateTable.put``."""
        index = self._index(slots)
        checked = list(self._checked(slots, rows))
        for table, (_, array) in zip(self._tables, checked, strict=True):
            table[index] = array

    def copy(self, sources: Sequence[int], targets: Sequence[int]) -> None:
        """See ``StateTable.copy``."""
        source, target = self._index(sources), self._index(targets)
        for table in self._tables:
            table[target] = table[source]

    def blocks(self, rows: int) -> Blocks:
        """See ``StateTable.blocks``."""
        arrays = (_aligned_zeros((rows, *spec.shape), spec.dtype) for spec in self.specs)
        return tuple(
            Block(spec, onnxruntime.OrtValue.ortvalue_from_numpy(array), array)
            for spec, array in zip(self.specs, arrays, strict=True)
        )

    def gather(self, slots: Sequence[int], blocks: Blocks) -> None:
        """See ``StateTable.gather``."""
        index, rows = self._index(slots), len(slots)
        for table, block in zip(self._tables, blocks, strict=True):
            # "clip" writes straight into ``out``; the index has been checked above.
            np.take(table, index, axis=0, out=_host(block)[:rows], mode="clip")

    def scatter(self, slots: Sequence[int], blocks: Blocks) -> None:
        """See ``StateTable.scatter``."""
        index, rows = self._index(slots), len(slots)
        for table, block in zip(self._tables, blocks, strict=True):
            table[index] = _host(block)[:rows]


def _host(block: Block) -> Array:
    if block.array is None:
        raise TypeError(f"the rows of {block.spec.input!r} are not in the host's memory")
    return block.array


def _aligned_zeros(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Zeros that begin at a multiple of ``ALIGNMENT`` bytes, C-contiguous."""
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    memory = np.zeros(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)
