"""The shipped generators do what their cards say, by the shipped scorers. No data set is needed."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest

from quartet.artifact import METADATA_KEY, MODEL_FILE, parse_task
from quartet.image_generation import ImageGenerationTask
from quartet.latents import latents

REPOSITORY = Path(__file__).resolve().parents[2] / "model_repo"
SEEDS = np.arange(1_000_000, 1_000_200, dtype=np.uint64)
"""That had no part in finding the directions."""
FIRST = np.zeros(len(SEEDS), np.int64)

Arrays = dict[str, npt.NDArray[Any]]


def open_graph(name: str) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(
        REPOSITORY / name / "1" / MODEL_FILE, providers=["CPUExecutionProvider"]
    )


def task_of(session: onnxruntime.InferenceSession) -> ImageGenerationTask:
    task = parse_task(session.get_modelmeta().custom_metadata_map[METADATA_KEY])
    assert isinstance(task, ImageGenerationTask)
    return task


def along(task: ImageGenerationTask, name: str, z: npt.NDArray[np.float32]) -> Any:
    """The noise after one step of the direction ``name``, of the length it had."""
    way = next(d for d in task.directions if d.name == name)
    moved = z + way.step * np.array(way.vector, np.float32)
    length = np.linalg.norm(z, axis=1, keepdims=True)
    return (moved / np.linalg.norm(moved, axis=1, keepdims=True) * length).astype(np.float32)


def attributes(pictures: npt.NDArray[np.uint8]) -> tuple[Any, Any]:
    female, age = open_graph("face-attributes").run(["female", "age"], {"image": pictures})
    return female, age


def test_a_direction_changes_its_attribute_and_the_other_less() -> None:
    generator = open_graph("dcgan-faces")
    task = task_of(generator)
    z = latents(SEEDS, FIRST, task.latent_size)
    (pictures,) = generator.run(["image"], {"z": z})
    female, age = attributes(pictures)
    (turned,) = generator.run(["image"], {"z": along(task, "female", z)})
    (aged,) = generator.run(["image"], {"z": along(task, "older", z)})
    female_then, age_meanwhile = attributes(turned)
    female_meanwhile, age_then = attributes(aged)
    male = female < 0.5
    # The cards say 0.90 and 0.78; 100 seeds scatter by 0.04.
    assert (female_then[male] > 0.5).mean() > 0.75
    assert np.mean(age_then - age) > 10
    assert np.mean(np.abs(age_meanwhile - age)) < np.mean(np.abs(age_then - age))
    changed = ((female_meanwhile > 0.5) != (female > 0.5)).mean()
    assert changed < (female_then[male] > 0.5).mean() / 2


@pytest.mark.parametrize(("prompt", "digit"), [("a thin slanted three", 3), ("a thick 8", 8)])
def test_a_prompt_gives_the_digit_that_it_names(prompt: str, digit: int) -> None:
    generator = open_graph("dcgan-mnist-prompt")
    task = task_of(generator)
    words = np.array([task.encode_prompt(prompt)] * len(SEEDS), np.int64)
    z = latents(SEEDS, FIRST, task.latent_size)
    (pictures,) = generator.run(["image"], {"z": z, task.condition_input: words})
    assert np.mean(digits_in(pictures) == digit) > 0.95


def test_a_class_gives_its_digit_in_many_forms() -> None:
    generator = open_graph("dcgan-mnist-class")
    task = task_of(generator)
    asked = np.arange(len(SEEDS)) % len(task.classes)
    z = latents(SEEDS, FIRST, task.latent_size)
    (pictures,) = generator.run(["image"], {"z": z, task.condition_input: asked})
    assert np.mean(digits_in(pictures) == asked) > 0.95
    ones = pictures[asked == 1].astype(np.float64)
    # Twenty equal ones would differ by nothing; twenty of MNIST's differ by about 50 levels.
    assert math.sqrt(np.mean((ones - ones.mean(0)) ** 2)) > 20


def digits_in(pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """What the shipped classifier sees in pictures with a margin around 28x28 pixels."""
    margin = (pictures.shape[1] - 28) // 2
    inner = pictures[:, margin : margin + 28, margin : margin + 28, 0]
    (scores,) = open_graph("mnist").run(["probabilities"], {"image": inner})
    seen: npt.NDArray[np.int64] = scores.argmax(1)
    return seen
