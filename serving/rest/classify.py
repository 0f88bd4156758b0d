"""The body of ``POST /v1/classify/{model}``: three ways in, one way out, and its OpenAPI text.

Protocol alone: nothing here decodes a picture or knows a model or a web framework.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from serving.errors import InvalidInput, UnsupportedEncoding
from serving.types import DEFAULT_TOP_K, MAX_IMAGES, ClassifyResponse, Prediction

HINT = "try: curl -F image=@picture.png http://HOST:PORT/v1/classify/MODEL"
"""Ends every error message here: the shortest request that works."""

_RAW_TYPES = ("", "application/octet-stream", "binary/octet-stream")
_MAX_PARTS = 16
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


@dataclass(slots=True)
class _Part:
    """One field of a form."""

    disposition: bytes = b""
    chunks: list[bytes] = field(default_factory=list)


class _Form:
    """Collects the fields that python-multipart's parser finds in a whole body.

    Starlette's parser over the same library spools each file through temporary files and thread
    hops, for bodies that may not fit in memory; this body is in memory already.
    """

    def __init__(self, max_parts: int) -> None:
        self.parts: list[_Part] = []
        self.complete = False
        self._max_parts = max_parts
        self._header = b""
        self._value = b""

    def parse(self, body: bytes, boundary: bytes) -> None:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin_part,
                "on_header_field": self._add_to_header,
                "on_header_value": self._add_to_value,
                "on_header_end": self._end_header,
                "on_part_data": self._add_data,
                "on_end": self._end,
            },
        )
        parser.write(body)
        parser.finalize()

    def _begin_part(self) -> None:
        if len(self.parts) == self._max_parts:
            raise InvalidInput(f"more than {self._max_parts} form fields; {HINT}")
        self.parts.append(_Part())

    def _add_to_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _add_to_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            self.parts[-1].disposition = self._value
        self._header = self._value = b""

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        self.parts[-1].chunks.append(data[start:end])

    def _end(self) -> None:
        self.complete = True


def _from_form(
    body: bytes, content_type: str, max_images: int
) -> tuple[list[bytes], int | None, bool]:
    """Pictures, ``top_k`` if given, and False (a form has no lists) of a multipart body."""
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise InvalidInput(f"multipart/form-data without a boundary in its Content-Type; {HINT}")
    form = _Form(max_images + _MAX_PARTS)
    try:
        form.parse(body, boundary)
    except FormParserError as error:
        raise InvalidInput(f"malformed multipart body: {error}; {HINT}") from error
    if not form.complete:
        raise InvalidInput(f"multipart body ends before its closing boundary; {HINT}")
    images: list[bytes] = []
    top_k = None
    for part in form.parts:
        options = parse_options_header(part.disposition)[1]
        name = options.get(b"name", b"").decode("utf-8", "replace")
        data = b"".join(part.chunks)
        if name == "image":
            images.append(_form_image(data, is_file=b"filename" in options))
        elif name == "top_k":
            top_k = _top_k(data.decode("utf-8", "replace").strip())
        else:
            raise InvalidInput(f"unknown form field {name!r}, expected 'image' or 'top_k'; {HINT}")
    if not images:
        raise InvalidInput(f"the form has no field 'image'; {HINT}")
    return images, top_k, False


def _form_image(data: bytes, *, is_file: bool) -> bytes:
    """Catch ``-F image=seven.png``, which sends the name in place of the file."""
    if not is_file and data and len(data) < 256 and data.isascii() and data.decode().isprintable():
        raise InvalidInput(f"field 'image' holds the text {data.decode()!r}, not a file; {HINT}")
    return data


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
        return [_from_base64(document["image"], "image")], top_k, False
    texts = document["images"]
    if not isinstance(texts, list) or not texts:
        raise InvalidInput(f"images: expected a list of at least one; {_JSON_EXPECTED}")
    return [_from_base64(text, f"images[{i}]") for i, text in enumerate(texts)], top_k, True


_JSON_EXPECTED = 'expected {"image": "BASE64"} or {"images": ["BASE64", ...]}, and maybe "top_k"'


def _from_base64(text: object, where: str) -> bytes:
    """Decode standard base64 (RFC 4648 section 4) or a base64 ``data:`` URL (RFC 2397)."""
    if not isinstance(text, str):
        raise InvalidInput(f"{where}: expected a base64 string, got {type(text).__name__}")
    if text.startswith("data:"):
        header, comma, text = text.partition(",")
        if not comma or not header.endswith(";base64"):
            raise InvalidInput(f"{where}: a data: URL must read data:image/TYPE;base64,DATA")
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInput(f"{where}: not base64 (RFC 4648): {error}") from error
