"""``sequence_batching`` against the graph's tensors."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from quartet.config import ConfigError
from serving.effective_config import BatchingDefaults, EffectiveConfig, resolve_config
from serving.model_config import ModelConfig, TensorConfig
from serving.sequence_config import (
    ControlConfig,
    InitialStateConfig,
    SequenceConfig,
    StateConfig,
)
from serving.sequence_life import SequenceRules
from serving.sequence_plan import ControlSpec, SequencePlan
from serving.state_table import StateSpec
from serving.types import Datatype, TensorSpec

X = TensorSpec("x", Datatype.FP32, (-1, 2))
H = TensorSpec("h", Datatype.FP32, (-1, 3))
START = TensorSpec("start", Datatype.INT32, (-1, 1))
INPUTS = (H, START, X)
Y = TensorSpec("y", Datatype.FP32, (-1, 2))
H_NEXT = TensorSpec("h_next", Datatype.FP32, (-1, 3))
OUTPUTS = (H_NEXT, Y)
STATE = StateConfig(input="h", output="h_next", datatype=Datatype.FP32, dims=(3,))
CONTROL = ControlConfig(input="start", kind="start", datatype=Datatype.INT32)
CONFIG = SequenceConfig(states=(STATE,), controls=(CONTROL,))
EIGHT_ROWS = ModelConfig(max_batch_size=8)
DEFAULTS = BatchingDefaults(max_batch_size=8, max_queue_rows=100)


def resolve(
    *,
    inputs: tuple[TensorSpec, ...] = INPUTS,
    outputs: tuple[TensorSpec, ...] = OUTPUTS,
    model: ModelConfig = EIGHT_ROWS,
    **changes: Any,
) -> EffectiveConfig:
    sequences = replace(CONFIG, **changes)
    return resolve_config(replace(model, sequences=sequences), inputs, outputs, DEFAULTS)


def plan_of(effective: EffectiveConfig) -> SequencePlan:
    assert effective.sequences is not None
    return effective.sequences


def test_states_and_controls_are_hidden_from_clients() -> None:
    effective = resolve()
    assert (effective.inputs, effective.outputs) == ((X,), (Y,))
    assert not effective.rules.join
    plan = plan_of(effective)
    assert plan.states == (
        StateSpec(input="h", output="h_next", dtype=np.dtype(np.float32), shape=(3,)),
    )
    assert plan.controls == (
        ControlSpec(
            input="start", kind="start", datatype=Datatype.INT32, shape=(1,), false_true=(0, 1)
        ),
    )


def test_state_output_is_shown_when_the_file_declares_it() -> None:
    outputs = tuple(
        TensorConfig(name=spec.name, datatype=spec.datatype, dims=spec.shape[1:])
        for spec in OUTPUTS
    )
    effective = resolve(model=ModelConfig(max_batch_size=8, outputs=outputs))
    assert [spec.name for spec in effective.outputs] == ["h_next", "y"]


def test_silent_model_batches_by_the_rule_of_all_models() -> None:
    effective = resolve(model=ModelConfig())
    assert effective.max_batch_size == 8
    assert plan_of(effective).rules == SequenceRules(slots=64, max_rows=8, max_queued_steps=100)
    fixed = tuple(replace(spec, shape=(1, *spec.shape[1:])) for spec in (*INPUTS, *OUTPUTS))
    effective = resolve(
        model=ModelConfig(),
        inputs=fixed[:3],
        outputs=fixed[3:],
        states=(replace(STATE, dims=(1, 3)),),
    )
    assert effective.max_batch_size == 0
    assert plan_of(effective).rules.max_rows == 1
    assert plan_of(effective).states[0].shape == (1, 3)
    assert plan_of(effective).controls[0].shape == (1, 1)


def test_states_are_paired_by_name_in_whatever_order_they_stand() -> None:
    """Two states of one shape, listed the other way round in the graph: server#8586."""
    a, b = replace(H, name="a"), replace(H, name="b")
    a_next, b_next = replace(H, name="z_of_a"), replace(H, name="y_of_b")
    states = (
        replace(STATE, input="a", output="z_of_a"),
        replace(STATE, input="b", output="y_of_b"),
    )
    for inputs in ((a, b, X), (b, X, a)):
        for outputs in ((a_next, b_next, Y), (Y, b_next, a_next)):
            plan = plan_of(resolve(inputs=inputs, outputs=outputs, states=states, controls=()))
            assert {s.input: s.output for s in plan.states} == {"a": "z_of_a", "b": "y_of_b"}


def test_open_sizes_come_from_graph_or_initial_state() -> None:
    free_h, free_next = replace(H, shape=(-1, -1)), replace(H_NEXT, shape=(-1, -1))
    state = replace(STATE, dims=(-1,))
    assert plan_of(resolve(states=(state,))).states[0].shape == (3,)
    initial = InitialStateConfig(datatype=Datatype.FP32, dims=(5,))
    given = plan_of(
        resolve(
            inputs=(free_h, START, X),
            outputs=(free_next, Y),
            states=(replace(state, initial=initial),),
        )
    )
    assert given.states[0].shape == (5,)
    assert given.initial == {}


def test_rules_follow_the_strategy() -> None:
    oldest = plan_of(
        resolve(
            strategy="oldest",
            max_sequences=16,
            preferred_batch_size=(4, 8),
            max_queue_delay_s=0.5,
            max_idle_s=9.0,
        )
    )
    assert oldest.rules == SequenceRules(
        slots=16, max_rows=8, enough_rows=4, max_delay_s=0.5, max_idle_s=9.0, max_queued_steps=100
    )
    direct = plan_of(resolve(minimum_utilization=0.1, max_queue_delay_s=0.5))
    assert direct.rules.enough_rows == 7  # a tenth of 64, rounded up


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"states": (replace(STATE, input="x2"),)},
            "state 'x2': input_name 'x2' is not in the graph, which has ['h', 'start', 'x']",
        ),
        (
            {"states": (replace(STATE, output="g"),)},
            "state 'h': output_name 'g' is not in the graph, which has ['h_next', 'y']",
        ),
        (
            {"states": (replace(STATE, datatype=Datatype.FP16),)},
            "state 'h': data_type is FP16, input 'h' of the graph is FP32",
        ),
        (
            {"states": (replace(STATE, dims=(4,)),)},
            "state 'h': input 'h' of the graph has dims [3], expected [4]",
        ),
        (
            {"outputs": (replace(H_NEXT, shape=(-1, 4)), Y)},
            "state 'h': output 'h_next' of the graph has dims [4], expected [3]",
        ),
        (
            {
                "states": (
                    replace(STATE, initial=InitialStateConfig(datatype=Datatype.FP32, dims=(1, 3))),
                )
            },
            "state 'h': initial_state has dims [1, 3], expected [3]",
        ),
        (
            {
                "inputs": (replace(H, shape=(-1, -1)), START, X),
                "outputs": (replace(H_NEXT, shape=(-1, -1)), Y),
                "states": (replace(STATE, dims=(-1,)),),
            },
            "state 'h': dims [-1] leave a size open",
        ),
        (
            {"controls": (replace(CONTROL, input="no"),)},
            "control_input 'no' is not in the graph",
        ),
        (
            {"controls": (replace(CONTROL, datatype=Datatype.BOOL),)},
            "control_input 'start' is BOOL, the graph has INT32",
        ),
        (
            {"inputs": (H, replace(START, shape=(-1, 2)), X)},
            "control_input 'start' has dims [2] in the graph, expected one element a step",
        ),
        (
            {"controls": (replace(CONTROL, input="h"),)},
            "input 'h' is both a state and a control_input",
        ),
        (
            {
                "model": ModelConfig(
                    max_batch_size=8,
                    inputs=(
                        TensorConfig(name="x", datatype=Datatype.FP32, dims=(2,)),
                        TensorConfig(name="h", datatype=Datatype.FP32, dims=(3,)),
                    ),
                )
            },
            "input 'h' is a state or a control of sequence_batching",
        ),
    ],
)
def test_contradictions_name_the_tensor_and_both_sides(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(**changes)
    assert message in str(caught.value)
