"""``POST /v1/images/{model}/critique``: whether pictures are real, as the discriminator thinks.

Pictures come as form fields, as the raw body or as base64 in JSON, like those of classify; what is
said of them, ``class`` or ``prompt``, beside them or in the query. The body's win.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from serving.errors import InvalidInput, UnsupportedEncoding
from serving.image_types import CritiqueRequest, CritiqueResponse
from serving.rest.fields import Reader, parse_object, read_members, text, wrong
from serving.rest.forms import decode_base64, parse_form
from serving.rest.http import Receive, Reply, Scope, header, read_body, unless_client_leaves
from serving.rest.images_request import name_or_number, query_fields
from serving.service import InferenceService
from serving.types import MAX_IMAGES

HINT = "try: curl -F image=@picture.png http://HOST:PORT/v1/images/MODEL/critique"
"""Ends errors about the whole request: the shortest one that works."""

_RAW_TYPES = ("", "application/octet-stream", "binary/octet-stream")
_MAX_FIELDS = 16
"""Form fields besides pictures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CritiqueCall:
    """What a request for critique asks for."""

    images: tuple[bytes, ...]
    """Encoded pictures, at least one, in the order sent."""
    class_name: str | None = None
    prompt: str | None = None
    many: bool = False
    """Whether the answer is a list: several pictures, or one in a JSON list."""


class Critiques:
    """Answers requests for critique."""

    def __init__(self, service: InferenceService, *, max_body_bytes: int) -> None:
        self._service = service
        self._max_body_bytes = max_body_bytes

    async def answer(
        self, scope: Scope, receive: Receive, model: tuple[str, str], rid: str
    ) -> Reply:
        """Serve one request; see ``Images.answer``."""
        body = await read_body(scope, receive, self._max_body_bytes)
        query = query_fields(scope["query_string"])
        call = parse_critique(body, header(scope, b"content-type") or "", query)
        request = CritiqueRequest(
            model_name=model[0],
            model_version=model[1],
            images=call.images,
            class_name=call.class_name,
            prompt=call.prompt,
            request_id=rid,
        )
        response = await unless_client_leaves(receive, self._service.critique(request))
        return Reply(render_critique(response, many=call.many))


def parse_critique(body: bytes, content_type: str, query: Mapping[str, str]) -> CritiqueCall:
    """Read a request, decompressed.

    Args:
        body: the whole body.
        content_type: the header, or empty: then the body is a picture.
        query: the URL's query parameters, decoded.

    Raises:
        InvalidInput: the request cannot be read; the text says what was expected.
        UnsupportedEncoding: a media type that is none of the three ways in.
    """
    said = read_members(query, _SAID)
    media_type = content_type.partition(";")[0].strip().lower()
    many = False
    if media_type == "multipart/form-data":
        images, own = _from_form(body, content_type)
    elif media_type == "application/json":
        images, own, many = _from_json(body)
    elif media_type in _RAW_TYPES or media_type.startswith("image/"):
        images, own = (body,), {}
    else:
        raise UnsupportedEncoding(
            f"Content-Type {media_type!r} is not served, expected multipart/form-data with the "
            f"field 'image', image/*, or application/json; {HINT}"
        )
    if not all(images):
        raise InvalidInput(f"image: a file of 0 bytes, expected an encoded picture; {HINT}")
    said |= own
    return CritiqueCall(
        images=images,
        class_name=said.get("class"),
        prompt=said.get("prompt"),
        many=many or len(images) > 1,
    )


def render_critique(response: CritiqueResponse, *, many: bool) -> bytes:
    """One object, or ``{"results": [...]}`` of them if ``many``, as the answers of classify."""
    results = [
        {
            "model_name": response.model_name,
            "model_version": response.model_version,
            "probability": probability,
        }
        for probability in response.probabilities
    ]
    return orjson.dumps({"results": results} if many else results[0])


def _from_form(body: bytes, content_type: str) -> tuple[tuple[bytes, ...], dict[str, Any]]:
    images: list[bytes] = []
    said: dict[str, str] = {}
    for part in parse_form(body, content_type, MAX_IMAGES + _MAX_FIELDS, HINT):
        if part.name == "image":
            images.append(part.file(HINT))
        elif part.name in said:
            raise InvalidInput(f"{part.name}: given twice, expected once; {HINT}")
        else:
            said[part.name] = part.text()
    if not images:
        raise InvalidInput(f"image: the form has no such field; {HINT}")
    unknown = sorted(said.keys() - _SAID.keys())
    if unknown:
        raise InvalidInput(
            f"{unknown[0][:80]}: unknown field; expected any of {', '.join(_MEMBERS)}; {HINT}"
        )
    return tuple(images), read_members(said, _SAID)


def _from_json(body: bytes) -> tuple[tuple[bytes, ...], dict[str, Any], bool]:
    values = read_members(parse_object(body), _MEMBERS)
    if ("image" in values) == ("images" in values):
        raise InvalidInput(
            'image: expected exactly one of {"image": "BASE64"} and {"images": ["BASE64", ...]}, '
            f"got {'both' if 'image' in values else 'none'}; {HINT}"
        )
    if "image" in values:
        return (values["image"],), values, False
    return values["images"], values, True


def _base64(name: str, value: Any) -> bytes:
    return decode_base64(value, name)


def _base64s(name: str, value: Any) -> tuple[bytes, ...]:
    if not isinstance(value, list) or not value:
        raise wrong(name, "an array of at least one base64 string", value)
    return tuple(decode_base64(item, f"{name}[{place}]") for place, item in enumerate(value))


_SAID: Mapping[str, Reader] = {"class": name_or_number, "prompt": text}
_MEMBERS: Mapping[str, Reader] = {"image": _base64, "images": _base64s, **_SAID}
CRITIQUE_FIELDS = tuple(_MEMBERS)
"""All that a JSON request may have."""
