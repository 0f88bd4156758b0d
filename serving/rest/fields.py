"""Reads the members of JSON objects; every error begins with the name of the member."""

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import orjson

from serving.errors import InvalidInput
from serving.rest.json_codec import parse_json
from serving.tasks.generation_plan import MAX_PROMPT

Reader = Callable[[str, Any], Any]
"""Takes a member's name and its value, which is not null; raises InvalidInput."""


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object that ``body`` is. Raises InvalidInput."""
    if not body:
        raise InvalidInput("empty request: expected a JSON object")
    document = parse_json(body)
    if not isinstance(document, dict):
        raise InvalidInput("the request must be a JSON object")
    return document


def read_members(document: Mapping[str, Any], readers: Mapping[str, Reader]) -> dict[str, Any]:
    """Read all members of ``document``; those that are null count as absent.

    Raises:
        InvalidInput: a member is unknown or of the wrong kind.
    """
    values: dict[str, Any] = {}
    for name, value in document.items():
        reader = readers.get(name)
        if reader is None:
            raise InvalidInput(
                f"{name[:80]}: unknown field; expected any of {', '.join(sorted(readers))}"
            )
        if value is not None:
            values[name] = reader(name, value)
    return values


def whole(name: str, value: Any) -> int:
    """A whole number."""
    if type(value) is not int:
        raise wrong(name, "a whole number", value)
    return value


def number(name: str, value: Any) -> float:
    """A finite number."""
    try:
        if type(value) in (int, float) and math.isfinite(value):
            return float(value)
    except OverflowError:  # a whole number too big for a double
        pass
    raise wrong(name, "a finite number", value)


def an_object(name: str, value: Any) -> dict[str, Any]:
    """An object."""
    if not isinstance(value, dict):
        raise wrong(name, "an object", value)
    return value


def flag(name: str, value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise wrong(name, "true or false", value)
    return value


def text(name: str, value: Any) -> str:
    """A string."""
    if not isinstance(value, str):
        raise wrong(name, "a string", value)
    return value


def texts(name: str, value: Any) -> tuple[str, ...]:
    """A string, or an array of strings."""
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise wrong(name, "a string or an array of strings", value)
    return tuple(value)


def ids(name: str, value: Any) -> tuple[int, ...]:
    """An array of whole numbers, at most as many as a prompt may have."""
    if not isinstance(value, list):
        raise wrong(name, "an array of symbol ids", value)
    if len(value) > MAX_PROMPT:
        raise InvalidInput(f"{name}: expected at most {MAX_PROMPT} symbols, got {len(value)}")
    for place, item in enumerate(value):
        if type(item) is not int:
            raise wrong(f"{name}[{place}]", "a whole number", item)
    return tuple(value)


def from_text(reader: Reader) -> Reader:
    """Reads the same from the text of a form field or query parameter.

    A string stands there as it is, numbers and true or false as in JSON.
    """

    def read(name: str, value: Any) -> Any:
        if reader is not text:
            # What is no JSON stays a string, of which the reader says what it expected instead.
            with suppress(orjson.JSONDecodeError):
                value = orjson.loads(value)
        return reader(name, value)

    return read


def one_of(*allowed: str) -> Reader:
    """Reads one of these strings."""

    def reader(name: str, value: Any) -> str:
        if value not in allowed:
            raise wrong(name, " or ".join(repr(item) for item in allowed), value)
        return str(value)

    return reader


def refused(name: str, value: Any) -> None:
    """A member that may be there only if it asks for nothing."""
    if value not in ("", {}, []):
        raise InvalidInput(f"{name}: not supported; leave it out")


def wrong(name: str, expected: str, value: Any) -> InvalidInput:
    """The error of a member that is not ``expected``."""
    return InvalidInput(f"{name}: expected {expected}, got {_shown(value)}")


def _shown(value: Any) -> str:
    kinds = {dict: "an object", list: "an array", bool: "a boolean"}
    if value is None:
        return "null"
    if isinstance(value, str):
        return f"the string {value[:40]!r}"
    return kinds.get(type(value)) or f"the number {value!r}"[:60]
