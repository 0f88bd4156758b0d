"""Requests against the model: every fault named as the protocol's clients know it."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from serving.batch_queue import QueueRules
from serving.effective_config import EffectiveConfig
from serving.errors import InvalidInput
from serving.request_check import RequestChecker
from serving.scheduler import SequenceStep
from serving.sequence_life import SequenceRules
from serving.sequence_plan import SequencePlan
from serving.types import Datatype, InferRequest, Tensor, TensorSpec

CONFIG = EffectiveConfig(
    inputs=(
        TensorSpec("x", Datatype.FP32, (-1, 2)),
        TensorSpec("free", Datatype.INT64, (-1, -1), optional=True),
    ),
    outputs=(TensorSpec("y", Datatype.FP32, (-1, 2)), TensorSpec("z", Datatype.FP32, (-1, 2))),
    max_batch_size=4,
    rules=QueueRules(max_rows=4),
    default_timeout_s=2.0,
    allow_timeout_override=True,
)


def checker(**changes: Any) -> RequestChecker:
    return RequestChecker("m", replace(CONFIG, **changes))


def floats(*shape: int) -> Tensor:
    return Tensor(Datatype.FP32, np.zeros(shape, np.float32))


def integers(*shape: int) -> Tensor:
    return Tensor(Datatype.INT64, np.zeros(shape, np.int64))


def request(**fields: Any) -> InferRequest:
    return InferRequest(**{"model_name": "m", "inputs": {"x": floats(1, 2)}, **fields})


def test_check_returns_the_work_when_the_request_fits() -> None:
    inputs = {"free": integers(3, 9), "x": floats(3, 2)}
    work = checker().check(request(inputs=inputs, outputs=("z",), deadline=7.0))
    assert work.inputs["x"] is inputs["x"].data
    assert (work.rows, work.outputs, work.deadline) == (3, ("z",), 7.0)
    assert work.queue_timeout_s == 2.0


def test_check_wants_all_outputs_in_the_models_order_when_none_is_named() -> None:
    assert checker().check(request()).outputs == ("y", "z")


def test_check_keeps_the_order_of_outputs_that_was_asked_for() -> None:
    assert checker().check(request(outputs=("z", "y"))).outputs == ("z", "y")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"inputs": {}}, "expected 2 inputs but got 0 inputs for model 'm'. Got input(s) [], but"),
        (
            {"inputs": {"free": integers(1, 1)}},
            "Got input(s) ['free'], but missing required input(s) ['x']",
        ),
        (
            {"inputs": {"x": floats(1, 2), "w": floats(1)}},
            "unexpected inference input 'w' for model 'm'; it has ['x', 'free']",
        ),
        (
            {"inputs": {"x": integers(1, 2)}},
            "inference input 'x' data-type is 'INT64', but model 'm' expects 'FP32'",
        ),
        (
            {"inputs": {"x": floats(1, 3)}},
            "unexpected shape for input 'x' for model 'm'. Expected [-1, 2], got [1, 3]",
        ),
        ({"inputs": {"x": floats(2)}}, "Expected [-1, 2], got [2]"),
        ({"inputs": {"x": floats()}}, "Expected [-1, 2], got []"),
        (
            {"inputs": {"x": floats(5, 2)}},
            "inference request batch-size must be <= 4 for 'm', got 5",
        ),
        ({"inputs": {"x": floats(0, 2)}}, "batch size is 0 for model 'm'; expected >= 1"),
        (
            {"inputs": {"x": floats(2, 2), "free": integers(3, 1)}},
            "input 'free' has batch size 3, another input has 2",
        ),
        (
            {"outputs": ("y", "w")},
            "unexpected inference output 'w' for model 'm'; it has ['y', 'z']",
        ),
        ({"parameters": {"triton_x": 1}}, "parameter 'triton_x' is reserved"),
        ({"parameters": {"timeout": "1000"}}, "whole microseconds >= 0, got '1000'"),
        ({"parameters": {"timeout": 1.5}}, "whole microseconds >= 0, got 1.5"),
        ({"parameters": {"timeout": True}}, "whole microseconds >= 0, got True"),
        ({"parameters": {"timeout": -1}}, "whole microseconds >= 0, got -1"),
    ],
)
def test_check_says_what_does_not_fit(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(message)):
        checker().check(request(**fields))


def test_check_counts_one_row_when_the_model_does_not_batch() -> None:
    inputs = (TensorSpec("x", Datatype.FP32, (3, 2)),)
    assert (
        checker(max_batch_size=0, inputs=inputs).check(request(inputs={"x": floats(3, 2)})).rows
        == 1
    )


@pytest.mark.parametrize(
    ("default", "allowed", "asked_us", "expected"),
    [
        (2.0, True, None, 2.0),
        (2.0, True, 0, 2.0),
        (2.0, True, 500_000, 0.5),
        (2.0, True, 9_000_000, 2.0),
        (2.0, False, 500_000, 2.0),
        (None, True, 9_000_000, 9.0),
        (None, False, 9_000_000, None),
        pytest.param(2.0, True, 10**400, 2.0, id="too-big-for-a-double"),
    ],
)
def test_check_lets_a_request_shorten_its_wait_where_that_is_allowed(
    default: float | None, allowed: bool, asked_us: int | None, expected: float | None
) -> None:
    parameters = {} if asked_us is None else {"timeout": asked_us, "other": "ignored"}
    config = checker(default_timeout_s=default, allow_timeout_override=allowed)
    assert config.check(request(parameters=parameters)).queue_timeout_s == expected


def text_checker() -> RequestChecker:
    return checker(inputs=(TensorSpec("x", Datatype.BYTES, (-1, 2)),))


def text(*elements: bytes) -> dict[str, Tensor]:
    array = np.empty(len(elements), np.object_)
    array[:] = elements
    return {"x": Tensor(Datatype.BYTES, array.reshape(-1, 2))}


def test_check_turns_bytes_into_text() -> None:
    work = text_checker().check(request(inputs=text(b"a\0", "é".encode(), b"", b"d")))
    assert work.inputs["x"].tolist() == [["a\0", "é"], ["", "d"]]


def test_check_refuses_bytes_that_are_not_text() -> None:
    with pytest.raises(InvalidInput, match=r"input 'x' .* whose elements are UTF-8; got bytes"):
        text_checker().check(request(inputs=text(b"a", b"\xff")))


STATEFUL = SequencePlan(states=(), initial={}, controls=(), rules=SequenceRules(slots=1))


def test_check_names_the_sequence_of_a_stateful_model() -> None:
    parameters = {"sequence_id": 5, "sequence_start": True, "sequence_end": False}
    work = checker(sequences=STATEFUL).check(request(parameters=parameters))
    assert work.sequence == SequenceStep(id=5, start=True)


def test_check_refuses_several_rows_of_a_sequence() -> None:
    with pytest.raises(InvalidInput) as caught:
        checker(sequences=STATEFUL).check(
            request(inputs={"x": floats(2, 2)}, parameters={"sequence_id": 5})
        )
    assert caught.value.message == (
        "inference request to model 'm' must specify batch-size 1 due to requirements of "
        "sequence batcher, got 2"
    )


def test_check_takes_no_input_when_a_stateful_model_has_none() -> None:
    work = checker(sequences=STATEFUL, inputs=()).check(
        request(inputs={}, parameters={"sequence_id": 5})
    )
    assert work.rows == 1


def test_check_ignores_sequence_parameters_of_a_model_without_state() -> None:
    assert checker().check(request(parameters={"sequence_id": 5})).sequence is None
