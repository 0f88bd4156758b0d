"""What a request for pictures says: in the query of GET and POST, or in the body of POST.

The same names stand for the same in both. In JSON numbers, arrays and objects may stand where the
query has text. A name that stands in the query and in the body means the body's.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import numpy as np

from serving.errors import InvalidInput, UnsupportedEncoding
from serving.image_types import (
    GivenLatents,
    ImageOptions,
    Interpolation,
    LatentPoint,
    LatentSource,
    Samples,
    SeedList,
)
from serving.rest.fields import (
    Reader,
    flag,
    from_text,
    number,
    one_of,
    parse_object,
    read_members,
    text,
    whole,
    wrong,
)
from serving.rest.images_form import FORMATS, Wishes
from serving.rest.json_codec import parse_json
from serving.rest.latent_text import (
    MAX_POINTS,
    check_count,
    parse_arithmetic,
    parse_directions,
    parse_points,
    parse_seeds,
    with_strength,
)

MAX_FIELDS = 64
"""Of a query or form."""
DEFAULT_FRAMES = 16
"""Of an interpolation, unless it has more points."""
_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagesCall:
    """What a request for pictures asks for."""

    source: LatentSource
    options: ImageOptions
    wishes: Wishes


def parse_images(query: bytes, body: bytes, content_type: str, max_images: int) -> ImagesCall:
    """Read a request.

    Args:
        query: of the URL, still escaped.
        body: whole, decompressed; empty for GET.
        content_type: the header, or empty.
        max_images: that one request may ask for.

    Raises:
        InvalidInput: it cannot be read; the text begins with the name at fault.
        UnsupportedEncoding: a body that is neither JSON nor a form.
    """
    values = read_members(query_fields(query), _TEXT_READERS)
    media_type = content_type.partition(";")[0].strip().lower()
    if body and media_type == _FORM:
        values |= read_members(query_fields(body), _TEXT_READERS)
    elif body and media_type in ("application/json", ""):
        values |= read_members(parse_object(body), _READERS)
    elif body:
        raise UnsupportedEncoding(
            f"Content-Type {media_type!r} is not served, expected application/json or {_FORM}"
        )
    return ImagesCall(
        source=_source(values, max_images), options=_options(values), wishes=_wishes(values)
    )


def query_fields(query: bytes) -> dict[str, str]:
    """Names and values of a query or form. Raises InvalidInput for too many, or one twice."""
    try:
        pairs = parse_qsl(
            query.decode("latin-1"), keep_blank_values=True, max_num_fields=MAX_FIELDS
        )
    except ValueError:
        raise InvalidInput(f"expected at most {MAX_FIELDS} parameters") from None
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidInput(f"{twice[:80]}: given {names.count(twice)} times, expected once")
    return fields


def _source(values: Mapping[str, Any], max_images: int) -> LatentSource:
    ways = [name for name in _WAYS if name in values]
    if len(ways) > 1:
        raise InvalidInput(f"{ways[1]}: not together with {ways[0]}; expected one of them")
    way = ways[0] if ways else "seed"
    for name in values:
        if name in _BELONGS and way not in _BELONGS[name]:
            raise InvalidInput(
                f"{name}: not together with {way}; it belongs to {' and '.join(_BELONGS[name])}"
            )
    return _WAYS[way](values, max_images)


def _samples(values: Mapping[str, Any], max_images: int) -> Samples:
    count = values.get("n", 1)
    check_count("n", "pictures", count, max_images)
    return Samples(values.get("seed"), count, values.get("index", 0))


def _seed_list(values: Mapping[str, Any], max_images: int) -> SeedList:
    given = values["seeds"]
    seeds = parse_seeds("seeds", given, max_images) if isinstance(given, str) else given
    check_count("seeds", "seeds", len(seeds), max_images)
    return SeedList(seeds, values.get("index", 0))


def _given(values: Mapping[str, Any], max_images: int) -> GivenLatents:
    check_count("z", "rows", len(values["z"].z), max_images)
    return GivenLatents(values["z"].z)


def _path(values: Mapping[str, Any], max_images: int) -> Interpolation:
    points = values["interpolate"]
    check_count("interpolate", "points", len(points), MAX_POINTS, least=2)
    frames = values.get("frames", max(DEFAULT_FRAMES, len(points)))
    return Interpolation(points, frames, values.get("closed", False))


def _sum(values: Mapping[str, Any], max_images: int) -> LatentSource:
    found: LatentSource = values["arithmetic"]
    return found


def _options(values: Mapping[str, Any]) -> ImageOptions:
    directions = with_strength("direction", values.get("direction", {}), values.get("strength"))
    return ImageOptions(
        truncation=values.get("truncation"),
        class_name=values.get("class"),
        prompt=values.get("prompt"),
        directions=directions,
    )


def _wishes(values: Mapping[str, Any]) -> Wishes:
    return Wishes(
        format=values.get("format"),
        columns=values.get("grid"),
        fps=values.get("fps"),
        quality=values.get("quality"),
    )


def _seeds(name: str, value: Any) -> str | tuple[int, ...]:
    """Text, or an array of whole numbers."""
    if isinstance(value, list):
        return tuple(whole(f"{name}[{place}]", item) for place, item in enumerate(value))
    return text(name, value)


def _points(name: str, value: Any) -> tuple[LatentPoint, ...]:
    """Text, or an array of seeds and of texts."""
    if not isinstance(value, list):
        return parse_points(name, text(name, value))
    found: list[LatentPoint] = []
    for place, item in enumerate(value):
        where = f"{name}[{place}]"
        found.extend(
            [LatentPoint(item)] if type(item) is int else parse_points(where, text(where, item))
        )
    return tuple(found)


def _latents(name: str, value: Any) -> GivenLatents:
    """One row of numbers, or an array of rows of one length; as JSON where it is text."""
    expected = "an array of numbers, or of arrays of as many numbers each"
    if isinstance(value, str):
        try:
            value = parse_json(_bracketed(value).encode())
        except InvalidInput:
            raise wrong(name, expected, value) from None
    if not isinstance(value, list):
        raise wrong(name, expected, value)
    try:
        rows = np.array(value)
    except (ValueError, OverflowError):
        raise wrong(name, expected, value) from None
    if rows.dtype.kind not in "iuf" or rows.ndim not in (1, 2) or not rows.size:
        raise wrong(name, expected, value)
    with np.errstate(over="ignore"):  # what float32 cannot hold is refused with its place later
        return GivenLatents(np.atleast_2d(rows).astype(np.float32))


def _bracketed(value: str) -> str:
    return value if value.lstrip().startswith("[") else f"[{value}]"


def _directions(name: str, value: Any) -> dict[str, float | None]:
    """Text, or an object of strengths."""
    if isinstance(value, dict):
        return {key: number(f"{name}.{key[:40]}", item) for key, item in value.items()}
    return parse_directions(name, text(name, value))


def name_or_number(name: str, value: Any) -> str:
    """A string, or a whole number as its decimal."""
    return str(value) if type(value) is int and abs(value) < 2**63 else text(name, value)


def _arithmetic(name: str, value: Any) -> LatentSource:
    return parse_arithmetic(name, text(name, value))


_WAYS: Mapping[str, Callable[[Mapping[str, Any], int], LatentSource]] = {
    "seed": _samples,
    "seeds": _seed_list,
    "z": _given,
    "interpolate": _path,
    "arithmetic": _sum,
}
_BELONGS: Mapping[str, tuple[str, ...]] = {
    "n": ("seed",),
    "index": ("seed", "seeds"),
    "frames": ("interpolate",),
    "closed": ("interpolate",),
}
"""Parameter -> the ways to say where z comes from that it says more about."""
_READERS: Mapping[str, Reader] = {
    "seed": whole,
    "seeds": _seeds,
    "index": whole,
    "n": whole,
    "z": _latents,
    "interpolate": _points,
    "frames": whole,
    "closed": flag,
    "arithmetic": _arithmetic,
    "truncation": number,
    "class": name_or_number,
    "prompt": text,
    "direction": _directions,
    "strength": number,
    "grid": whole,
    "format": one_of(*FORMATS),
    "quality": whole,
    "fps": number,
}
_AS_TEXT = (_seeds, _points, _latents, _arithmetic, _directions, name_or_number)
_TEXT_READERS: Mapping[str, Reader] = {
    name: read if read in _AS_TEXT or name == "format" else from_text(read)
    for name, read in _READERS.items()
}
IMAGE_FIELDS = tuple(_READERS)
"""All that a request may say."""
