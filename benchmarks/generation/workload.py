"""What the clients of the generation benchmark ask for: prompts, lengths and seeds."""

import random
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel

Lengths = Literal["fixed", "mixed"]

MEAN_LENGTH = 200
SHORTEST, LONGEST = 8, 1000
PROMPT_SYMBOLS = 8


class Job(BaseModel):
    """One text wanted."""

    prompt: str
    max_tokens: int
    seed: int


def make_jobs(vocabulary: Sequence[str], count: int, lengths: Lengths, seed: int = 0) -> list[Job]:
    """``count`` jobs, the same at every call.

    Args:
        vocabulary: symbols that prompts are made of.
        count: how many.
        lengths: fixed: 200 symbols each; mixed: exponentially distributed with that mean, cut to
            8 .. 1000, which is what makes rows of one batch end at different times.
        seed: of the draw.
    """
    generator = random.Random(seed)
    return [
        Job(
            prompt="".join(generator.choices(vocabulary, k=PROMPT_SYMBOLS)),
            max_tokens=_length(lengths, generator),
            seed=number,
        )
        for number in range(count)
    ]


def _length(lengths: Lengths, generator: random.Random) -> int:
    if lengths == "fixed":
        return MEAN_LENGTH
    return min(LONGEST, max(SHORTEST, round(generator.expovariate(1 / MEAN_LENGTH))))
