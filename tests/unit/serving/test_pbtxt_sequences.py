from pathlib import Path

import pytest

from quartet.config import ConfigError
from serving.model_config import ModelConfig
from serving.pbtxt import read_config
from serving.sequence_config import (
    ControlConfig,
    InitialStateConfig,
    SequenceConfig,
    StateConfig,
)
from serving.types import Datatype

COMPLETE = """
max_batch_size: 8
sequence_batching {
  max_sequence_idle_microseconds: 5000000
  oldest {
    max_candidate_sequences: 32 preferred_batch_size: [ 8, 4 ] max_queue_delay_microseconds: 100
  }
  control_input [
    { name: "start" control { kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] } },
    { name: "ready" control { kind: CONTROL_SEQUENCE_READY fp32_false_true: [ -1, 1 ] } },
    { name: "end" control { kind: CONTROL_SEQUENCE_END bool_false_true: [ false, true ] } },
    { name: "id" control { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_UINT64 } }
  ]
  state [
    { input_name: "h" output_name: "h_next" data_type: TYPE_FP32 dims: [ 2, 4 ]
      initial_state { data_type: TYPE_FP32 dims: [ 2, 4 ] data_file: "h.raw" } },
    { input_name: "n" output_name: "n_next" data_type: TYPE_INT64 dims: [ -1 ]
      initial_state { name: "zeros" data_type: TYPE_INT64 dims: [ 3 ] zero_data: true } }
  ]
}
"""
STATE = 'state {{ input_name: "h" output_name: "g" data_type: TYPE_FP32 dims: [ 1 ] {} }}'
CONTROL = 'control_input {{ name: "c" control {{ {} }} }}'
START = "kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ]"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model = tmp_path / "m"
    (model / "initial_state").mkdir(parents=True)
    (model / "initial_state" / "h.raw").write_bytes(bytes(32))
    return model


def read(folder: Path, text: str) -> ModelConfig:
    file = folder / "config.pbtxt"
    file.write_text(text)
    return read_config(file)


def read_block(folder: Path, block: str) -> SequenceConfig:
    sequences = read(folder, f"sequence_batching {{ {block} }}").sequences
    assert sequences is not None
    return sequences


def test_read_config_reads_every_field_of_the_block(folder: Path) -> None:
    config = read(folder, COMPLETE)
    assert config.batching is None
    assert config.ignored == ()
    assert config.sequences == SequenceConfig(
        states=(
            StateConfig(
                input="h",
                output="h_next",
                datatype=Datatype.FP32,
                dims=(2, 4),
                initial=InitialStateConfig(datatype=Datatype.FP32, dims=(2, 4), file="h.raw"),
            ),
            StateConfig(
                input="n",
                output="n_next",
                datatype=Datatype.INT64,
                dims=(-1,),
                initial=InitialStateConfig(datatype=Datatype.INT64, dims=(3,)),
            ),
        ),
        controls=(
            ControlConfig(input="start", kind="start", datatype=Datatype.INT32, false_true=(0, 1)),
            ControlConfig(input="ready", kind="ready", datatype=Datatype.FP32, false_true=(-1, 1)),
            ControlConfig(
                input="end", kind="end", datatype=Datatype.BOOL, false_true=(False, True)
            ),
            ControlConfig(input="id", kind="id", datatype=Datatype.UINT64),
        ),
        max_idle_s=5.0,
        strategy="oldest",
        max_sequences=32,
        preferred_batch_size=(4, 8),
        max_queue_delay_s=0.0001,
    )


def test_read_config_takes_an_empty_block_as_direct_with_a_second_of_idleness(
    folder: Path,
) -> None:
    assert read_block(folder, "") == SequenceConfig(max_idle_s=1.0, strategy="direct")


def test_read_config_reads_the_direct_strategy(folder: Path) -> None:
    text = "direct { max_queue_delay_microseconds: 200 minimum_slot_utilization: 0.5 }"
    config = read_block(folder, text)
    assert (config.max_queue_delay_s, config.minimum_utilization) == (0.0002, 0.5)


def test_read_config_names_fields_of_states_that_have_no_effect(folder: Path) -> None:
    block = STATE.format("use_same_buffer_for_input_output: true")
    config = read(folder, f"sequence_batching {{ {block} }}")
    assert config.ignored == ("sequence_batching.state.use_same_buffer_for_input_output",)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (
            'state { input_name: "h" data_type: TYPE_FP32 dims: [ 1 ] }',
            "state[0]: input_name and output_name must be given",
        ),
        (
            'state { input_name: "h" output_name: "g" dims: [ 1 ] }',
            "state[0] 'h'.data_type: must be given, for instance TYPE_FP32",
        ),
        (
            'state { input_name: "h" output_name: "g" data_type: TYPE_STRING dims: [ 1 ] }',
            "state[0] 'h'.data_type: states of strings are not served",
        ),
        (
            'state { input_name: "h" output_name: "g" data_type: TYPE_FP32 dims: [ 0 ] }',
            "state[0] 'h'.dims: sizes must be >= 1, or -1 where the graph decides, got [0]",
        ),
        (STATE.format("") * 2, "state.input_name: must not repeat h"),
        (
            STATE.format("initial_state { data_type: TYPE_FP32 dims: [ 1 ] }"),
            "state[0] 'h'.initial_state: must set one of zero_data, data_file",
        ),
        (
            STATE.format("initial_state { data_type: TYPE_FP16 dims: [ 1 ] zero_data: true }"),
            "state[0] 'h'.initial_state.data_type: is FP16, the state's is FP32",
        ),
        (
            STATE.format("initial_state { data_type: TYPE_FP32 dims: [ -1 ] zero_data: true }"),
            "state[0] 'h'.initial_state.dims: sizes must be >= 1, got [-1]",
        ),
        (
            STATE.format('initial_state { data_type: TYPE_FP32 dims: [ 1 ] data_file: "no" }'),
            "state[0] 'h'.initial_state.data_file: no file 'no' in ",
        ),
        (
            STATE.format('initial_state { data_type: TYPE_FP32 data_file: "../h.raw" }'),
            "initial_state.data_file: must be a file name without folders, got '../h.raw'",
        ),
        ("control_input { control { " + START + " } }", "control_input[0].name: must be given"),
        (
            'control_input { name: "c" }',
            "control_input[0] 'c'.control: one kind of control a tensor, got 0",
        ),
        (
            CONTROL.format("kind: CONTROL_SEQUENCE_END"),
            "control_input[0] 'c'.control: must set one of int32_false_true, fp32_false_true, "
            "bool_false_true, got []",
        ),
        (
            CONTROL.format("kind: CONTROL_SEQUENCE_END int32_false_true: [ 1 ]"),
            "control_input[0] 'c'.control.int32_false_true: must be two values, got [1]",
        ),
        (
            CONTROL.format(START + " data_type: TYPE_INT32"),
            "control_input[0] 'c'.control.data_type: follows from int32_false_true, leave it out",
        ),
        (
            CONTROL.format("kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_FP32"),
            "control_input[0] 'c'.control.data_type: must be one of UINT64, INT64, UINT32, INT32",
        ),
        (
            CONTROL.format("kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_INT64 "
                           "int32_false_true: [ 0, 1 ]"),
            "control_input[0] 'c'.control.int32_false_true: an id has no false and true",
        ),
        (CONTROL.format(START) * 2, "control_input.name: must not repeat c"),
        (
            CONTROL.format(START) + CONTROL.format(START).replace('"c"', '"d"'),
            "control_input.control.kind: must not repeat CONTROL_SEQUENCE_START",
        ),
        (
            "oldest { max_candidate_sequences: -1 }",
            "oldest.max_candidate_sequences: must be >= 0, got -1",
        ),
        (
            "oldest { preferred_batch_size: [ 0 ] }",
            "oldest.preferred_batch_size: must be in 1..max_batch_size, got 0",
        ),
        (
            "direct { minimum_slot_utilization: 1.5 }",
            "direct.minimum_slot_utilization: must be in 0..1, got 1.5",
        ),
    ],
)  # fmt: skip
def test_read_config_refuses_what_cannot_be(folder: Path, block: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_block(folder, block)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{folder / 'config.pbtxt'}: sequence_batching.")
