"""How a generator of pictures is declared and what its two graphs look like. B rows.

``model.onnx``, the generator:

==================  =========================  =====================================================
tensor              type                       meaning
==================  =========================  =====================================================
z (in)              float32 [B, latent_size]   noise, standard normal (``quartet.latents``)
<condition> (in)    int64 [B]                  class number; where the condition is a class
<condition> (in)    int64 [B, T]               word numbers, then zeros; where it is a prompt
image (out)         uint8 [B, H, W, C]         the picture, row by row from the upper left
==================  =========================  =====================================================

``critic.onnx``, the discriminator that it learned from (optional):

==================  =========================  =====================================================
image (in)          uint8 [B, H, W, C]         any picture of that size
<condition> (in)    as above                   what is said of it
probability (out)   float32 [B]                that it is real rather than generated, 0 to 1
==================  =========================  =====================================================

Both compute each row by itself: a row's bytes do not depend on the batch it is in.
"""

import math
from collections.abc import Sequence
from typing import Literal, Self

from pydantic import Field, model_validator

from quartet.config import Config
from quartet.prompts import prompt_words

_UNIT_TOLERANCE = 1e-3
"""Of a direction's length."""
Condition = Literal["none", "class", "prompt"]
"""What a generator is told beside the noise."""


class Direction(Config):
    """A way through the noise that changes one attribute of a picture."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]*$")
    """What becomes more, for instance ``older``."""
    opposite: str = Field(default="", pattern=r"^([a-z][a-z0-9_-]*)?$")
    """What becomes more the other way, for instance ``younger``: the same with the strength's sign
    turned; empty if there is no word for it."""
    vector: tuple[float, ...]
    """[latent_size], of length 1."""
    step: float = Field(gt=0.0)
    """Lengths of ``vector`` that strength 1 adds to z, whose own length is then restored."""


class ImageGenerationTask(Config):
    """The graph makes a picture of noise."""

    task: Literal["image_generation"] = "image_generation"
    """Discriminator."""
    latent: str = "z"
    """Name of the noise input."""
    latent_size: int = Field(ge=1)
    """Numbers of noise."""
    output: str = "image"
    """Name of the output."""
    height: int = Field(ge=1)
    """Rows of a picture, pixels."""
    width: int = Field(ge=1)
    """Columns, pixels."""
    mode: Literal["L", "RGB"] = "RGB"
    """L: one channel; RGB: three."""
    condition: Condition = "none"
    """What the graph is told beside the noise."""
    condition_input: str = ""
    """Name of that input; empty without a condition."""
    classes: tuple[str, ...] = ()
    """Names of the classes by number."""
    vocabulary: tuple[str, ...] = ()
    """Words of prompts by number; 0 is no word."""
    prompt_length: int = Field(default=0, ge=0)
    """Words of a prompt at most: T."""
    default_prompt: str = ""
    """For requests without one."""
    example_prompts: tuple[str, ...] = ()
    """For whoever wonders what to ask for."""
    directions: tuple[Direction, ...] = ()
    """Ways through the noise that are known to mean something."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        wanted = {"none": 0, "class": len(self.classes), "prompt": len(self.vocabulary)}
        if self.condition != "none" and (not self.condition_input or wanted[self.condition] < 2):
            raise ValueError(
                f"condition: {self.condition} needs condition_input, and at least 2 "
                f"{'classes' if self.condition == 'class' else 'words in vocabulary'}"
            )
        if self.condition == "prompt":
            if self.vocabulary[0]:
                raise ValueError(f"vocabulary: 0 is no word, got {self.vocabulary[0]!r}")
            for prompt in (self.default_prompt, *self.example_prompts):
                self.encode_prompt(prompt)
        _refuse_twice("classes", self.classes)
        _refuse_twice("vocabulary", self.vocabulary)
        ways = [name for d in self.directions for name in (d.name, d.opposite) if name]
        _refuse_twice("directions", ways)
        for direction in self.directions:
            length = math.hypot(*direction.vector)
            if len(direction.vector) != self.latent_size or abs(length - 1) > _UNIT_TOLERANCE:
                raise ValueError(
                    f"directions: {direction.name} has {len(direction.vector)} numbers and length "
                    f"{length:.4g}, expected {self.latent_size} and 1"
                )
        return self

    @property
    def channels(self) -> int:
        """Of a picture."""
        return 3 if self.mode == "RGB" else 1

    def encode_prompt(self, text: str) -> tuple[int, ...]:
        """Word numbers of ``text``, zeros after its end, ``prompt_length`` in all.

        Raises ValueError naming the words that are not in the vocabulary, or for too many words.
        """
        words = prompt_words(text)
        places = {word: place for place, word in enumerate(self.vocabulary) if place}
        unknown = sorted({word for word in words if word not in places})
        if unknown:
            raise ValueError(
                f"prompt: unknown {'words' if len(unknown) > 1 else 'word'} "
                f"{', '.join(map(repr, unknown))}; this model knows {', '.join(places)}"
            )
        if len(words) > self.prompt_length:
            raise ValueError(
                f"prompt: expected at most {self.prompt_length} words, got {len(words)}"
            )
        return tuple(places[word] for word in words) + (0,) * (self.prompt_length - len(words))


def _refuse_twice(field: str, names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{field}: {', '.join(map(repr, twice))} stands there more than once")
