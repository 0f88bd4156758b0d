"""Points of noise, sums of them and directions, as URLs and people write them.

::

    seeds        7,12,0-63            a range has both its ends
    points       7,12:3,31            12:3 is seed 12, index 3
    arithmetic   7 - 12 + 31          0.5*7 weighs; (1,2,3) is the mean of three
    direction    older:1.5,female:-1  a strength behind each name, or none

A plus sign that is not escaped arrives as a space in a URL's query, so terms with nothing but
spaces between them are added.
"""

import re
from collections.abc import Iterator, Mapping
from typing import NoReturn

from serving.errors import InvalidInput
from serving.image_types import Arithmetic, LatentPoint

MAX_POINTS = 1024
"""Points that one text may name."""
MAX_TEXT = 65_536
"""Characters of one text."""
ARITHMETIC = "seeds with + and - between, like '7 - 12 + 31', '0.5*7 + 0.5*12:3', '(1,2,3) - 9'"

_DIGITS = "[0-9]{1,20}"
_POINT = re.compile(rf"\s*({_DIGITS})(?::({_DIGITS}))?\s*")
_SEEDS = re.compile(rf"\s*({_DIGITS})(?:\s*-\s*({_DIGITS}))?\s*")
_SIGNS = re.compile(r"[\s+-]*")
_WEIGHT = re.compile(r"([0-9]{1,20}(?:\.[0-9]{0,20})?|\.[0-9]{1,20})\s*\*\s*")
_TERM = re.compile(rf"{_DIGITS}(?::{_DIGITS})?|\(([0-9:,\s]*)\)")
_DIRECTION = re.compile(r"\s*([A-Za-z][A-Za-z0-9_-]*)\s*(?::\s*(\S+)\s*)?")
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,20}(?:\.[0-9]{0,20})?|\.[0-9]{1,20})")


def parse_seeds(name: str, text: str, most: int) -> tuple[int, ...]:
    """Seeds and ranges of them, in their order.

    Args:
        name: of the parameter, with which errors begin.
        text: as above.
        most: seeds that are taken.

    Raises:
        InvalidInput: it cannot be read, or there are too many.
    """
    seeds: list[int] = []
    for item in _items(name, text):
        found = _SEEDS.fullmatch(item)
        if found is None:
            _refuse(name, "seeds like '1,5,9' and ranges like '0-63'", item)
        first = int(found[1])
        last = int(found[2]) if found[2] else first
        if last < first:
            raise InvalidInput(f"{name}: expected ranges from the lower seed on, got {item!r}")
        # Before the range is made: it may have any length.
        check_count(name, "seeds", len(seeds) + last - first + 1, most)
        seeds.extend(range(first, last + 1))
    return tuple(seeds)


def parse_points(name: str, text: str) -> tuple[LatentPoint, ...]:
    """Points with commas between; see ``parse_seeds``."""
    return tuple(_point(name, item) for item in _items(name, text))


def parse_arithmetic(name: str, text: str) -> Arithmetic:
    """A weighted sum of points and of means of points.

    Raises:
        InvalidInput: it cannot be read; the text begins with ``name`` and says where.
    """
    _check_length(name, text)
    terms: list[tuple[float, LatentPoint]] = []
    place = 0
    while place < len(text) or not terms:
        sign, place = _sign(name, text, place, first=not terms)
        weight = _WEIGHT.match(text, place)
        if weight is not None:
            place = weight.end()
        term = _TERM.match(text, place)
        if term is None:
            _refuse(name, f"{ARITHMETIC}; at character {place + 1}", text[place:])
        points = _term_points(name, term)
        share = sign * (float(weight[1]) if weight else 1.0) / len(points)
        terms.extend((share, point) for point in points)
        check_count(name, "points", len(terms), MAX_POINTS)
        place = _end_of_term(name, text, term.end())
    return Arithmetic(tuple(terms))


def parse_directions(name: str, text: str) -> dict[str, float | None]:
    """Names with their strengths; None for a name without.

    Raises:
        InvalidInput: it cannot be read, or a name stands there twice.
    """
    found: dict[str, float | None] = {}
    for item in _items(name, text):
        match = _DIRECTION.fullmatch(item)
        if match is None or (match[2] and _NUMBER.fullmatch(match[2]) is None):
            _refuse(name, "directions like 'older' or 'older:1.5,female:-1'", item)
        if match[1] in found:
            raise InvalidInput(f"{name}: {match[1]!r} stands there twice, expected once")
        found[match[1]] = float(match[2]) if match[2] else None
    return found


def with_strength(
    name: str, directions: Mapping[str, float | None], strength: float | None
) -> dict[str, float]:
    """``directions`` with ``strength``, or else 1, where they have none of their own.

    Raises:
        InvalidInput: there is a strength, but nobody for it.
    """
    if strength is not None and None not in directions.values():
        got = "each has its own" if directions else f"there is no '{name}'"
        raise InvalidInput(f"strength: got {strength}, expected a '{name}' without one; {got}")
    default = 1.0 if strength is None else strength
    return {key: default if value is None else value for key, value in directions.items()}


def check_count(name: str, what: str, count: int, most: int, least: int = 1) -> None:
    """Raise InvalidInput unless ``count`` is in ``least`` to ``most``."""
    if not least <= count <= most:
        raise InvalidInput(f"{name}: expected {least} to {most} {what}, got {count}")


def _items(name: str, text: str) -> Iterator[str]:
    _check_length(name, text)
    return iter(text.split(","))


def _check_length(name: str, text: str) -> None:
    if len(text) > MAX_TEXT:
        raise InvalidInput(f"{name}: expected at most {MAX_TEXT} characters, got {len(text)}")


def _point(name: str, text: str) -> LatentPoint:
    found = _POINT.fullmatch(text)
    if found is None:
        _refuse(name, "seeds like '7', or with an index like '7:3'", text)
    return LatentPoint(int(found[1]), int(found[2] or 0))


def _sign(name: str, text: str, place: int, *, first: bool) -> tuple[int, int]:
    """Sign of the term that follows, and where that begins."""
    found = _SIGNS.match(text, place)
    signs = "" if found is None else "".join(found[0].split())
    if len(signs) > (1 if first else 2):
        _refuse(name, f"{ARITHMETIC}; at character {place + 1}", text[place:])
    return -1 if signs.count("-") % 2 else 1, place if found is None else found.end()


def _term_points(name: str, term: re.Match[str]) -> list[LatentPoint]:
    if term[1] is None:
        return [_point(name, term[0])]
    return [_point(name, item) for item in term[1].split(",")]


def _end_of_term(name: str, text: str, place: int) -> int:
    """Where the next term's signs begin, or the end of the text."""
    rest = text[place:]
    if not rest.strip():
        return len(text)
    if rest[0] not in "+- \t\n\r":
        _refuse(name, f"{ARITHMETIC}; at character {place + 1}", rest)
    return place


def _refuse(name: str, expected: str, got: str) -> NoReturn:
    raise InvalidInput(f"{name}: expected {expected}, got {got[:40]!r}")
