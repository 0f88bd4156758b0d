"""Checks of options that requests for texts and for captions have in common."""

import math

from serving.errors import InvalidInput
from serving.generation_types import Sampling
from serving.receipts import MAX_SEED

MAX_BEAMS = 32
"""Width of a beam search, where the model does not limit it further."""
MIN_TEMPERATURE = 1e-3
"""Smaller ones, but 0, would overflow float32 when the scores are divided by them."""


def check_range(name: str, value: float, low: float, high: float, *, also: str = "") -> None:
    """Refuse a ``value`` of option ``name`` outside ``low`` to ``high``.

    Raises:
        InvalidInput: the text begins with the name; ``also`` says what else is allowed.
    """
    if not low <= value <= high or (isinstance(value, float) and math.isnan(value)):
        raise InvalidInput(f"{name}: expected {low} to {high}{also}, got {value}")


def check_seed(seed: int) -> None:
    """Raises InvalidInput."""
    check_range("seed", seed, 0, MAX_SEED)


def check_length_penalty(penalty: float) -> None:
    """Raises InvalidInput."""
    check_range("length_penalty", penalty, -10.0, 10.0)


def checked_sampling(temperature: float, top_k: int, top_p: float, symbols: int) -> Sampling:
    """How symbols are drawn from a vocabulary of ``symbols``, without any penalty.

    Raises:
        InvalidInput: the text begins with the name of the option at fault.
    """
    if temperature != 0:
        check_range("temperature", temperature, MIN_TEMPERATURE, 100.0, also=" or 0")
    check_range("top_k", top_k, 0, 2**31 - 1)
    check_range("top_p", top_p, 1e-6, 1.0)
    return Sampling(temperature=temperature, top_k=0 if top_k >= symbols else top_k, top_p=top_p)
