"""What graph, ``config.pbtxt`` and defaults make together."""

import pytest

from quartet.config import ConfigError
from serving.batch_queue import QueueRules
from serving.effective_config import BatchingDefaults, EffectiveConfig, resolve_config
from serving.model_config import BatchingConfig, ModelConfig, TensorConfig
from serving.types import Datatype, TensorSpec

DEFAULTS = BatchingDefaults(max_batch_size=32, max_queue_delay_s=0.002, max_queue_rows=100)
FREE = TensorSpec("x", Datatype.FP32, (-1, 2))
FREE_OUTPUT = TensorSpec("y", Datatype.FP32, (-1, 3))
FIXED = TensorSpec("y", Datatype.FP32, (1, 3))
UNKNOWN_RANK = TensorSpec("y", Datatype.FP32, ())


def resolve(
    config: ModelConfig, *outputs: TensorSpec, inputs: tuple[TensorSpec, ...] = (FREE,)
) -> EffectiveConfig:
    return resolve_config(config, inputs, outputs or (FREE_OUTPUT,), DEFAULTS)


def test_silent_model_batches_by_the_defaults_when_every_first_axis_is_free() -> None:
    effective = resolve(ModelConfig())
    assert effective.batches
    assert effective.max_batch_size == 32
    assert effective.rules == QueueRules(max_rows=32, max_delay_s=0.002, max_queued_rows=100)
    assert (effective.inputs, effective.outputs) == ((FREE,), (FREE_OUTPUT,))


@pytest.mark.parametrize("output", [FIXED, UNKNOWN_RANK])
def test_silent_model_does_not_batch_when_a_first_axis_is_not_free(output: TensorSpec) -> None:
    effective = resolve(ModelConfig(), output)
    assert (effective.max_batch_size, effective.rules.join) == (0, False)


def test_config_without_dynamic_batching_asks_for_no_joining() -> None:
    rules = resolve(ModelConfig(max_batch_size=4)).rules
    assert (rules.join, rules.max_rows, rules.max_delay_s) == (False, 4, 0.0)


def test_config_decides_how_batches_leave() -> None:
    batching = BatchingConfig(
        preferred_batch_size=(2, 4),
        max_queue_delay_s=0.5,
        max_queue_rows=9,
        default_timeout_s=1.5,
        allow_timeout_override=True,
    )
    effective = resolve(ModelConfig(max_batch_size=4, batching=batching))
    assert effective.rules == QueueRules(
        max_rows=4, preferred_rows=(2, 4), max_delay_s=0.5, max_queued_rows=9
    )
    assert (effective.default_timeout_s, effective.allow_timeout_override) == (1.5, True)


def test_config_without_a_queue_size_gets_the_servers() -> None:
    rules = resolve(ModelConfig(max_batch_size=4, batching=BatchingConfig())).rules
    assert rules.max_queued_rows == 100


def test_config_may_forbid_batching() -> None:
    effective = resolve(ModelConfig(max_batch_size=0, batching=BatchingConfig()))
    assert (effective.batches, effective.rules.join) == (False, False)


@pytest.mark.parametrize(
    ("inputs", "outputs", "named"),
    [
        ((FREE,), (FIXED,), r"output 'y' with shape \[1, 3\]"),
        ((TensorSpec("x", Datatype.FP32, ()),), (FREE_OUTPUT,), r"input 'x' with shape \[\]"),
    ],
)
def test_config_that_batches_a_fixed_axis_is_refused(
    inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...], named: str
) -> None:
    with pytest.raises(ConfigError, match=f"{named} is not free .*set max_batch_size: 0"):
        resolve(ModelConfig(max_batch_size=4), *outputs, inputs=inputs)


def tensor(
    name: str, *dims: int, datatype: Datatype = Datatype.FP32, optional: bool = False
) -> TensorConfig:
    return TensorConfig(name=name, datatype=datatype, dims=dims, optional=optional)


def test_config_may_fix_what_the_graph_leaves_free() -> None:
    free = TensorSpec("x", Datatype.FP32, (-1, -1))
    config = ModelConfig(max_batch_size=4, inputs=(tensor("x", 7, optional=True),))
    assert resolve(config, inputs=(free,)).inputs == (
        TensorSpec("x", Datatype.FP32, (-1, 7), optional=True),
    )


def test_config_gives_full_shapes_when_the_model_does_not_batch() -> None:
    config = ModelConfig(max_batch_size=0, outputs=(tensor("y", 1, 3),))
    assert resolve(config, FIXED).outputs == (FIXED,)


def test_config_may_leave_outputs_out() -> None:
    other = TensorSpec("z", Datatype.FP32, (-1, 1))
    config = ModelConfig(max_batch_size=4, outputs=(tensor("z", 1),))
    assert [spec.name for spec in resolve(config, FREE_OUTPUT, other).outputs] == ["z"]


def test_config_gives_a_shape_to_an_output_of_unknown_rank() -> None:
    config = ModelConfig(max_batch_size=0, outputs=(tensor("y", -1, 5),))
    assert resolve(config, UNKNOWN_RANK).outputs[0].shape == (-1, 5)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"inputs": (tensor("z", 2),)}, r"input 'z' is not in the graph, which has \['x'\]"),
        ({"outputs": (tensor("z", 2),)}, r"output 'z' is not in the graph, which has \['y'\]"),
        (
            {"inputs": (tensor("x", 2, datatype=Datatype.INT8),)},
            "input 'x': data_type is INT8, the graph has FP32",
        ),
        (
            {"inputs": (tensor("x", 3),)},
            r"input 'x': dims \[3\] mean shape \[-1, 3\], the graph has \[-1, 2\]",
        ),
        ({"inputs": (tensor("x", 1, 2),)}, r"dims \[1, 2\] mean shape \[-1, 1, 2\]"),
        ({"outputs": (tensor("y", 2),)}, r"output 'y': dims \[2\]"),
    ],
)
def test_config_that_contradicts_the_graph_is_refused(
    config: dict[str, tuple[TensorConfig, ...]], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve(ModelConfig(max_batch_size=4, **config))  # type: ignore[arg-type]  # inputs and outputs alone


def test_config_must_name_every_input_of_the_graph() -> None:
    second = TensorSpec("z", Datatype.FP32, (-1, 2))
    with pytest.raises(ConfigError, match=r"inputs \['z'\] of the graph are not in"):
        resolve(ModelConfig(max_batch_size=4, inputs=(tensor("x", 2),)), inputs=(FREE, second))


def test_silent_model_does_not_batch_when_the_graph_calls_the_first_axes_differently() -> None:
    boxes = TensorSpec("x", Datatype.FP32, (-1, 2), first_axis="steps")
    found = TensorSpec("y", Datatype.FP32, (-1, 3), first_axis="detections")
    assert not resolve(ModelConfig(), found, inputs=(boxes,)).batches
    assert resolve(ModelConfig(max_batch_size=4), found, inputs=(boxes,)).batches


@pytest.mark.parametrize("name", ["batch", ""])
def test_silent_model_batches_when_the_first_axes_share_their_name_or_lack_it(name: str) -> None:
    given = TensorSpec("x", Datatype.FP32, (-1, 2), first_axis="batch")
    result = TensorSpec("y", Datatype.FP32, (-1, 3), first_axis=name)
    assert resolve(ModelConfig(), result, inputs=(given,)).batches
