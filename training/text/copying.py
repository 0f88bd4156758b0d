"""How much of what a model writes is copied from its training text, beside held-out text."""

from collections.abc import Sequence
from typing import Any

from training.text.model import CharModel
from training.text.overlap import COPIED, Ids, measure_overlap
from training.text.samples import TEMPERATURES, SampleRequest, sample

TEXTS, CHARACTERS = 24, 2000
"""Texts of each kind, and their length. A longer or a larger sample holds longer copies, so texts
are compared with as many of the same length."""


def measure_copying(
    model: CharModel,
    train: Ids,
    held_out: Ids,
    temperatures: Sequence[float] = TEMPERATURES,
    texts: int = TEXTS,
    characters: int = CHARACTERS,
) -> dict[str, Any]:
    """Overlap with ``train`` of written texts at each temperature and of pieces of ``held_out``.

    Args:
        model: in eval mode, on the CPU.
        train: indices of the training text.
        held_out: indices of real text that the model was not trained on. If it is too short for
            ``texts`` pieces of ``characters``, there are fewer texts, and a shorter one at last.
        temperatures: at which texts are written, each without a prompt.
        texts: of each kind.
        characters: of each text.

    Returns:
        For JSON: ``texts``, ``characters``, ``threshold`` (shortest copy that counts), and under
        ``sources`` for each kind what ``Overlap.as_dict`` gives.
    """
    characters = min(characters, len(held_out))
    texts = min(texts, len(held_out) // characters)
    rows = [temperature for temperature in temperatures for _ in range(texts)]
    written = sample(model, SampleRequest(temperatures=rows, length=characters))
    sources = {
        f"temperature {temperature:g}": written[number * texts : (number + 1) * texts]
        for number, temperature in enumerate(temperatures)
    }
    sources["held-out text"] = held_out[: texts * characters].reshape(texts, characters)
    return {
        "texts": texts,
        "characters": characters,
        "threshold": COPIED,
        "sources": {
            name: measure_overlap(train, list(rows)).as_dict() for name, rows in sources.items()
        },
    }
