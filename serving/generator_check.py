"""A generator's declaration against its two graphs, before either runs.

What the graphs must take and give is written in ``quartet.generation``. States are paired, and
constants found, by the names that the model declares, never by their order or by likeness of names.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from quartet.config import ConfigError
from quartet.generation import (
    ALTERNATIVES,
    ATTENTION,
    FREQUENCY_PENALTY,
    LENGTH,
    LOG_PROBABILITIES,
    MINIMUM,
    PRESENCE_PENALTY,
    REPETITION_PENALTY,
    TEMPERATURE,
    TOKEN,
    TOKENS,
    TOP_K,
    TOP_LOG_PROBABILITIES,
    TOP_P,
    TOP_TOKENS,
    UNIFORM,
    GeneratorTask,
    StatePair,
)
from serving.state_table import RowSpec, StateSpec
from serving.types import Datatype, TensorSpec

FREE = -1
"""An axis whose length each run chooses."""
FIXED = 0
"""Stands for any length that the graph fixes."""

_Want = tuple[Datatype, tuple[int, ...]]

_BATCH: _Want = (Datatype.FP32, (FREE,))
_BATCH_IDS: _Want = (Datatype.INT64, (FREE,))
_STEPS: _Want = (Datatype.FP32, (FREE, FREE))
_STEP_IDS: _Want = (Datatype.INT64, (FREE, FREE))
_DECODE_INPUTS: Mapping[str, _Want] = {
    TOKEN: _BATCH_IDS,
    TEMPERATURE: _BATCH,
    TOP_K: _BATCH_IDS,
    TOP_P: _BATCH,
    REPETITION_PENALTY: _BATCH,
    ALTERNATIVES: _BATCH_IDS,
    UNIFORM: _STEPS,
}
_OPTIONAL_INPUTS: Mapping[str, _Want] = {
    PRESENCE_PENALTY: _BATCH,
    FREQUENCY_PENALTY: _BATCH,
    MINIMUM: _BATCH_IDS,
}
_DECODE_OUTPUTS: Mapping[str, _Want] = {
    TOKENS: _STEP_IDS,
    LOG_PROBABILITIES: _STEPS,
    TOP_TOKENS: (Datatype.INT64, (FREE, FREE, FIXED)),
    TOP_LOG_PROBABILITIES: (Datatype.FP32, (FREE, FREE, FIXED)),
}
_PREFILL_INPUTS: Mapping[str, _Want] = {TOKENS: _STEP_IDS, LENGTH: _BATCH_IDS}
_PREFILL_OUTPUTS: Mapping[str, _Want] = {LOG_PROBABILITIES: (Datatype.FP32, (FREE, FREE, FIXED))}
_OPTIONAL_OUTPUTS: Mapping[str, _Want] = {ATTENTION: (Datatype.FP32, (FREE, FREE, FIXED))}
"""Of both graphs."""
_RESERVED = (
    _DECODE_INPUTS.keys()
    | _OPTIONAL_INPUTS.keys()
    | _DECODE_OUTPUTS.keys()
    | _PREFILL_INPUTS.keys()
    | _OPTIONAL_OUTPUTS.keys()
)
CONTROLS = frozenset(
    (TEMPERATURE, TOP_K, TOP_P, REPETITION_PENALTY, PRESENCE_PENALTY, FREQUENCY_PENALTY)
)
"""Inputs that say how the next symbol is drawn: the fields of ``Sampling``."""


class Graph(Protocol):
    """What is asked of a graph here; an ``OnnxSession`` is one."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorLayout:
    """What the two graphs turned out to have."""

    states: tuple[StateSpec, ...]
    """In the order of the declaration."""
    constants: tuple[RowSpec, ...] = ()
    """As ``states``."""
    controls: frozenset[str]
    """Fields of ``Sampling`` that the decode graph heeds; the others have no effect."""
    top: int
    """Alternatives offered at each step."""
    symbols: int
    """Of the vocabulary."""
    places: int = 0
    """Of the attention; 0: the network has none."""
    minimum: bool = False
    """Whether the decode graph can be kept from drawing stop symbols."""

    @property
    def row_specs(self) -> tuple[RowSpec, ...]:
        """What a table holds of each row."""
        return (*self.states, *self.constants)


def check_generator(task: GeneratorTask, decode: Graph, prefill: Graph) -> GeneratorLayout:
    """Compare ``task`` with both graphs.

    Raises:
        ConfigError: a tensor is missing, of another type or shape than it must be, or one that
            nobody declared; the text names the graph, the tensor, what was found and expected.
    """
    _check_names(task)
    symbols = len(task.vocabulary)
    inputs, outputs = (_Tensors("decode", *both) for both in _kinds(decode))
    read_inputs, read_outputs = (_Tensors("prefill", *both) for both in _kinds(prefill))
    inputs.check(_DECODE_INPUTS)
    inputs.check(_OPTIONAL_INPUTS, optional=True)
    outputs.check(_DECODE_OUTPUTS)
    read_inputs.check(_PREFILL_INPUTS)
    read_outputs.check(_PREFILL_OUTPUTS)
    for tensors in (outputs, read_outputs):
        tensors.check(_OPTIONAL_OUTPUTS, optional=True)
    _check_symbols(symbols, read_outputs[LOG_PROBABILITIES])
    states = tuple(_state(pair, inputs) for pair in task.states)
    for state in states:
        for tensors, name in (
            (outputs, state.output),
            (read_inputs, state.input),
            (read_outputs, state.output),
        ):
            tensors.check_like(name, inputs[state.input])
    constants = tuple(_constant(name, inputs) for name in task.constants)
    for constant in constants:
        read_inputs.check_like(constant.input, inputs[constant.input])
    for tensors in (inputs, read_inputs):
        tensors.check_nothing_else({*(pair.input for pair in task.states), *task.constants})
    for tensors in (outputs, read_outputs):
        tensors.check_nothing_else({pair.output for pair in task.states})
    return GeneratorLayout(
        states=states,
        constants=constants,
        controls=CONTROLS & inputs.by_name.keys(),
        top=_top(outputs, symbols),
        symbols=symbols,
        places=_places(outputs, read_outputs),
        minimum=MINIMUM in inputs.by_name,
    )


class _Tensors:
    """The inputs or the outputs of one graph."""

    def __init__(self, graph: str, kind: str, specs: Sequence[TensorSpec]) -> None:
        self._where = f"{graph} graph: {kind}"
        self.by_name = {spec.name: spec for spec in specs}
        self._expected: set[str] = set()

    def __getitem__(self, name: str) -> TensorSpec:
        """Raises ConfigError if there is none of that name."""
        if name not in self.by_name:
            raise ConfigError(f"{self._where} {name!r} is missing; it has {sorted(self.by_name)}")
        return self.by_name[name]

    def check(self, wanted: Mapping[str, _Want], *, optional: bool = False) -> None:
        """Compare with what the contract wants, or allows if ``optional``."""
        for name, (datatype, shape) in wanted.items():
            self._expected.add(name)
            if optional and name not in self.by_name:
                continue
            spec = self[name]
            if spec.datatype is not datatype or not _fits(spec.shape, shape):
                raise ConfigError(
                    f"{self._where} {name!r} is {_shown(spec.datatype, spec.shape)}, "
                    f"expected {_shown(datatype, shape)}"
                )

    def check_like(self, name: str, wanted: TensorSpec) -> None:
        """Compare with the same state's or constant's input of the decode graph."""
        spec = self[name]
        if spec.datatype is not wanted.datatype or spec.shape != wanted.shape:
            raise ConfigError(
                f"{self._where} {name!r} is {_shown(spec.datatype, spec.shape)}, but "
                f"input {wanted.name!r} of the decode graph is "
                f"{_shown(wanted.datatype, wanted.shape)}"
            )

    def check_nothing_else(self, declared: set[str]) -> None:
        """Refuse what nobody declared: it may be a state, and texts would go wrong unseen."""
        left = sorted(self.by_name.keys() - self._expected - declared)
        if left:
            raise ConfigError(
                f"{self._where} {left[0]!r} is not declared and not part of a generator; "
                f"declared are {sorted(declared)}"
            )


def _kinds(graph: Graph) -> tuple[tuple[str, Sequence[TensorSpec]], ...]:
    return ("input", graph.inputs), ("output", graph.outputs)


def _check_names(task: GeneratorTask) -> None:
    inputs = [*(pair.input for pair in task.states), *task.constants]
    outputs = [pair.output for pair in task.states]
    for kind, names in (("input", inputs), ("output", outputs)):
        for name in names:
            field = "constants" if kind == "input" and name in task.constants else "states"
            if name in _RESERVED:
                raise ConfigError(f"{field}: {kind} {name!r} is the name of another tensor")
            if names.count(name) > 1:
                raise ConfigError(f"{field}: {kind} {name!r} is declared {names.count(name)} times")


def _state(pair: StatePair, inputs: _Tensors) -> StateSpec:
    spec = inputs[pair.input]
    sized = spec.datatype not in (Datatype.BYTES, Datatype.BF16)
    if not sized or spec.shape[:1] != (FREE,) or any(size < 1 for size in spec.shape[1:]):
        raise ConfigError(
            f"decode graph: input {pair.input!r} is {_shown(spec.datatype, spec.shape)}, expected "
            f"a state: FP32 [-1, ...] whose first axis alone is free"
        )
    return StateSpec(
        input=pair.input, output=pair.output, dtype=spec.datatype.dtype, shape=spec.shape[1:]
    )


def _constant(name: str, inputs: _Tensors) -> RowSpec:
    spec = inputs[name]
    if (
        spec.datatype is not Datatype.FP32
        or spec.shape[:1] != (FREE,)
        or any(size < 1 for size in spec.shape[1:])
    ):
        raise ConfigError(
            f"decode graph: input {name!r} is {_shown(spec.datatype, spec.shape)}, expected a "
            "constant: FP32 [-1, ...] whose first axis alone is free"
        )
    return RowSpec(input=name, dtype=spec.datatype.dtype, shape=spec.shape[1:])


def _places(decode: _Tensors, prefill: _Tensors) -> int:
    """Of the attention, which both graphs have or none."""
    found = [tensors.by_name.get(ATTENTION) for tensors in (decode, prefill)]
    decode_places, prefill_places = (0 if spec is None else spec.shape[-1] for spec in found)
    if decode_places != prefill_places:
        raise ConfigError(
            f"output {ATTENTION!r} has {decode_places} places in the decode graph and "
            f"{prefill_places} in the prefill graph, expected the same number, or none in both"
        )
    return decode_places


def _check_symbols(symbols: int, scores: TensorSpec) -> None:
    if scores.shape[-1] != symbols:
        raise ConfigError(
            f"prefill graph: output {scores.name!r} has {scores.shape[-1]} symbols on its last "
            f"axis, but the vocabulary has {symbols}"
        )


def _top(outputs: _Tensors, symbols: int) -> int:
    top, scores = outputs[TOP_TOKENS].shape[-1], outputs[TOP_LOG_PROBABILITIES].shape[-1]
    if top != scores or top > symbols:
        raise ConfigError(
            f"decode graph: outputs {TOP_TOKENS!r} and {TOP_LOG_PROBABILITIES!r} offer {top} and "
            f"{scores} alternatives, expected the same number, at most the {symbols} symbols"
        )
    return top


def _fits(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return len(shape) == len(wanted) and all(
        size >= 1 if want == FIXED else size == want
        for size, want in zip(shape, wanted, strict=True)
    )


def _shown(datatype: Datatype, shape: tuple[int, ...]) -> str:
    sizes = ("n" if size == FIXED else str(size) for size in shape)
    return f"{datatype.wire} [{', '.join(sizes)}]"
