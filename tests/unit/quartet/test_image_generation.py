"""Declaration of a generator of pictures: what it refuses, how prompts become numbers."""

from typing import Any

import pytest
from pydantic import ValidationError

from quartet.image_generation import Direction, ImageGenerationTask

SIZE: dict[str, Any] = {"latent_size": 3, "height": 28, "width": 28}
PROMPTS: dict[str, Any] = {
    **SIZE,
    "condition": "prompt",
    "condition_input": "words",
    "vocabulary": ("", "a", "one", "thin", "two"),
    "prompt_length": 3,
}


def test_a_generator_without_condition_needs_its_sizes_alone() -> None:
    task = ImageGenerationTask(**SIZE)
    assert (task.condition, task.condition_input, task.latent, task.output) == (
        "none",
        "",
        "z",
        "image",
    )


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3)])
def test_channels_follow_from_the_mode(mode: Any, channels: int) -> None:
    assert ImageGenerationTask(**SIZE, mode=mode).channels == channels


@pytest.mark.parametrize("missing", ["latent_size", "height", "width"])
def test_a_generator_without_a_size_is_refused(missing: str) -> None:
    with pytest.raises(ValidationError, match=missing):
        ImageGenerationTask(**{key: value for key, value in SIZE.items() if key != missing})


@pytest.mark.parametrize(
    "rest",
    [
        {"condition": "class", "condition_input": "label", "classes": ("0",)},
        {"condition": "class", "classes": ("0", "1")},
    ],
)
def test_a_class_condition_without_classes_or_input_is_refused(rest: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="class needs condition_input, and at least 2 classe"):
        ImageGenerationTask(**SIZE, **rest)


@pytest.mark.parametrize("change", [{"vocabulary": ("",)}, {"condition_input": ""}])
def test_a_prompt_condition_without_words_or_input_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="prompt needs condition_input, and at least 2 words"):
        ImageGenerationTask(**{**PROMPTS, **change})


@pytest.mark.parametrize("length", [2, 4])
def test_a_direction_of_another_length_than_the_noise_is_refused(length: int) -> None:
    direction = Direction(name="older", vector=(1.0,) + (0.0,) * (length - 1), step=1.0)
    with pytest.raises(ValidationError, match=f"has {length} numbers and length 1, expected 3"):
        ImageGenerationTask(**SIZE, directions=(direction,))


@pytest.mark.parametrize("name", ["", "Older", "older face", "1st", "older,"])
def test_a_direction_whose_name_is_no_word_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="name"):
        Direction(name=name, vector=(1.0,), step=1.0)


@pytest.mark.parametrize("step", [0.0, -1.0])
def test_a_direction_without_a_step_is_refused(step: float) -> None:
    with pytest.raises(ValidationError, match="step"):
        Direction(name="older", vector=(1.0,), step=step)


def test_a_default_prompt_of_unknown_words_is_refused() -> None:
    with pytest.raises(ValidationError, match="prompt: unknown word 'three'"):
        ImageGenerationTask(**PROMPTS, default_prompt="a three")


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("a thin one", (1, 3, 2)), ("A two.", (1, 4, 0)), ("two", (4, 0, 0)), ("", (0, 0, 0))],
)
def test_a_prompt_becomes_the_numbers_of_its_words_and_zeros(
    text: str, numbers: tuple[int, ...]
) -> None:
    assert ImageGenerationTask(**PROMPTS).encode_prompt(text) == numbers


def test_unknown_words_are_named_beside_those_that_are_known() -> None:
    with pytest.raises(ValueError, match="unknown words 'cat', 'fat'; this model knows a, one"):
        ImageGenerationTask(**PROMPTS).encode_prompt("a fat cat")


def test_a_prompt_of_too_many_words_is_refused() -> None:
    with pytest.raises(ValueError, match="expected at most 3 words, got 4"):
        ImageGenerationTask(**PROMPTS).encode_prompt("a thin thin one")


def test_a_direction_that_is_not_of_length_1_is_refused() -> None:
    direction = {"name": "older", "vector": (2.0, 0.0, 0.0), "step": 1.0}
    with pytest.raises(
        ValidationError, match=r"older has 3 numbers and length 2, expected 3 and 1"
    ):
        ImageGenerationTask.model_validate(
            {"latent_size": 3, "height": 8, "width": 8, "directions": [direction]}
        )


def test_two_directions_of_one_name_are_refused() -> None:
    direction = {"name": "older", "vector": (1.0, 0.0, 0.0), "step": 1.0}
    other = {**direction, "name": "younger", "opposite": "older"}
    with pytest.raises(ValidationError, match="directions: 'older' stands there more than once"):
        ImageGenerationTask.model_validate(
            {"latent_size": 3, "height": 8, "width": 8, "directions": [direction, other]}
        )


def test_a_vocabulary_that_begins_with_a_word_is_refused() -> None:
    with pytest.raises(ValidationError, match="vocabulary: 0 is no word, got 'a'"):
        ImageGenerationTask.model_validate(
            {
                "latent_size": 3,
                "height": 8,
                "width": 8,
                "condition": "prompt",
                "condition_input": "prompt",
                "vocabulary": ("a", "digit"),
                "prompt_length": 2,
            }
        )
