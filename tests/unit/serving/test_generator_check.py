"""What is declared against what two graphs have: every fault by name."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from quartet.artifact import METADATA_KEY, parse_task
from quartet.config import ConfigError
from quartet.generation import StatePair, TextGenerationTask
from serving.generator_check import GeneratorLayout, check_generator
from serving.providers import Device
from serving.session import OnnxSession, SessionOptions
from serving.state_table import RowSpec, StateSpec
from serving.types import Datatype, TensorSpec
from tests.text_models import CellName, make_text_model

FP32, INT64, BYTES = Datatype.FP32, Datatype.INT64, Datatype.BYTES


@dataclass
class Tensors:
    """A graph, as far as the check looks at one."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass
class Generator:
    """A declaration and two graphs that fit it."""

    task: TextGenerationTask
    decode: Tensors
    prefill: Tensors

    def check(self) -> GeneratorLayout:
        return check_generator(self.task, self.decode, self.prefill)


def floats(name: str, *shape: int) -> TensorSpec:
    return TensorSpec(name, FP32, shape)


def ids(name: str, *shape: int) -> TensorSpec:
    return TensorSpec(name, INT64, shape)


@pytest.fixture
def generator() -> Generator:
    task = TextGenerationTask(
        vocabulary=tuple("\nabc"),
        states=(
            StatePair(input="hidden", output="hidden_after"),
            StatePair(input="cell", output="cell_after"),
        ),
    )
    states = (floats("cell", -1, 5), floats("hidden", -1, 2, 3))
    after = (floats("cell_after", -1, 5), floats("hidden_after", -1, 2, 3))
    decode = Tensors(
        (
            ids("token", -1),
            *states,
            floats("temperature", -1),
            ids("top_k", -1),
            floats("top_p", -1),
            floats("repetition_penalty", -1),
            ids("alternatives", -1),
            floats("uniform", -1, -1),
        ),
        (
            ids("tokens", -1, -1),
            floats("log_probabilities", -1, -1),
            ids("top_tokens", -1, -1, 4),
            floats("top_log_probabilities", -1, -1, 4),
            *after,
        ),
    )
    prefill = Tensors(
        (ids("tokens", -1, -1), ids("length", -1), *states),
        (floats("log_probabilities", -1, -1, 4), *after),
    )
    return Generator(task, decode, prefill)


def changed(
    specs: tuple[TensorSpec, ...], name: str, spec: TensorSpec | None
) -> tuple[TensorSpec, ...]:
    """``specs`` with the one called ``name`` replaced, or left out."""
    assert name in [old.name for old in specs]
    kept = (spec if old.name == name else old for old in specs)
    return tuple(new for new in kept if new is not None)


def test_layout_has_the_states_in_the_order_of_the_declaration(generator: Generator) -> None:
    float32 = np.dtype(np.float32)
    assert generator.check().states == (
        StateSpec(input="hidden", output="hidden_after", dtype=float32, shape=(2, 3)),
        StateSpec(input="cell", output="cell_after", dtype=float32, shape=(5,)),
    )


def test_layout_tells_the_controls_that_the_graph_has(generator: Generator) -> None:
    always = {"temperature", "top_k", "top_p", "repetition_penalty"}
    assert generator.check().controls == always
    generator.decode.inputs += (floats("presence_penalty", -1),)
    assert generator.check().controls == {*always, "presence_penalty"}
    generator.decode.inputs += (floats("frequency_penalty", -1),)
    assert generator.check().controls == {*always, "presence_penalty", "frequency_penalty"}


def test_layout_tells_alternatives_and_symbols(generator: Generator) -> None:
    assert (generator.check().top, generator.check().symbols) == (4, 4)


def test_a_generator_may_have_no_state(generator: Generator) -> None:
    generator.task = generator.task.model_copy(update={"states": ()})
    generator.decode.inputs = tuple(
        spec for spec in generator.decode.inputs if spec.name not in ("hidden", "cell")
    )
    generator.decode.outputs = generator.decode.outputs[:4]
    generator.prefill = Tensors(generator.prefill.inputs[:2], generator.prefill.outputs[:1])
    assert generator.check().states == ()


DECODE_INPUTS = (
    "token", "hidden", "cell", "temperature", "top_k", "top_p", "repetition_penalty",
    "alternatives", "uniform",
)  # fmt: skip
DECODE_OUTPUTS = (
    "tokens", "log_probabilities", "top_tokens", "top_log_probabilities", "hidden_after",
    "cell_after",
)  # fmt: skip


@pytest.mark.parametrize("name", DECODE_INPUTS)
def test_check_names_an_input_that_the_decode_graph_lacks(generator: Generator, name: str) -> None:
    generator.decode.inputs = changed(generator.decode.inputs, name, None)
    with pytest.raises(ConfigError, match=f"decode graph: input '{name}' is missing; it has"):
        generator.check()


@pytest.mark.parametrize("name", DECODE_OUTPUTS)
def test_check_names_an_output_that_the_decode_graph_lacks(generator: Generator, name: str) -> None:
    generator.decode.outputs = changed(generator.decode.outputs, name, None)
    with pytest.raises(ConfigError, match=f"decode graph: output '{name}' is missing; it has"):
        generator.check()


@pytest.mark.parametrize("name", ["tokens", "length", "hidden", "cell"])
def test_check_names_an_input_that_the_prefill_graph_lacks(generator: Generator, name: str) -> None:
    generator.prefill.inputs = changed(generator.prefill.inputs, name, None)
    with pytest.raises(ConfigError, match=f"prefill graph: input '{name}' is missing; it has"):
        generator.check()


@pytest.mark.parametrize("name", ["log_probabilities", "hidden_after", "cell_after"])
def test_check_names_an_output_that_the_prefill_graph_lacks(
    generator: Generator, name: str
) -> None:
    generator.prefill.outputs = changed(generator.prefill.outputs, name, None)
    with pytest.raises(ConfigError, match=f"prefill graph: output '{name}' is missing; it has"):
        generator.check()


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        (floats("token", -1), r"input 'token' is FP32 \[-1\], expected INT64 \[-1\]"),
        (ids("token", -1, 1), r"input 'token' is INT64 \[-1, 1\], expected INT64 \[-1\]"),
        (ids("token", 1), r"input 'token' is INT64 \[1\], expected INT64 \[-1\]"),
        (floats("uniform", -1, 16), r"'uniform' is FP32 \[-1, 16\], expected FP32 \[-1, -1\]"),
        (ids("temperature", -1), r"'temperature' is INT64 \[-1\], expected FP32 \[-1\]"),
    ],
)
def test_check_tells_type_and_shape_of_an_input_that_is_wrong(
    generator: Generator, spec: TensorSpec, named: str
) -> None:
    generator.decode.inputs = changed(generator.decode.inputs, spec.name, spec)
    with pytest.raises(ConfigError, match=named):
        generator.check()


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        (floats("tokens", -1, -1), r"output 'tokens' is FP32 \[-1, -1\], expected INT64"),
        (ids("top_tokens", -1, -1, -1), r"'top_tokens' is INT64 \[-1, -1, -1\], expected .*, n\]"),
        (ids("top_tokens", -1, -1, 3), r"offer 3 and 4 alternatives, expected the same number"),
    ],
)
def test_check_tells_type_and_shape_of_an_output_that_is_wrong(
    generator: Generator, spec: TensorSpec, named: str
) -> None:
    generator.decode.outputs = changed(generator.decode.outputs, spec.name, spec)
    with pytest.raises(ConfigError, match=named):
        generator.check()


def test_check_refuses_a_vocabulary_of_another_size(generator: Generator) -> None:
    generator.task = generator.task.model_copy(update={"vocabulary": tuple("\nabcd")})
    with pytest.raises(ConfigError, match=r"has 4 symbols on its last axis, but .* has 5"):
        generator.check()


@pytest.mark.parametrize(
    "spec",
    [
        TensorSpec("hidden", BYTES, (-1, 2, 3)),
        TensorSpec("hidden", Datatype.BF16, (-1, 2, 3)),
        floats("hidden", 1, 2, 3),
        floats("hidden", -1, -1, 3),
        floats("hidden"),
    ],
    ids=str,
)
def test_check_refuses_what_can_be_no_state(generator: Generator, spec: TensorSpec) -> None:
    generator.decode.inputs = changed(generator.decode.inputs, "hidden", spec)
    with pytest.raises(ConfigError, match=r"decode graph: input 'hidden' is .*, expected a state"):
        generator.check()


Change = Callable[[Generator], None]


def other_decode_output(generator: Generator) -> None:
    spec = floats("hidden_after", -1, 3, 2)
    generator.decode.outputs = changed(generator.decode.outputs, "hidden_after", spec)


def other_prefill_input(generator: Generator) -> None:
    spec = TensorSpec("hidden", Datatype.FP16, (-1, 2, 3))
    generator.prefill.inputs = changed(generator.prefill.inputs, "hidden", spec)


def other_prefill_output(generator: Generator) -> None:
    spec = floats("hidden_after", -1, 2, 4)
    generator.prefill.outputs = changed(generator.prefill.outputs, "hidden_after", spec)


def swapped_declaration(generator: Generator) -> None:
    pairs = (
        StatePair(input="hidden", output="cell_after"),
        StatePair(input="cell", output="hidden_after"),
    )
    generator.task = generator.task.model_copy(update={"states": pairs})


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (other_decode_output, r"decode graph: output 'hidden_after' is FP32 \[-1, 3, 2\], but"),
        (other_prefill_input, r"prefill graph: input 'hidden' is FP16 \[-1, 2, 3\], but"),
        (other_prefill_output, r"prefill graph: output 'hidden_after' is FP32 \[-1, 2, 4\], but"),
        (swapped_declaration, r"decode graph: output 'cell_after' is FP32 \[-1, 5\], but"),
    ],
)
def test_check_compares_each_state_with_the_decode_graphs_input(
    generator: Generator, change: Change, named: str
) -> None:
    change(generator)
    with pytest.raises(ConfigError, match=rf"{named} input 'hidden' .* is FP32 \[-1, 2, 3\]"):
        generator.check()


@pytest.mark.parametrize("graph", ["decode", "prefill"])
@pytest.mark.parametrize("kind", ["inputs", "outputs"])
def test_check_refuses_a_state_that_nobody_declared(
    generator: Generator, graph: str, kind: str
) -> None:
    tensors = getattr(generator, graph)
    setattr(tensors, kind, (*getattr(tensors, kind), floats("memory", -1, 3)))
    with pytest.raises(
        ConfigError,
        match=f"{graph} graph: {kind[:-1]} 'memory' is not declared and .*declared are",
    ):
        generator.check()


@pytest.mark.parametrize(
    ("pairs", "named"),
    [
        ((("hidden", "a"), ("hidden", "b")), "states: input 'hidden' is declared 2 times"),
        ((("hidden", "a"), ("cell", "a")), "states: output 'a' is declared 2 times"),
        ((("token", "a"),), "states: input 'token' is the name of another tensor"),
        ((("hidden", "tokens"),), "states: output 'tokens' is the name of another tensor"),
    ],
)
def test_check_refuses_names_that_mean_two_things(
    generator: Generator, pairs: tuple[tuple[str, str], ...], named: str
) -> None:
    states = tuple(StatePair(input=first, output=second) for first, second in pairs)
    generator.task = generator.task.model_copy(update={"states": states})
    with pytest.raises(ConfigError, match=named):
        generator.check()


# Constants, attention, minimum


@pytest.fixture
def attentive(generator: Generator) -> Generator:
    """With a constant, and attention to seven places."""
    generator.task = generator.task.model_copy(update={"constants": ("keys",)})
    for graph in (generator.decode, generator.prefill):
        graph.inputs += (floats("keys", -1, 7, 2),)
        graph.outputs += (floats("attention", -1, -1, 7),)
    return generator


def test_layout_tells_constants_and_places(attentive: Generator) -> None:
    layout = attentive.check()
    assert layout.constants == (RowSpec(input="keys", dtype=np.dtype(np.float32), shape=(7, 2)),)
    assert layout.row_specs == (*layout.states, *layout.constants)
    assert layout.places == 7


def test_layout_of_a_generator_with_neither(generator: Generator) -> None:
    layout = generator.check()
    assert (layout.constants, layout.places, layout.minimum) == ((), 0, False)


def test_layout_tells_whether_stop_symbols_can_be_kept_back(generator: Generator) -> None:
    generator.decode.inputs += (ids("minimum", -1),)
    assert generator.check().minimum
    assert "minimum" not in generator.check().controls
    generator.decode.inputs = changed(generator.decode.inputs, "minimum", floats("minimum", -1))
    with pytest.raises(ConfigError, match=r"'minimum' is FP32 \[-1\], expected INT64 \[-1\]"):
        generator.check()


@pytest.mark.parametrize("graph", ["decode", "prefill"])
def test_check_names_a_constant_that_a_graph_lacks(attentive: Generator, graph: str) -> None:
    tensors = getattr(attentive, graph)
    tensors.inputs = changed(tensors.inputs, "keys", None)
    with pytest.raises(ConfigError, match=f"{graph} graph: input 'keys' is missing"):
        attentive.check()


@pytest.mark.parametrize("graph", ["decode", "prefill"])
def test_check_refuses_a_constant_that_a_graph_gives_back(attentive: Generator, graph: str) -> None:
    getattr(attentive, graph).outputs += (floats("keys", -1, 7, 2),)
    with pytest.raises(ConfigError, match=f"{graph} graph: output 'keys' is not declared"):
        attentive.check()


@pytest.mark.parametrize("graph", ["decode", "prefill"])
def test_check_refuses_a_constant_that_nobody_declared(attentive: Generator, graph: str) -> None:
    getattr(attentive, graph).inputs += (floats("values", -1, 7, 2),)
    with pytest.raises(ConfigError, match=f"{graph} graph: input 'values' is not declared"):
        attentive.check()


@pytest.mark.parametrize(
    "spec",
    [ids("keys", -1, 7, 2), floats("keys", 1, 7, 2), floats("keys", -1, -1, 2), floats("keys")],
    ids=str,
)
def test_check_refuses_what_can_be_no_constant(attentive: Generator, spec: TensorSpec) -> None:
    attentive.decode.inputs = changed(attentive.decode.inputs, "keys", spec)
    with pytest.raises(ConfigError, match=r"decode graph: input 'keys' is .*, expected a constant"):
        attentive.check()


def test_check_compares_each_constant_of_the_graphs(attentive: Generator) -> None:
    attentive.prefill.inputs = changed(attentive.prefill.inputs, "keys", floats("keys", -1, 7, 3))
    with pytest.raises(
        ConfigError,
        match=r"prefill graph: input 'keys' is FP32 \[-1, 7, 3\], but input 'keys' of the decode",
    ):
        attentive.check()


@pytest.mark.parametrize(
    ("constants", "named"),
    [
        (("hidden",), "constants: input 'hidden' is declared 2 times"),
        (("keys", "keys"), "constants: input 'keys' is declared 2 times"),
        (("uniform",), "constants: input 'uniform' is the name of another tensor"),
        (("minimum",), "constants: input 'minimum' is the name of another tensor"),
    ],
)
def test_check_refuses_constants_whose_names_mean_two_things(
    attentive: Generator, constants: tuple[str, ...], named: str
) -> None:
    attentive.task = attentive.task.model_copy(update={"constants": constants})
    with pytest.raises(ConfigError, match=named):
        attentive.check()


@pytest.mark.parametrize(
    ("graph", "spec", "named"),
    [
        ("prefill", None, "has 7 places in the decode graph and 0 in the prefill graph"),
        ("decode", None, "has 0 places in the decode graph and 7 in the prefill graph"),
        ("decode", floats("attention", -1, -1, 6), "has 6 places in the decode graph and 7 in"),
        ("decode", floats("attention", -1, -1, -1), r"'attention' is .*, expected FP32 .*, n\]"),
        ("prefill", ids("attention", -1, -1, 7), r"'attention' is INT64 .*, expected FP32"),
    ],
)
def test_check_compares_the_attention_of_both_graphs(
    attentive: Generator, graph: str, spec: TensorSpec | None, named: str
) -> None:
    tensors = getattr(attentive, graph)
    tensors.outputs = changed(tensors.outputs, "attention", spec)
    with pytest.raises(ConfigError, match=named):
        attentive.check()


def test_specs_of_other_names_of_the_first_axis_are_the_same(generator: Generator) -> None:
    named = replace(generator.prefill.inputs[2], first_axis="rows")
    generator.prefill.inputs = changed(generator.prefill.inputs, named.name, named)
    assert generator.check().symbols == 4


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm", "tcn"])
def test_check_accepts_the_graphs_that_are_exported(tmp_path: Path, cell: CellName) -> None:
    folder = make_text_model(tmp_path / "m", cell=cell, goldens=False)
    decode, prefill = (
        OnnxSession(folder / file, Device("cpu", ""), SessionOptions())
        for file in ("model.onnx", "prefill.onnx")
    )
    task = parse_task(decode.metadata[METADATA_KEY])
    assert isinstance(task, TextGenerationTask)
    layout = check_generator(task, decode, prefill)
    assert [state.input for state in layout.states] == [pair.input for pair in task.states]
    assert {"presence_penalty", "frequency_penalty"} <= layout.controls
