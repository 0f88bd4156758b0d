"""A captioner's declaration against what its three graphs have."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from quartet.artifact import ImageCaptioningTask, ImageSpec
from quartet.config import ConfigError
from quartet.generation import StatePair
from serving.encoder_check import check_captioner
from serving.generator_check import GeneratorLayout
from serving.state_table import RowSpec, StateSpec
from serving.types import Datatype, TensorSpec

FLOAT = np.dtype(np.float32)
LAYOUT = GeneratorLayout(
    states=(
        StateSpec(input="hidden", output="next_hidden", dtype=FLOAT, shape=(16,)),
        StateSpec(input="counts", output="next_counts", dtype=FLOAT, shape=(9,)),
    ),
    constants=(RowSpec(input="values", dtype=FLOAT, shape=(6, 4)),),
    controls=frozenset(),
    top=5,
    symbols=9,
    places=6,
    minimum=True,
)
HIDDEN = TensorSpec("hidden", Datatype.FP32, (-1, 16))
VALUES = TensorSpec("values", Datatype.FP32, (-1, 6, 4))


def task(**fields: Any) -> ImageCaptioningTask:
    return ImageCaptioningTask.model_validate(
        {
            "vocabulary": ("<start>", "<end>", "a"),
            "states": (StatePair(input="hidden", output="next_hidden"),),
            "begin": "<start>",
            "stop": ("<end>",),
            "image": ImageSpec(height=8, width=8),
            "grid": (2, 3),
            **fields,
        }
    )


def test_an_encoder_gives_all_constants_and_any_states() -> None:
    check_captioner(task(), LAYOUT, (HIDDEN, VALUES))
    check_captioner(task(), LAYOUT, (VALUES,))


def test_a_network_without_attention_needs_no_grid_and_no_constants() -> None:
    plain = replace(LAYOUT, constants=(), places=0)
    check_captioner(task(grid=None), plain, (HIDDEN,))


def test_without_stop_symbols_nothing_needs_to_hold_them_back() -> None:
    check_captioner(task(stop=()), replace(LAYOUT, minimum=False), (VALUES,))


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ((HIDDEN,), r"encoder graph: output 'values' is missing; it has \['hidden'\]"),
        (
            (VALUES, TensorSpec("extra", Datatype.FP32, (-1, 2))),
            "encoder graph: output 'extra' is no constant or state of the decode graph",
        ),
        (
            (TensorSpec("values", Datatype.FP32, (-1, 4, 6)),),
            r"encoder graph: output 'values' is FP32 \[-1, 4, 6\], .* float32 \[-1, 6, 4\]",
        ),
        (
            (TensorSpec("values", Datatype.FP32, (1, 6, 4)),),
            r"encoder graph: output 'values' is FP32 \[1, 6, 4\]",
        ),
        (
            (TensorSpec("values", Datatype.FP16, (-1, 6, 4)),),
            "encoder graph: output 'values' is FP16",
        ),
    ],
)
def test_an_encoder_that_does_not_fit_is_refused(
    outputs: tuple[TensorSpec, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        check_captioner(task(), LAYOUT, outputs)


def test_an_encoder_that_gives_nothing_is_refused() -> None:
    plain = replace(LAYOUT, constants=(), places=0)
    with pytest.raises(ConfigError, match="it gives no state, so all pictures would be the same"):
        check_captioner(task(grid=None), plain, ())


@pytest.mark.parametrize(
    ("grid", "places", "message"),
    [
        (None, 6, "grid: missing, but the attention of the graphs has 6 places"),
        ((2, 2), 6, "grid: 2 x 2 does not fit the 6 places of the graphs' attention"),
        ((2, 3), 0, "grid: 2 x 3 does not fit the 0 places"),
        ((-2, -3), 6, "grid: -2 x -3 does not fit the 6 places"),
    ],
)
def test_the_grid_is_that_of_the_attention(
    grid: tuple[int, int] | None, places: int, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        check_captioner(task(grid=grid), replace(LAYOUT, places=places), (VALUES,))


def test_stop_symbols_must_be_held_back_in_the_graph() -> None:
    with pytest.raises(ConfigError, match="decode graph: input 'minimum' is missing"):
        check_captioner(task(), replace(LAYOUT, minimum=False), (VALUES,))
