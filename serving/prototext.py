"""Protobuf's text format read for people: errors with file and line, and what a message sets."""

import difflib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, cast

from google.protobuf import text_format
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from quartet.config import ConfigError

FieldTree = Mapping[str, "FieldTree | None"]
"""Names of fields and, for each, the names below it; None stands for everything below."""

_POSITION: Final = re.compile(r"^\d+:\d+ : ")
_UNKNOWN: Final = re.compile(r'Message type "([\w.]+)" has no field named "(\w+)"')


def parse_file(path: Path, message: Message) -> None:
    """Fill ``message`` from a file.

    Raises:
        ConfigError: the file cannot be read or is not valid; the text begins with file and line.
    """
    try:
        text_format.Parse(path.read_text(encoding="utf-8"), message)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    except text_format.ParseError as error:
        text = _explain(_POSITION.sub("", str(error)), cast("Descriptor", message.DESCRIPTOR))
        raise ConfigError(f"{path}:{error.GetLine()}:{error.GetColumn()}: {text}") from error


def _explain(text: str, root: Descriptor) -> str:
    """Add to an unknown field's error the one that may have been meant, or all there are."""
    unknown = _UNKNOWN.search(text)
    if unknown is None:
        return text
    owner = next(m for m in _reachable(root, set()) if m.full_name == unknown[1])
    fields = sorted(owner.fields_by_name)
    close = difflib.get_close_matches(unknown[2], fields, n=1)
    expected = f"'{close[0]}'?" if close else f"one of {', '.join(fields)}"
    return f"unknown field '{unknown[2]}', expected {expected}"


def _reachable(message: Descriptor, seen: set[str]) -> Iterator[Descriptor]:
    """``message`` and the types of all fields below it."""
    if message.full_name in seen:
        return
    seen.add(message.full_name)
    yield message
    for field in message.fields:
        if field.message_type is not None:
            yield from _reachable(field.message_type, seen)


def set_fields(message: Message, *, outside: FieldTree, prefix: str = "") -> Iterator[str]:
    """Dotted names of the fields that are set and not in ``outside``, with repetitions.

    An empty sub-message says nothing and is left out, unless it chooses one case of a ``oneof``.
    """
    for field, value in message.ListFields():
        dotted = prefix + field.name
        if field.name not in outside:
            if field.containing_oneof or not isinstance(value, Message) or value.ListFields():
                yield dotted
            continue
        below = outside[field.name]
        if below is not None:
            for item in [value] if isinstance(value, Message) else value:
                yield from set_fields(item, outside=below, prefix=dotted + ".")
