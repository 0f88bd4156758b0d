"""Options of a request for pictures held against the model's declaration."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quartet.image_generation import ImageGenerationTask
from serving.errors import InvalidInput
from serving.tasks.option_checks import check_range

MAX_STRENGTH = 100.0
"""Of a direction. Far beyond it nothing is left of z but the direction."""
MAX_PROMPT = 1000
"""Characters of a prompt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePlanLimits:
    """What a model can do, and how much one request may ask for."""

    model: str
    task: ImageGenerationTask
    max_images: int
    """Pictures of one request."""
    max_frames: int
    """Pictures of one way."""


def chosen_class(name: str | None, limits: ImagePlanLimits) -> int | None:
    """Number of the class that ``name`` means; None if it is not given.

    Raises:
        InvalidInput: there is no such class, or the model is not told one.
    """
    if name is None:
        return None
    classes = limits.task.classes
    if limits.task.condition != "class":
        raise InvalidInput(f"class: model {limits.model!r} is not told a class; leave it out")
    if name in classes:
        return classes.index(name)
    # Longer numbers name no class, and Python refuses to convert very long ones.
    if name.isdecimal() and name.isascii() and len(name) < 10 and int(name) < len(classes):
        return int(name)
    raise InvalidInput(
        f"class: expected {', '.join(classes)} or a number below {len(classes)}, got {name!r:.60}"
    )


def chosen_prompt(text: str | None, limits: ImagePlanLimits) -> str | None:
    """What is shown: the model's own where ``text`` is None; None for a model without prompts.

    Raises:
        InvalidInput: the model takes none.
    """
    if limits.task.condition == "prompt":
        return limits.task.default_prompt if text is None else text
    if text is not None:
        raise InvalidInput(f"prompt: model {limits.model!r} takes no prompts; leave it out")
    return None


def encoded_prompt(text: str, task: ImageGenerationTask) -> tuple[int, ...]:
    """Word numbers of ``text``. Raises InvalidInput naming the words at fault."""
    if len(text) > MAX_PROMPT:
        raise InvalidInput(f"prompt: expected at most {MAX_PROMPT} characters, got {len(text)}")
    try:
        return task.encode_prompt(text)
    except ValueError as error:
        raise InvalidInput(str(error)) from None


def direction_step(
    strengths: Mapping[str, float], limits: ImagePlanLimits
) -> npt.NDArray[np.float64] | None:
    """What all ``strengths`` together add to z, [latent_size]; None: nothing.

    Raises:
        InvalidInput: a direction is unknown, or its strength out of range.
    """
    known = {
        name: (sign * direction.step, direction.vector)
        for direction in limits.task.directions
        for name, sign in ((direction.opposite, -1.0), (direction.name, 1.0))
        if name
    }
    total = np.zeros(limits.task.latent_size, np.float64)
    for name, strength in sorted(strengths.items()):
        if name not in known:
            has = f"it has {', '.join(sorted(known))}" if known else "it has none"
            raise InvalidInput(f"direction: model {limits.model!r} has no {name!r:.60}; {has}")
        check_range(f"strength of direction {name!r}", strength, -MAX_STRENGTH, MAX_STRENGTH)
        scale, vector = known[name]
        total += strength * scale * np.asarray(vector, np.float64)
    return total if strengths else None
