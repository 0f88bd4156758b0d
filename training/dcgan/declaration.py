"""What a generator says of itself to a server: the task inside ``model.onnx``."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from quartet.config import ConfigError, explain
from quartet.image_generation import Condition, Direction, ImageGenerationTask
from training.dcgan.directions import DIRECTIONS_FILE
from training.dcgan.pictures import FACE_CLASSES
from training.dcgan.prompts import Grammar, digit_grammar, face_grammar
from training.dcgan.trained_networks import TrainedDcgan

LATENT, IMAGE, PROBABILITY = "z", "image", "probability"
"""Names of tensors (``quartet.image_generation``)."""
_DEFAULT_PROMPTS = {"mnist": "a digit", "utkface": "a person"}
_EXAMPLE_PROMPTS = {
    "mnist": (
        *("a thin slanted three", "a thick upright 7", "a thin zero", "a slanted one"),
        *("a thick 8", "an upright four"),
    ),
    "utkface": (
        *("a young woman", "an old man", "a girl", "a boy", "a baby", "a middle-aged man"),
        "an old woman",
    ),
}


def declare(
    trained: TrainedDcgan, summary: Mapping[str, Any], directions: tuple[Direction, ...] = ()
) -> ImageGenerationTask:
    """The declaration of a run; no data are read.

    Args:
        trained: its networks.
        summary: its summary.json, which holds the class names of a folder of pictures.
        directions: ways through the noise.

    Raises:
        ConfigError: names or words do not fit the networks, or a direction does not fit z.
    """
    model = trained.config.model
    try:
        return ImageGenerationTask(
            latent=LATENT,
            latent_size=model.latent,
            output=IMAGE,
            height=model.side,
            width=model.side,
            mode="L" if model.channels == 1 else "RGB",
            condition=model.condition,
            condition_input="" if model.condition == "none" else model.condition,
            directions=directions,
            **_words(trained, summary),
        )
    except ValidationError as error:
        raise ConfigError(f"the run's declaration: {explain(error)}") from error


def read_directions(run_dir: Path) -> list[dict[str, Any]]:
    """``DIRECTIONS_FILE`` of a run, figures included; empty if there is none.

    Raises ConfigError if it is damaged.
    """
    path = run_dir / DIRECTIONS_FILE
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return [dict(entry) for entry in stored]
    except FileNotFoundError:
        return []
    except (json.JSONDecodeError, TypeError, ValueError) as error:
        raise ConfigError(f"{path} is damaged: {error}") from error


def declared_direction(entry: Mapping[str, Any]) -> Direction:
    """What of an entry of ``DIRECTIONS_FILE`` is declared. Raises ConfigError for a damaged one."""
    wanted = {name: entry[name] for name in Direction.model_fields if name in entry}
    try:
        return Direction.model_validate(wanted)
    except ValidationError as error:
        raise ConfigError(f"{DIRECTIONS_FILE}: {explain(error)}") from error


def _words(trained: TrainedDcgan, summary: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of the declaration that name classes or words."""
    dataset, condition = trained.config.dataset, trained.config.model.condition
    if condition == "class":
        names = class_names(dataset, summary)
        _check(condition, len(names), trained.symbols)
        return {"classes": names}
    if condition == "prompt":
        grammar = _grammar(dataset)
        _check(condition, len(grammar.vocabulary), trained.symbols)
        return {
            "vocabulary": grammar.vocabulary,
            "prompt_length": grammar.length,
            "default_prompt": _DEFAULT_PROMPTS[dataset],
            "example_prompts": _EXAMPLE_PROMPTS[dataset],
        }
    return {}


def class_names(dataset: str, summary: Mapping[str, Any]) -> tuple[str, ...]:
    """Of a data set, by number. Raises ConfigError if the run does not tell."""
    known = {"mnist": tuple("0123456789"), "utkface": FACE_CLASSES}
    if dataset in known:
        return known[dataset]
    if "classes" not in summary:
        raise ConfigError(
            f"summary.json has no classes, and {dataset!r} is no data set whose classes are known"
        )
    return tuple(map(str, summary["classes"]))


def _grammar(dataset: str) -> Grammar:
    grammars = {"mnist": digit_grammar, "utkface": face_grammar}
    if dataset not in grammars:
        raise ConfigError(f"there are no prompts for {dataset!r}")
    return grammars[dataset]()


def _check(condition: Condition, names: int, symbols: int) -> None:
    if names != symbols:
        raise ConfigError(
            f"model.condition: {condition}: the run tells {symbols} apart, this version names "
            f"{names}; train anew"
        )
