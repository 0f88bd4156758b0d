"""The engine of a generator: its two graphs, and the table of states beside them.

A run takes its rows' states and constants out of the table into memory that is bound to the graph,
runs, and puts the new states back. They go back only after the run has succeeded, so a run that
fails changes no row. Inputs and outputs are bound by address: nothing is copied that need not be,
and on a device the states never leave it.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter

import numpy as np
import onnxruntime

from quartet.generation import (
    ALTERNATIVES,
    ATTENTION,
    LENGTH,
    LOG_PROBABILITIES,
    MINIMUM,
    TOKEN,
    TOKENS,
    TOP_K,
    TOP_LOG_PROBABILITIES,
    TOP_TOKENS,
    UNIFORM,
)
from serving.errors import InferenceFailed
from serving.generator_check import GeneratorLayout
from serving.providers import CPU_PROVIDER
from serving.session import OnnxSession
from serving.state_table import Blocks, Index, StateTable
from serving.token_scheduler import DecodeRun, PrefillRun, RowState, Run, RunResult
from serving.types import Array


@dataclass(slots=True)
class _Workspace:
    """What one run at a time needs: bindings, and memory around them.

    What is bound for decode stays bound, since most runs are of the shape of the one before:
    naming all of a graph's tensors again would take longer than moving the states.
    """

    decode: onnxruntime.IOBinding
    prefill: onnxruntime.IOBinding
    before: Blocks
    after: Blocks
    constants: Blocks
    numbers: Index
    """Of what the rows of ``constants`` hold (``StateTable.constant_numbers``)."""
    shape: tuple[int, ...] = ()
    """Rows, steps and places that ``inputs``, ``outputs`` and the states are bound for; no places
    where attention is not wanted."""
    inputs: dict[str, Array] = field(default_factory=dict)
    outputs: dict[str, Array] = field(default_factory=dict)


class OnnxDecoder:
    """A ``StepEngine`` over ONNX Runtime.

    Several threads may call ``execute`` at once, for different slots. As many workspaces are made
    as there are ever runs at the same time; each is used again by the runs that follow.
    """

    def __init__(
        self,
        decode: OnnxSession,
        prefill: OnnxSession,
        layout: GeneratorLayout,
        table: StateTable,
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Serve two graphs that ``check_generator`` found to be ``layout``.

        Args:
            decode: the graph that writes.
            prefill: the graph that reads.
            layout: what they have.
            table: of ``layout.row_specs``, in the memory that the sessions compute in.
            clock: seconds.
        """
        self._decode = decode
        self._prefill = prefill
        self._layout = layout
        self._table = table
        self._clock = clock
        self._on_host = decode.provider == CPU_PROVIDER
        self._controls = tuple((name, attrgetter(name)) for name in sorted(layout.controls))
        self._free: deque[_Workspace] = deque()
        self.slots = table.slots
        self.top = layout.top
        self.places = layout.places

    def execute(self, run: Run) -> RunResult:
        """See ``StepEngine.execute``."""
        started = self._clock()
        space = self._workspace()
        self._apply_moves(run)
        self._gather(run.slots, space)
        result = (
            self._run_decode(run, space) if run.kind == "decode" else self._run_prefill(run, space)
        )
        snapshots = {row: self._table.read(run.slots[row]) for row in _snapshots(run)}
        self._table.scatter(run.slots, space.after)
        # After a failure the bindings are of unknown content: such a workspace is not used again.
        self._free.append(space)
        return RunResult(**result, snapshots=snapshots, seconds=self._clock() - started)

    def read_state(self, slot: int) -> RowState:
        """See ``StepEngine.read_state``."""
        return self._table.read(slot)

    def interrupt(self) -> None:
        """Let every run, also those to come, end before its next operator."""
        self._decode.interrupt()
        self._prefill.interrupt()

    def _apply_moves(self, run: Run) -> None:
        try:
            self._table.apply(run.moves)
        except ValueError as error:
            raise InferenceFailed(f"a state to continue from does not fit: {error}") from error

    def _gather(self, slots: Sequence[int], space: _Workspace) -> None:
        """Take rows out of the table; of the constants only those that are not there already."""
        self._table.gather(slots, space.before)
        if space.constants:
            rows, numbers = len(slots), self._table.constant_numbers(slots)
            if not np.array_equal(space.numbers[:rows], numbers):
                self._table.gather(slots, space.constants)
                space.numbers[:rows] = numbers

    def _run_decode(self, run: DecodeRun, space: _Workspace) -> dict[str, Array]:
        rows, steps = run.uniform.shape
        shape = (rows, steps, self.places if run.attention else 0)
        is_new = space.shape != shape
        if is_new:
            space.inputs, space.outputs = self._decode_arrays(*shape)
            space.shape = shape
        self._fill(space.inputs, run)
        if is_new or not self._on_host:
            # A device is given its inputs as they are at this moment.
            for name, array in space.inputs.items():
                space.decode.bind_cpu_input(name, array)
        if is_new:
            space.decode.clear_binding_outputs()
            _bind_states(space.decode, space, rows)
            for name, array in space.outputs.items():
                _bind_output(space.decode, name, array)
        self._decode.run_bound(space.decode)
        unwanted = () if run.alternatives.any() else (TOP_TOKENS, TOP_LOG_PROBABILITIES)
        outputs = space.outputs.items()
        return {name: array.copy() for name, array in outputs if name not in unwanted}

    def _fill(self, inputs: dict[str, Array], run: DecodeRun) -> None:
        """Set the inputs of the decode graph, but the states."""
        inputs[TOKEN][:] = run.token
        inputs[ALTERNATIVES][:] = run.alternatives
        inputs[UNIFORM][:] = run.uniform
        if MINIMUM in inputs:
            inputs[MINIMUM][:] = 0 if run.minimum is None else run.minimum
        for name, value_of in self._controls:
            inputs[name][:] = [value_of(sampling) for sampling in run.sampling]

    def _decode_arrays(
        self, rows: int, steps: int, places: int
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """Memory for inputs and outputs of the decode graph, but the states."""
        inputs: dict[str, Array] = {
            TOKEN: np.empty(rows, np.int64),
            ALTERNATIVES: np.empty(rows, np.int64),
            UNIFORM: np.empty((rows, steps), np.float32),
        }
        for name, _ in self._controls:
            inputs[name] = np.empty(rows, np.int64 if name == TOP_K else np.float32)
        if self._layout.minimum:
            inputs[MINIMUM] = np.empty(rows, np.int64)
        outputs: dict[str, Array] = {
            TOKENS: np.empty((rows, steps), np.int64),
            LOG_PROBABILITIES: np.empty((rows, steps), np.float32),
            TOP_TOKENS: np.empty((rows, steps, self.top), np.int64),
            TOP_LOG_PROBABILITIES: np.empty((rows, steps, self.top), np.float32),
        }
        if places:
            outputs[ATTENTION] = np.empty((rows, steps, places), np.float32)
        return inputs, outputs

    def _run_prefill(self, run: PrefillRun, space: _Workspace) -> dict[str, Array]:
        rows, time_steps = run.tokens.shape
        binding = space.prefill
        binding.bind_cpu_input(TOKENS, np.ascontiguousarray(run.tokens))
        binding.bind_cpu_input(LENGTH, np.ascontiguousarray(run.lengths))
        _bind_states(binding, space, rows)
        outputs: dict[str, Array] = {}
        if run.score:
            shape = (rows, time_steps, self._layout.symbols)
            outputs[LOG_PROBABILITIES] = np.empty(shape, np.float32)
        if run.attention and self.places:
            outputs[ATTENTION] = np.empty((rows, time_steps, self.places), np.float32)
        for name, array in outputs.items():
            _bind_output(binding, name, array)
        self._prefill.run_bound(binding)
        # These are the caller's from here on; the binding would still point to them.
        binding.clear_binding_outputs()
        return outputs

    def _workspace(self) -> _Workspace:
        """A free one; a new one if all are in use."""
        try:
            return self._free.pop()
        except IndexError:
            return _Workspace(
                self._decode.new_binding(),
                self._prefill.new_binding(),
                before=self._table.blocks(self.slots, self._table.states),
                after=self._table.blocks(self.slots, self._table.states),
                constants=self._table.blocks(self.slots, self._table.constants),
                numbers=np.full(self.slots, -1, np.int64),
            )


def _snapshots(run: Run) -> Sequence[int]:
    return run.snapshots if run.kind == "decode" else ()


def _bind_output(binding: onnxruntime.IOBinding, name: str, array: Array) -> None:
    """``array`` must live until the run has ended."""
    binding.bind_output(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)


def _bind_states(binding: onnxruntime.IOBinding, space: _Workspace, rows: int) -> None:
    for block in (*space.before, *space.constants):
        block.bind_input(binding, rows)
    for block in space.after:
        block.bind_output(binding, rows)
