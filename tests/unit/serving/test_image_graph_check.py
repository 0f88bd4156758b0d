"""Declarations of generators against graphs that are not what they say."""

from typing import Any

import pytest

from quartet.config import ConfigError
from quartet.image_generation import ImageGenerationTask
from serving.image_graph_check import check_critic_graph, check_generator_graph, critic_image
from serving.types import Datatype, TensorSpec
from tests.image_models import LATENT, PROMPT_LENGTH, SIDE, ImageModel, image_task

Z = TensorSpec("z", Datatype.FP32, (-1, LATENT))
PICTURE = TensorSpec("image", Datatype.UINT8, (-1, SIDE, SIDE, 3))
LABEL = TensorSpec("label", Datatype.INT64, (-1,))
WORDS = TensorSpec("words", Datatype.INT64, (-1, PROMPT_LENGTH))
PROBABILITY = TensorSpec("probability", Datatype.FP32, (-1,))
MORE = TensorSpec("more", Datatype.FP32, (-1,))


def task(condition: str = "none", **declaration: Any) -> ImageGenerationTask:
    return image_task(ImageModel(condition=condition, declaration=declaration))


@pytest.mark.parametrize(
    ("condition", "inputs"), [("none", [Z]), ("class", [LABEL, Z]), ("prompt", [Z, WORDS])]
)
def test_graphs_of_the_contract_pass(condition: str, inputs: list[TensorSpec]) -> None:
    check_generator_graph(task(condition), inputs, [PICTURE])
    judged = [PICTURE, *(spec for spec in inputs if spec != Z)]
    check_critic_graph(task(condition), judged, [PROBABILITY])


def test_free_sizes_and_optional_inputs_pass() -> None:
    free = TensorSpec("image", Datatype.UINT8, (-1, -1, -1, 3))
    optional = TensorSpec("more", Datatype.FP32, (-1,), optional=True)
    check_generator_graph(task(), [Z, optional], [free, MORE])


@pytest.mark.parametrize(
    ("inputs", "outputs", "text"),
    [
        ([MORE], [PICTURE], "generator graph: input 'z' is missing; it has ['more']"),
        ([Z], [MORE], "generator graph: output 'image' is missing; it has ['more']"),
        (
            [TensorSpec("z", Datatype.FP64, (-1, LATENT))],
            [PICTURE],
            "input 'z' is FP64 [-1, 8], but what is declared makes FP32 [-1, 8]",
        ),
        (
            [TensorSpec("z", Datatype.FP32, (-1, LATENT + 1))],
            [PICTURE],
            "input 'z' is FP32 [-1, 9], but what is declared makes FP32 [-1, 8]",
        ),
        (
            [TensorSpec("z", Datatype.FP32, (1, LATENT))],
            [PICTURE],
            "input 'z' is FP32 [1, 8], but what is declared makes FP32 [-1, 8]",
        ),
        (
            [Z],
            [TensorSpec("image", Datatype.UINT8, (-1, 3, SIDE, SIDE))],
            "output 'image' is UINT8 [-1, 3, 6, 6], but what is declared makes UINT8 [-1, 6, 6, 3]",
        ),
        ([Z, MORE], [PICTURE], "it also needs ['more'], which nothing declared gives"),
    ],
)
def test_a_generator_that_is_another_is_refused(
    inputs: list[TensorSpec], outputs: list[TensorSpec], text: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        check_generator_graph(task(), inputs, outputs)
    assert text in str(caught.value)


def test_a_condition_that_is_missing_is_named() -> None:
    with pytest.raises(ConfigError, match="generator graph: input 'label' is missing"):
        check_generator_graph(task("class"), [Z], [PICTURE])
    with pytest.raises(ConfigError, match="critic graph: input 'words' is missing"):
        check_critic_graph(task("prompt"), [PICTURE], [PROBABILITY])


def test_a_critic_that_gives_no_probability_is_refused() -> None:
    with pytest.raises(ConfigError, match="critic graph: output 'probability' is FP32"):
        check_critic_graph(task(), [PICTURE], [TensorSpec("probability", Datatype.FP32, (-1, 1))])


def test_pictures_are_cut_to_the_size_that_a_critic_judges() -> None:
    spec = critic_image(task(mode="L", height=5, width=7))
    assert (spec.input, spec.layout, spec.mode, spec.fit) == ("image", "HWC", "L", "crop")
    assert (spec.height, spec.width) == (5, 7)
