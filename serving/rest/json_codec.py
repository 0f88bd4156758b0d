"""JSON as clients of the protocol write it: strict, but with bare ``NaN`` and ``Infinity``."""

import json
import math
from typing import Any

import orjson

from serving.errors import InvalidInput


def parse_json(body: bytes | memoryview) -> Any:
    """Parse ``body``.

    Raises:
        InvalidInput: not JSON, not UTF-8, nested too deeply, or a number that no double can hold.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raw = bytes(body)
        if b"NaN" not in raw and b"Infinity" not in raw:
            raise InvalidInput(f"failed to parse the request JSON: {error}") from error
    try:
        value = json.loads(raw, parse_float=_finite)
        if b"\\u" in raw:
            _check_text(value)
        return value
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"failed to parse the request JSON: {error}") from error


def render_json(value: Any) -> bytes:
    """Write ``value``; numbers that are not finite become bare tokens, as tritonclient reads them.

    orjson would write null for them, so it is used only where there are none.
    """
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _check_text(value: Any) -> None:
    """Refuse lone surrogates, as orjson does: no answer that repeats them could be written."""
    json.dumps(value, ensure_ascii=False).encode()


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"number out of range: {text[:40]}")
    return number
