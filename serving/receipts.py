"""Receipts: what an answer tells so that the same request gives the same bytes again."""

import json
import secrets
from dataclasses import asdict, fields
from typing import Any

from serving.errors import Conflict, InvalidInput
from serving.generation_types import Receipt

MAX_SEED = 2**63 - 1
"""Largest seed of a request."""
SEED_BITS = 53
"""Of a seed that the server draws: readers of JSON that know only doubles keep it whole."""

_FIELDS = {field.name: int if field.name == "seed" else str for field in fields(Receipt)}


def draw_seed() -> int:
    """A seed for a request that has none."""
    return secrets.randbits(SEED_BITS)


def receipt_json(receipt: Receipt) -> str:
    """``receipt`` as one JSON object, its keys the names of the fields."""
    return json.dumps(asdict(receipt), separators=(",", ":"))


def parse_receipt(text: str) -> Receipt:
    """Read what ``receipt_json`` wrote.

    Raises:
        InvalidInput: it is no such object; the text says what is wrong with it.
    """
    try:
        document: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(
            f"receipt: not the JSON of an earlier answer's receipt: {error}"
        ) from None
    if not isinstance(document, dict) or document.keys() != _FIELDS.keys():
        raise InvalidInput(f"receipt: expected an object with {', '.join(_FIELDS)}")
    for name, kind in _FIELDS.items():
        if type(document[name]) is not kind:
            expected = "a whole number" if kind is int else "a string"
            raise InvalidInput(f"receipt.{name}: expected {expected}, got {document[name]!r:.80}")
    return Receipt(**document)


def check_receipt(receipt: Receipt, here: Receipt) -> None:
    """Refuse a receipt of another model, version, weights or engine than would answer now.

    Args:
        receipt: of an earlier answer.
        here: what an answer would carry now; its seed does not matter.

    Raises:
        Conflict: the text names everything that differs.
    """
    differing = [
        f"{name} is {getattr(here, name)!r} here, {getattr(receipt, name)!r:.100} in the receipt"
        for name in _FIELDS
        if name != "seed" and getattr(receipt, name) != getattr(here, name)
    ]
    if differing:
        raise Conflict(f"receipt: the same text cannot be given again: {'; '.join(differing)}")
