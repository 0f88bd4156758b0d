"""The body of ``POST /v1/classify/{model}``: three ways in, one way out, and its OpenAPI text.

Protocol alone: nothing here decodes a picture or knows a model or a web framework.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from serving.errors import InvalidInput, UnsupportedEncoding
from serving.rest.forms import decode_base64, parse_form
from serving.types import DEFAULT_TOP_K, MAX_IMAGES, ClassifyResponse, Prediction

HINT = "try: curl -F image=@picture.png http://HOST:PORT/v1/classify/MODEL"
"""Ends every error message here: the shortest request that works."""

_RAW_TYPES = ("", "application/octet-stream", "binary/octet-stream")
_MAX_FIELDS = 16
"""Form fields besides pictures; a browser may send a few of its own making."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedClassify:
    """What a classify request asks for."""

    images: tuple[bytes, ...]
    """Encoded pictures, at least one, in the order sent."""
    top_k: int = DEFAULT_TOP_K
    """Classes wanted for each picture, >= 1."""
    many: bool = False
    """Whether the answer is a list: several pictures, or one in a JSON list."""


def parse_classify(
    body: bytes,
    content_type: str,
    query: Mapping[str, str],
    *,
    max_images: int = MAX_IMAGES,
) -> ParsedClassify:
    """Read a classify request, decompressed.

    ``top_k`` may stand in the query, a form field or the JSON; the body's wins.

    Args:
        body: the whole body.
        content_type: the header, or empty: then the body is taken for a picture.
        query: the URL's query parameters, decoded.
        max_images: pictures that one request may carry.

    Raises:
        InvalidInput: the request cannot be read; the text says what was expected.
        UnsupportedEncoding: a media type that is none of the three ways.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == "multipart/form-data":
        images, top_k, many = _from_form(body, content_type, max_images)
    elif media_type == "application/json":
        images, top_k, many = _from_json(body)
    elif media_type in _RAW_TYPES or media_type.startswith("image/"):
        images, top_k, many = [body], None, False
    else:
        raise UnsupportedEncoding(
            f"Content-Type {media_type!r} is not served, expected multipart/form-data with the "
            f"field 'image', image/*, or application/json; {HINT}"
        )
    if len(images) > max_images:
        raise InvalidInput(f"{len(images)} images in one request, at most {max_images} are taken")
    if any(not image for image in images):
        raise InvalidInput(f"an image of 0 bytes, expected an encoded picture; {HINT}")
    if top_k is None:
        top_k = _top_k(query.get("top_k", DEFAULT_TOP_K))
    return ParsedClassify(images=tuple(images), top_k=top_k, many=many or len(images) > 1)


def render_classify(response: ClassifyResponse, *, many: bool) -> bytes:
    """Write the answer as JSON: one object, or ``{"results": [...]}`` of them if ``many``."""
    results = [_result(response, predictions) for predictions in response.results]
    return orjson.dumps({"results": results} if many else results[0])


def _result(response: ClassifyResponse, predictions: Sequence[Prediction]) -> dict[str, Any]:
    return {
        "model_name": response.model_name,
        "model_version": response.model_version,
        "predictions": predictions,
    }


def _top_k(value: object) -> int:
    """Check ``top_k``, given as a JSON number or as text."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 10:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        shown = repr(value)[:40]
        raise InvalidInput(f"top_k: expected a whole number of at least 1, got {shown}")
    return value


def _from_form(
    body: bytes, content_type: str, max_images: int
) -> tuple[list[bytes], int | None, bool]:
    """Pictures, ``top_k`` if given, and False (a form has no lists) of a multipart body."""
    images: list[bytes] = []
    top_k = None
    for field in parse_form(body, content_type, max_images + _MAX_FIELDS, HINT):
        if field.name == "image":
            images.append(field.file(HINT))
        elif field.name == "top_k":
            top_k = _top_k(field.text())
        else:
            raise InvalidInput(
                f"unknown form field {field.name!r}, expected 'image' or 'top_k'; {HINT}"
            )
    if not images:
        raise InvalidInput(f"the form has no field 'image'; {HINT}")
    return images, top_k, False


def _from_json(body: bytes) -> tuple[list[bytes], int | None, bool]:
    """Pictures, ``top_k`` if given, and whether they came as a list, of a JSON body."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"malformed JSON: {error}; {_JSON_EXPECTED}") from error
    if not isinstance(document, dict):
        raise InvalidInput(f"JSON {type(document).__name__}, not an object; {_JSON_EXPECTED}")
    unknown = sorted(document.keys() - {"image", "images", "top_k"})
    if unknown:
        raise InvalidInput(f"unknown JSON key {unknown[0]!r}; {_JSON_EXPECTED}")
    if ("image" in document) == ("images" in document):
        raise InvalidInput(f"exactly one of 'image' and 'images' must be given; {_JSON_EXPECTED}")
    top_k = _top_k(document["top_k"]) if "top_k" in document else None
    if "image" in document:
        return [decode_base64(document["image"], "image")], top_k, False
    texts = document["images"]
    if not isinstance(texts, list) or not texts:
        raise InvalidInput(f"images: expected a list of at least one; {_JSON_EXPECTED}")
    return [decode_base64(text, f"images[{i}]") for i, text in enumerate(texts)], top_k, True


_JSON_EXPECTED = 'expected {"image": "BASE64"} or {"images": ["BASE64", ...]}, and maybe "top_k"'
