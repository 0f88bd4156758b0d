"""How much a model makes of what it has read: its loss by the length of the context."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from training.text.model import CharModel

_WINDOW = 512
_ROWS = 64


@torch.inference_mode()
def context_losses(model: CharModel, ids: Tensor, window: int = _WINDOW) -> list[dict[str, Any]]:
    """Mean of -log2 p of characters that follow a context of given length, from a zero state.

    The text is cut into pieces of ``window`` characters (fewer if it is shorter), each read from a
    zero state. Lengths are grouped by powers of two: 1, 2-3, 4-7, ...; the last group ends with
    the piece.

    Args:
        model: in eval mode, on the device of ``ids``.
        ids: indices [characters], at least two.
        window: characters of a piece.

    Returns:
        For each group its first and last length, ``from`` and ``to``, and ``bits_per_character``.
    """
    window = min(window, len(ids))
    pieces = ids[: len(ids) // window * window].view(-1, window).long()
    total = torch.zeros(window - 1, dtype=torch.float64)
    for rows in torch.split(pieces, _ROWS):
        logits, _ = model(rows[:, :-1], model.initial_state(len(rows)))
        losses = functional.cross_entropy(logits.mT, rows[:, 1:], reduction="none")
        total += losses.double().sum(dim=0)
    bits = total / len(pieces) / torch.log(torch.tensor(2.0, dtype=torch.float64))
    groups, first = [], 1
    while first < window:
        last = min(2 * first, window) - 1
        mean = float(bits[first - 1 : last].mean())
        groups.append({"from": first, "to": last, "bits_per_character": mean})
        first = last + 1
    return groups
