"""``sequence_batching`` held against the graph: which tensors are states, which are controls.

A state is a pair of one output and one input, by their names in the configuration; the order in
which a graph or a file lists them means nothing.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from quartet.config import ConfigError
from serving.sequence_config import (
    ControlConfig,
    ControlKind,
    InitialStateConfig,
    SequenceConfig,
    StateConfig,
)
from serving.sequence_life import SequenceRules
from serving.state_table import StateSpec
from serving.types import Datatype, TensorSpec

DEFAULT_SEQUENCES = 64
"""Sequences that have a state at once, where the model is silent and batches no more rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlSpec:
    """A tensor that tells the graph something of each step."""

    input: str
    kind: ControlKind
    datatype: Datatype
    shape: tuple[int, ...]
    """Of one step, without the batch axis: all ones."""
    false_true: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class SequencePlan:
    """How a stateful model is served."""

    states: tuple[StateSpec, ...]
    initial: Mapping[str, InitialStateConfig]
    """State input name -> what a sequence begins with; the others begin with zeros."""
    controls: tuple[ControlSpec, ...]
    rules: SequenceRules

    @property
    def hidden_inputs(self) -> frozenset[str]:
        """Inputs that no client gives."""
        return frozenset(s.input for s in self.states) | {c.input for c in self.controls}

    @property
    def hidden_outputs(self) -> frozenset[str]:
        """Outputs that clients see only if the file declares them."""
        return frozenset(state.output for state in self.states)

    @property
    def id_type(self) -> Datatype | None:
        """What the graph takes as id; None if it takes none."""
        return next((c.datatype for c in self.controls if c.kind == "id"), None)


def resolve_sequences(
    config: SequenceConfig,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    *,
    max_batch_size: int,
    max_queued_steps: int,
) -> SequencePlan:
    """Join the block with the graph.

    Args:
        config: the block.
        inputs: all of the graph.
        outputs: all of the graph.
        max_batch_size: rows of one run; 0 if the first axis is no batch axis.
        max_queued_steps: requests that may wait.

    Raises:
        ConfigError: they contradict each other; the text names the tensor and both sides.
    """
    taken = {spec.name: spec for spec in inputs}
    given = {spec.name: spec for spec in outputs}
    batches = max_batch_size > 0
    _refuse_double_use(config)
    return SequencePlan(
        states=tuple(_state(state, taken, given, batches) for state in config.states),
        initial={s.input: s.initial for s in config.states if s.initial and s.initial.file},
        controls=tuple(_control(control, taken, batches) for control in config.controls),
        rules=_rules(config, max(1, max_batch_size), max_queued_steps),
    )


def _refuse_double_use(config: SequenceConfig) -> None:
    states = {state.input for state in config.states}
    for control in config.controls:
        if control.input in states:
            raise ConfigError(f"input {control.input!r} is both a state and a control_input")


def _state(
    state: StateConfig,
    inputs: Mapping[str, TensorSpec],
    outputs: Mapping[str, TensorSpec],
    batches: bool,
) -> StateSpec:
    label = f"state {state.input!r}"
    shape = state.dims
    for kind, name, known in (
        ("input", state.input, inputs),
        ("output", state.output, outputs),
    ):
        spec = _known(f"{label}: {kind}_name", name, known)
        if spec.datatype is not state.datatype:
            raise ConfigError(
                f"{label}: data_type is {state.datatype.wire}, {kind} {name!r} of the graph is "
                f"{spec.datatype.wire}"
            )
        # An output of unknown rank has no shape in the graph to contradict.
        if spec.shape or kind == "input":
            row = spec.shape[1:] if batches else spec.shape
            shape = _merged(f"{label}: {kind} {name!r} of the graph", shape, row)
    if state.initial is not None and state.initial.dims:
        shape = _merged(f"{label}: initial_state", shape, state.initial.dims)
    if -1 in shape:
        raise ConfigError(
            f"{label}: dims {list(shape)} leave a size open; a state keeps its size, so give it in "
            "dims or in initial_state"
        )
    return StateSpec(
        input=state.input, output=state.output, dtype=state.datatype.dtype, shape=shape
    )


def _known(what: str, name: str, known: Mapping[str, TensorSpec]) -> TensorSpec:
    if name not in known:
        raise ConfigError(f"{what} {name!r} is not in the graph, which has {sorted(known)}")
    return known[name]


def _merged(what: str, shape: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    """``shape`` with sizes of ``other`` in place of -1."""
    agrees = len(shape) == len(other) and all(
        -1 in pair or pair[0] == pair[1] for pair in zip(shape, other, strict=True)
    )
    if not agrees:
        raise ConfigError(f"{what} has dims {list(other)}, expected {list(shape)}")
    return tuple(max(pair) for pair in zip(shape, other, strict=True))


def _control(
    control: ControlConfig, inputs: Mapping[str, TensorSpec], batches: bool
) -> ControlSpec:
    spec = _known("control_input", control.input, inputs)
    if spec.datatype is not control.datatype:
        raise ConfigError(
            f"control_input {control.input!r} is {control.datatype.wire}, the graph has "
            f"{spec.datatype.wire}"
        )
    shape = spec.shape[1:] if batches else spec.shape
    if any(size not in (1, -1) for size in shape):
        raise ConfigError(
            f"control_input {control.input!r} has dims {list(shape)} in the graph, expected one "
            "element a step"
        )
    return ControlSpec(
        input=control.input,
        kind=control.kind,
        datatype=control.datatype,
        shape=(1,) * len(shape),
        false_true=control.false_true,
    )


def _rules(config: SequenceConfig, max_rows: int, max_queued_steps: int) -> SequenceRules:
    slots = config.max_sequences or max(DEFAULT_SEQUENCES, max_rows)
    if config.strategy == "oldest":
        enough = min(config.preferred_batch_size, default=max_rows)
    else:
        enough = max(1, math.ceil(config.minimum_utilization * slots))
    return SequenceRules(
        slots=slots,
        max_rows=max_rows,
        enough_rows=min(enough, max_rows, slots),
        max_delay_s=config.max_queue_delay_s,
        max_idle_s=config.max_idle_s,
        max_queued_steps=max_queued_steps,
    )


def visible(
    specs: Iterable[TensorSpec], hidden: frozenset[str], declared: Iterable[str]
) -> tuple[TensorSpec, ...]:
    """``specs`` without those that are ``hidden``, unless they are declared."""
    shown = frozenset(declared)
    return tuple(spec for spec in specs if spec.name not in hidden or spec.name in shown)
