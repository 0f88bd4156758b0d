"""Requests for critique: forms, raw bodies and JSON, and the answers."""

import base64
from typing import Any

import httpx
import orjson
import pytest

from serving.errors import InvalidInput, UnsupportedEncoding
from serving.image_types import CritiqueResponse
from serving.rest.critique import CritiqueCall, parse_critique, render_critique

PICTURE, OTHER = b"\x89PNG\r\n\x1a\n\r\n--\0\xff", b"\xff\xd8 another"
JSON = "application/json"


def text64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def form(*fields: tuple[str, Any], **query: str) -> CritiqueCall:
    request = httpx.Request("POST", "http://server/", files=list(fields))
    return parse_critique(request.read(), request.headers["content-type"], query)


def in_json(**document: Any) -> CritiqueCall:
    return parse_critique(orjson.dumps(document), JSON, {})


@pytest.mark.parametrize(
    "content_type", ["image/png", "IMAGE/JPEG; x=1", "", "application/octet-stream"]
)
def test_raw_body_is_one_picture(content_type: str) -> None:
    assert parse_critique(PICTURE, content_type, {}) == CritiqueCall(images=(PICTURE,))


def test_form_has_pictures_and_what_is_said_of_them() -> None:
    call = form(("image", ("a", PICTURE)), ("image", ("b", OTHER)), ("class", (None, "3")))
    assert call == CritiqueCall(images=(PICTURE, OTHER), class_name="3", many=True)


def test_json_has_one_picture_or_a_list() -> None:
    one = in_json(image=text64(PICTURE), prompt="a cat")
    assert one == CritiqueCall(images=(PICTURE,), prompt="a cat")
    listed = in_json(images=[text64(PICTURE)], **{"class": 3})
    assert listed == CritiqueCall(images=(PICTURE,), class_name="3", many=True)


def test_query_is_said_where_the_body_says_nothing() -> None:
    query = {"class": "1", "prompt": "a dog"}
    call = parse_critique(PICTURE, "image/png", query)
    assert (call.class_name, call.prompt) == ("1", "a dog")
    assert form(("image", ("a", PICTURE)), ("class", (None, "2")), **query).class_name == "2"


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: parse_critique(b"", "image/png", {}), "image: a file of 0 bytes"),
        (lambda: parse_critique(PICTURE, "", {"top_k": "1"}), "top_k: unknown field"),
        (lambda: form(("picture", ("a", PICTURE))), "image: the form has no such field"),
        (lambda: form(("image", ("a", b"x")), ("top_k", (None, "1"))), "top_k: unknown field"),
        (
            lambda: form(("image", ("a", b"x")), *[("class", (None, "1"))] * 2),
            "class: given twice",
        ),
        (lambda: in_json(), "image: expected exactly one of"),
        (lambda: in_json(image=text64(b"x"), images=[text64(b"x")]), "image: expected exactly one"),
        (lambda: in_json(images=[]), "images: expected an array of at least one"),
        (lambda: in_json(images=["?"]), "images[0]: not base64"),
        (lambda: in_json(image=text64(b"x"), label=1), "label: unknown field"),
        (lambda: in_json(image=text64(b"x"), prompt=1), "prompt: expected a string"),
    ],
)
def test_fault_is_named_with_its_field(ask: Any, message: str) -> None:
    with pytest.raises(InvalidInput) as error:
        ask()
    assert error.value.message.startswith(message)


def test_other_bodies_are_refused() -> None:
    with pytest.raises(UnsupportedEncoding, match="expected multipart/form-data"):
        parse_critique(PICTURE, "text/plain", {})


def test_answer_is_one_object_or_a_list_of_them() -> None:
    response = CritiqueResponse(model_name="m", model_version="3", probabilities=(0.25, 0.5))
    first, second = (
        {"model_name": "m", "model_version": "3", "probability": value} for value in (0.25, 0.5)
    )
    assert orjson.loads(render_critique(response, many=True)) == {"results": [first, second]}
    assert orjson.loads(render_critique(response, many=False)) == first
