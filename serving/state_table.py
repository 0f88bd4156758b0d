"""Rows of recurrent state, and of constants, in memory set aside beforehand, one slot each.

A run of the engine takes the rows of its slots out, in its own order, and puts the new ones back:
one NumPy call a state, not one a row. Binding the table itself where the slots lie side by side
would save the way out alone, since a run that fails must not have changed its rows. Measured, that
is half a percent of a run of 32 rows of 8 kB (35 of 7,000 us); it is not done.

A constant is what a row keeps from its first run to its last: it is taken out like a state, and
nothing is put back. Constants may be large (150 kB a row for a captioner of 100 places), and most
runs have the rows of the one before. So each set of them has a number: who has gathered those of
the same numbers before has them still. Measured, one step takes 4 percent less with 8 beams, and 10
with 24 (5.6 of 6.2 ms).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice
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
class RowSpec:
    """What a table holds of each row: by itself a constant, as a ``StateSpec`` a state."""

    input: str
    """Name of the graph's input; the tensor's name here."""
    dtype: np.dtype[Any]
    """Of fixed size; strings are no state."""
    shape: tuple[int, ...]
    """Of one row, without the batch axis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateSpec(RowSpec):
    """One recurrent state of a model."""

    output: str
    """Name of the graph's output that replaces it."""


@dataclass(frozen=True, slots=True)
class Block:
    """Memory for rows of one state or constant, beside the engine, to be bound to a run.

    Attributes:
        spec: which.
        value: [rows, ...] on the device that the engine runs on.
        array: the same memory; None if it is not the host's.
    """

    spec: RowSpec
    value: onnxruntime.OrtValue
    array: Array | None = None

    def bind_input(self, binding: onnxruntime.IOBinding, rows: int) -> None:
        """Let the first ``rows`` rows be what a run starts from."""
        binding.bind_input(self.spec.input, *self._place(rows))

    def bind_output(self, binding: onnxruntime.IOBinding, rows: int) -> None:
        """Let a run leave its new state in the first ``rows`` rows. A constant has none."""
        if not isinstance(self.spec, StateSpec):
            raise TypeError(f"{self.spec.input!r} is a constant, of which no run makes a new one")
        binding.bind_output(self.spec.output, *self._place(rows))

    def _place(self, rows: int) -> tuple[str, int, np.dtype[Any], tuple[int, ...], int]:
        value, spec = self.value, self.spec
        return (value.device_name(), 0, spec.dtype, (rows, *spec.shape), value.data_ptr())


Blocks = tuple[Block, ...]
"""One a state or constant."""


class StateTable(ABC):
    """The states and constants of ``slots`` rows. A fresh one is all zeros.

    Calls for different slots may be made by several threads at once.
    """

    def __init__(self, specs: Sequence[RowSpec], slots: int) -> None:
        self.specs = tuple(specs)
        self.states = tuple(spec for spec in specs if isinstance(spec, StateSpec))
        self.constants = tuple(spec for spec in specs if not isinstance(spec, StateSpec))
        self.slots = slots
        self._numbers = np.zeros(slots, np.int64)
        self._next_number = count(1)

    @abstractmethod
    def take(self, slots: Sequence[int]) -> dict[str, Array]:
        """Copies on the host: input name -> [len(slots), ...]. Raises IndexError."""

    @abstractmethod
    def blocks(self, rows: int, specs: Sequence[RowSpec] | None = None) -> Blocks:
        """Memory for ``rows`` rows of each of ``specs`` (all) where the engine wants it."""

    @abstractmethod
    def gather(self, slots: Sequence[int], blocks: Blocks) -> None:
        """Copy slots into the first rows of ``blocks``."""

    @abstractmethod
    def scatter(self, slots: Sequence[int], blocks: Blocks) -> None:
        """Set the states of distinct slots from the first rows of ``blocks``."""

    @abstractmethod
    def _put(self, spec: RowSpec, index: Index, rows: Array) -> None:
        """Set slots from the host."""

    @abstractmethod
    def _copy(self, specs: Sequence[RowSpec], sources: Index, targets: Index) -> None:
        """See ``copy``."""

    def put(self, slots: Sequence[int], rows: Mapping[str, Array]) -> None:
        """Set slots from the host; ``slots`` are distinct.

        Args:
            slots: which.
            rows: input name -> [len(slots), ...], for every state and constant.

        Raises:
            ValueError: ``rows`` are not what this table holds; the text tells the first difference.
            IndexError: there is no such slot.
        """
        index = self._index(slots)
        checked = list(self._checked(slots, rows))
        if slots:
            self._renumber(index)
            for spec, array in checked:
                self._put(spec, index, array)

    def copy(self, sources: Sequence[int], targets: Sequence[int]) -> None:
        """Set each target from its source. All sources are read first; targets are distinct."""
        self._copy_states(sources, targets)
        self._copy_constants(sources, targets)

    def constant_numbers(self, slots: Sequence[int]) -> Index:
        """Which constants slots hold: those of equal numbers are equal, now and ever.

        If a call that sets a slot's constants fails, the slot has a number that no other has had.
        """
        return self._numbers[self._index(slots)]

    def zero(self, slots: Sequence[int]) -> None:
        """Set slots to zeros, their constants too."""
        rows = len(slots)
        self.put(slots, {s.input: np.zeros((rows, *s.shape), s.dtype) for s in self.specs})

    def load(self, slot: int, state: RowState) -> None:
        """Set one slot: states that are left out to zero, constants must be there.

        Raises as ``put``, and ValueError for a constant that is missing.
        """
        for constant in self.constants:
            if constant.input not in state:
                raise ValueError(
                    f"constant {constant.input!r} is missing; given are {sorted(state)}"
                )
        rows = {name: np.asarray(array)[np.newaxis] for name, array in state.items()}
        for spec in self.states:
            rows.setdefault(spec.input, np.zeros((1, *spec.shape), spec.dtype))
        self.put((slot,), rows)

    def read(self, slot: int) -> dict[str, Array]:
        """A copy of one row: input name -> array without the batch axis."""
        return {name: rows[0] for name, rows in self.take((slot,)).items()}

    def apply(self, moves: Sequence[Move]) -> None:
        """Do ``moves``, whose slots are distinct: what is copied is read before anything is set.

        Raises:
            ValueError: a state to be loaded is none of this table's.
        """
        copies = [(m.source, m.slot, m.constants) for m in moves if m.source is not None]
        if copies:
            self._copy_states([source for source, _, _ in copies], [slot for _, slot, _ in copies])
            whole = [(source, slot) for source, slot, constants in copies if constants]
            self._copy_constants([source for source, _ in whole], [slot for _, slot in whole])
        fresh = [move.slot for move in moves if move.source is None and move.state is None]
        if fresh:
            self.zero(fresh)
        for move in moves:
            if move.source is None and move.state is not None:
                self.load(move.slot, move.state)

    def _copy_states(self, sources: Sequence[int], targets: Sequence[int]) -> None:
        self._copy(self.states, self._index(sources), self._index(targets))

    def _copy_constants(self, sources: Sequence[int], targets: Sequence[int]) -> None:
        if self.constants and targets:
            source, target = self._index(sources), self._index(targets)
            numbers = self._numbers[source]
            self._renumber(target)
            self._copy(self.constants, source, target)
            self._numbers[target] = numbers

    def _renumber(self, index: Index) -> None:
        """The constants of slots are about to change."""
        self._numbers[index] = list(islice(self._next_number, len(index)))

    def _index(self, slots: Sequence[int]) -> Index:
        """``slots`` as an array. Raises IndexError if one is outside the table."""
        index = np.asarray(slots, np.int64)
        if slots and not 0 <= min(slots) <= max(slots) < self.slots:
            raise IndexError(f"slots {list(slots)} of a table of {self.slots}")
        return index

    def _checked(
        self, slots: Sequence[int], rows: Mapping[str, Array]
    ) -> Iterator[tuple[RowSpec, Array]]:
        """Everything that the table holds, with its rows. Raises ValueError."""
        names = {spec.input for spec in self.specs}
        if rows.keys() != names:
            raise ValueError(f"states {sorted(rows)} were given, expected {sorted(names)}")
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

    def __init__(self, specs: Sequence[RowSpec], slots: int) -> None:
        super().__init__(specs, slots)
        self._tables = {s.input: _aligned_zeros((slots, *s.shape), s.dtype) for s in self.specs}

    def take(self, slots: Sequence[int]) -> dict[str, Array]:
        """See ``StateTable.take``."""
        index = self._index(slots)
        return {name: table[index] for name, table in self._tables.items()}

    def blocks(self, rows: int, specs: Sequence[RowSpec] | None = None) -> Blocks:
        """See ``StateTable.blocks``."""
        wanted = self.specs if specs is None else specs
        arrays = [_aligned_zeros((rows, *spec.shape), spec.dtype) for spec in wanted]
        return tuple(
            Block(spec, onnxruntime.OrtValue.ortvalue_from_numpy(array), array)
            for spec, array in zip(wanted, arrays, strict=True)
        )

    def gather(self, slots: Sequence[int], blocks: Blocks) -> None:
        """See ``StateTable.gather``."""
        index, rows = self._index(slots), len(slots)
        for block in blocks:
            # "clip" writes straight into ``out``; the index has been checked above.
            table, out = self._tables[block.spec.input], _host(block)[:rows]
            np.take(table, index, axis=0, out=out, mode="clip")

    def scatter(self, slots: Sequence[int], blocks: Blocks) -> None:
        """See ``StateTable.scatter``."""
        index, rows = self._index(slots), len(slots)
        for block in blocks:
            if isinstance(block.spec, StateSpec):
                self._tables[block.spec.input][index] = _host(block)[:rows]

    def _put(self, spec: RowSpec, index: Index, rows: Array) -> None:
        """See ``StateTable._put``."""
        self._tables[spec.input][index] = rows

    def _copy(self, specs: Sequence[RowSpec], sources: Index, targets: Index) -> None:
        """See ``StateTable._copy``."""
        for spec in specs:
            table = self._tables[spec.input]
            table[targets] = table[sources]


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
