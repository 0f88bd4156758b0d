"""Steps of different sequences through one run of a stateful graph."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from quartet.config import ConfigError
from serving.dynamic_batcher import Engine
from serving.errors import InferenceFailed
from serving.pbtxt_sequences import INITIAL_STATE_FOLDER
from serving.row_joining import join_rows, split_rows
from serving.scheduler import SequenceStep, Work
from serving.sequence_config import InitialStateConfig
from serving.sequence_plan import ControlSpec, SequencePlan
from serving.state_table import StateSpec, StateTable
from serving.types import Array, Datatype

Answer = Mapping[str, Array]
"""Output name -> the rows of one request."""


class StatefulEngine:
    """Runs steps on the states of their sequences, which lie in the slots of a table."""

    def __init__(
        self,
        engine: Engine,
        plan: SequencePlan,
        table: StateTable,
        initial: Mapping[str, Array],
        *,
        batches: bool,
    ) -> None:
        """Join the parts.

        Args:
            engine: the graph.
            plan: what it keeps and what it is told.
            table: one slot for each sequence that may live.
            initial: state input name -> what a sequence begins with, of one row.
            batches: whether the first axis of every tensor is the batch; else one step is a run.
        """
        self._engine = engine
        self._plan = plan
        self._table = table
        self._initial = initial
        self._batches = batches

    def run(self, works: Sequence[Work], slots: Sequence[int]) -> list[Answer]:
        """One step of each sequence. Call from a worker thread, never twice for one slot at a time.

        Args:
            works: one step of each, all with the same outputs and input shapes.
            slots: where their states lie, distinct.

        Returns: the outputs of each step.

        Raises:
            InferenceFailed: the engine failed. All states are as they were, but for those of
                sequences that this run was to begin.
        """
        steps = [_step(work) for work in works]
        self._begin([slot for step, slot in zip(steps, slots, strict=True) if step.start])
        states = self._table.take(slots)
        feed = {
            **join_rows(works),
            **(states if self._batches else {name: rows[0] for name, rows in states.items()}),
            **control_tensors(self._plan.controls, steps, batches=self._batches),
        }
        wanted = works[0].outputs
        names = list(dict.fromkeys((*wanted, *(s.output for s in self._plan.states))))
        results = dict(zip(names, self._engine.run(feed, names), strict=True))
        answers = split_rows(works, [results[name] for name in wanted])
        self._keep(slots, results)
        return answers

    def _begin(self, slots: Sequence[int]) -> None:
        if slots:
            rows = {
                name: np.broadcast_to(row, (len(slots), *row.shape))
                for name, row in self._initial.items()
            }
            self._table.put(slots, rows)

    def _keep(self, slots: Sequence[int], results: Mapping[str, Array]) -> None:
        """Store the new states, all or none."""
        outputs = {state.input: results[state.output] for state in self._plan.states}
        rows = outputs if self._batches else {n: np.asarray(a)[None] for n, a in outputs.items()}
        try:
            self._table.put(slots, rows)
        except ValueError as error:
            raise InferenceFailed(
                f"the graph gave a state that is not as declared: {error}"
            ) from error


def control_tensors(
    controls: Sequence[ControlSpec], steps: Sequence[SequenceStep], *, batches: bool
) -> dict[str, Array]:
    """What the graph is told of ``steps``: input name -> one element a step."""
    tensors = {}
    for control in controls:
        values = [_control_value(control, step) for step in steps]
        shape = (len(steps), *control.shape) if batches else control.shape
        tensors[control.input] = np.array(values, control.datatype.dtype).reshape(shape)
    return tensors


def _control_value(control: ControlSpec, step: SequenceStep) -> float | str:
    if control.kind == "id":
        return step.id
    said = {"start": step.start, "end": step.end, "ready": True}[control.kind]
    return control.false_true[said]


def initial_rows(plan: SequencePlan, folder: Path) -> dict[str, Array]:
    """What each state begins with: state input name -> array of one row.

    Args:
        plan: the states.
        folder: the model's; files lie in ``initial_state`` below it.

    Raises:
        ConfigError: a file cannot be read or has another size than its state.
    """
    rows = {}
    for state in plan.states:
        config = plan.initial.get(state.input)
        rows[state.input] = (
            np.zeros(state.shape, state.dtype)
            if config is None
            else _read(folder / INITIAL_STATE_FOLDER / config.file, state, config)
        )
    return rows


def _read(file: Path, state: StateSpec, config: InitialStateConfig) -> Array:
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise ConfigError(f"state {state.input!r}: initial_state: {error}") from error
    wanted = int(np.prod(state.shape, dtype=np.int64)) * state.dtype.itemsize
    if len(raw) != wanted:
        raise ConfigError(
            f"state {state.input!r}: {file.name} has {len(raw)} bytes, dims {list(state.shape)} of "
            f"{config.datatype.wire} need {wanted}"
        )
    return np.frombuffer(raw, state.dtype).reshape(state.shape)


class WarmupEngine:
    """A stateful graph as one that takes only what clients give: each run begins a sequence."""

    def __init__(
        self, engine: Engine, plan: SequencePlan, initial: Mapping[str, Array], *, batches: bool
    ) -> None:
        """See ``StatefulEngine``."""
        self._engine = engine
        self._plan = plan
        self._initial = initial
        self._batches = batches

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        """See ``Engine.run``."""
        rows = len(next(iter(inputs.values()))) if self._batches and inputs else 1
        number = "" if self._plan.id_type is Datatype.BYTES else 0
        steps = [SequenceStep(id=number, start=True)] * rows
        states = {
            name: np.tile(row, (rows, *[1] * row.ndim)) if self._batches else row
            for name, row in self._initial.items()
        }
        controls = control_tensors(self._plan.controls, steps, batches=self._batches)
        names = list(dict.fromkeys((*outputs, *(state.output for state in self._plan.states))))
        return self._engine.run({**states, **controls, **inputs}, names)[: len(outputs)]


def _step(work: Work) -> SequenceStep:
    if work.sequence is None:
        raise RuntimeError("a request without a sequence reached a stateful model")
    return work.sequence
