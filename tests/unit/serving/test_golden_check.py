"""Replaying golden inputs: what is run, what agrees, what each disagreement is called."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from quartet.artifact import Golden
from quartet.config import ConfigError
from serving.batch_queue import QueueRules
from serving.effective_config import EffectiveConfig
from serving.golden_check import check_golden
from serving.types import Array, Datatype, TensorSpec

CONFIG = EffectiveConfig(
    inputs=(TensorSpec("x", Datatype.FP32, (-1, 2)),),
    outputs=(TensorSpec("y", Datatype.FP32, (-1, 2)), TensorSpec("z", Datatype.FP32, (-1, 2))),
    max_batch_size=4,
    rules=QueueRules(max_rows=4),
    default_timeout_s=None,
    allow_timeout_override=False,
)
ROWS = np.arange(18, dtype=np.float32).reshape(9, 2)
GOLDEN = Golden(inputs={"x": ROWS}, outputs={"y": ROWS * 2}, atol=0.5, rtol=0.0, source="a test")


class FakeEngine:
    """Doubles, with a fault for each value if asked for."""

    def __init__(self, fault: Callable[[Array], Array] = lambda array: array) -> None:
        self.sizes: list[int] = []
        self._fault = fault

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        self.sizes.append(len(inputs["x"]))
        return [self._fault(inputs["x"] * 2) for _ in outputs]


def test_check_runs_one_row_and_then_all_in_full_batches() -> None:
    engine = FakeEngine()
    assert check_golden(engine, CONFIG, GOLDEN) == 0.0
    assert engine.sizes == [1, 4, 4, 1]


def test_check_runs_everything_at_once_when_the_model_does_not_batch() -> None:
    engine = FakeEngine()
    check_golden(engine, replace(CONFIG, max_batch_size=0), GOLDEN)
    assert engine.sizes == [9]


def test_check_takes_scalars_when_the_model_does_not_batch() -> None:
    scalar = np.float32(3)
    golden = Golden(inputs={"x": np.asarray(scalar)}, outputs={"y": np.asarray(scalar * 2)})

    class Scalars(FakeEngine):
        def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
            return [np.asarray(inputs["x"] * 2)]

    config = replace(
        CONFIG,
        inputs=(TensorSpec("x", Datatype.FP32, ()),),
        outputs=(TensorSpec("y", Datatype.FP32, ()),),
        max_batch_size=0,
    )
    assert check_golden(Scalars(), config, golden) == 0.0


def test_check_returns_the_largest_difference_within_the_tolerance() -> None:
    assert check_golden(FakeEngine(lambda a: a + 0.25), CONFIG, GOLDEN) == 0.25


def test_check_allows_more_for_larger_values_by_the_relative_tolerance() -> None:
    golden = replace(GOLDEN, atol=0.0, rtol=0.02)
    check_golden(FakeEngine(lambda a: a * 1.01), CONFIG, golden)
    with pytest.raises(ConfigError, match=r"allowed are 0 \+ 0\.001 x"):
        check_golden(FakeEngine(lambda a: a * 1.01), CONFIG, replace(golden, rtol=0.001))


def spoil_last(array: Array) -> Array:
    """Wrong only in the last row of a batch of several."""
    array[-1] += 9.0 * (len(array) > 1)
    return array


@pytest.mark.parametrize(
    "fault", [lambda a: a + 0.75, lambda a: a * np.float32(np.nan), spoil_last], ids=str
)
def test_check_refuses_outputs_that_differ(fault: Callable[[Array], Array]) -> None:
    with pytest.raises(ConfigError, match="golden check failed: output 'y' differs by up to"):
        check_golden(FakeEngine(fault), CONFIG, GOLDEN)


def test_check_refuses_outputs_of_another_shape() -> None:
    with pytest.raises(ConfigError, match=r"'y' has shape \[1, 1\], expected \[1, 2\]"):
        check_golden(FakeEngine(lambda a: a[:, :1]), CONFIG, GOLDEN)


@pytest.mark.parametrize(
    ("golden", "named"),
    [
        (replace(GOLDEN, inputs={"w": ROWS}), "golden input 'w' of type float32 and shape .9, 2."),
        (replace(GOLDEN, outputs={"w": ROWS}), "golden output 'w' of type float32"),
        (
            replace(GOLDEN, inputs={"x": ROWS.astype(np.float64)}),
            "golden input 'x' of type float64",
        ),
        (
            replace(GOLDEN, inputs={"x": np.asarray(np.float32(1))}),
            r"golden input 'x' of type float32 and shape \[\]",
        ),
    ],
)
def test_check_refuses_tensors_that_the_model_does_not_have(golden: Golden, named: str) -> None:
    with pytest.raises(ConfigError, match=f"{named}.* does not fit the model"):
        check_golden(FakeEngine(), CONFIG, golden)


def test_check_compares_what_is_no_number_exactly() -> None:
    flags = np.array([[True, False]] * 9)
    config = replace(CONFIG, outputs=(TensorSpec("y", Datatype.BOOL, (-1, 2)),))
    golden = Golden(inputs={"x": ROWS}, outputs={"y": flags})

    def answering(value: bool) -> FakeEngine:
        return FakeEngine(lambda a: np.tile(np.array([True, value]), (len(a), 1)))

    assert check_golden(answering(False), config, golden) == 0.0
    with pytest.raises(ConfigError, match="output 'y' differs from the golden one"):
        check_golden(answering(True), config, golden)
