import base64
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.errors import InvalidInput, UnsupportedEncoding
from serving.rest.classify import ParsedClassify, parse_classify, render_classify
from serving.rest.classify_openapi import openapi_operation
from serving.types import ClassifyResponse, Prediction

PICTURE = b"\x89PNG\r\n\x1a\n\r\n--\r\n\0\xff"
"""Bytes that would trip a sloppy multipart parser; what they show is not this module's matter."""


def form(*fields: tuple[str, Any]) -> tuple[bytes, str]:
    """A multipart body and its Content-Type, as a real client writes them."""
    request = httpx.Request("POST", "http://server/", files=list(fields))
    return request.read(), request.headers["content-type"]


def parse_json(document: object) -> ParsedClassify:
    return parse_classify(orjson.dumps(document), "application/json", {})


def text64(data: bytes = PICTURE) -> str:
    return base64.b64encode(data).decode()


def test_parse_classify_reads_a_form_field_bit_for_bit() -> None:
    body, content_type = form(("image", ("seven.png", PICTURE, "image/png")))
    parsed = parse_classify(body, content_type, {})
    assert parsed == ParsedClassify(images=(PICTURE,), top_k=5, many=False)


def test_parse_classify_reads_repeated_fields_in_order() -> None:
    body, content_type = form(("image", ("a", b"first")), ("image", ("b", b"second")))
    parsed = parse_classify(body, content_type, {})
    assert parsed.images == (b"first", b"second")
    assert parsed.many


@settings(max_examples=100, deadline=None)
@given(images=st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=5))
def test_parse_classify_returns_the_files_of_any_form(images: list[bytes]) -> None:
    body, content_type = form(*[("image", ("x", data)) for data in images])
    assert parse_classify(body, content_type, {}).images == tuple(images)


@pytest.mark.parametrize(
    "content_type", ["image/png", "image/jpeg; x=1", "application/octet-stream", ""]
)
def test_parse_classify_takes_the_raw_body_as_one_picture(content_type: str) -> None:
    parsed = parse_classify(PICTURE, content_type, {})
    assert (parsed.images, parsed.many) == ((PICTURE,), False)


@pytest.mark.parametrize(
    "text", [text64(), "data:image/png;base64," + text64(), text64()[:8] + "\n" + text64()[8:]]
)
def test_parse_classify_reads_base64(text: str) -> None:
    assert parse_json({"image": text}) == ParsedClassify(images=(PICTURE,))


def test_parse_classify_reads_a_list_of_base64() -> None:
    parsed = parse_json({"images": [text64(b"a"), text64(b"b")]})
    assert (parsed.images, parsed.many) == ((b"a", b"b"), True)


def test_parse_classify_answers_a_list_with_a_list_when_it_holds_one() -> None:
    assert parse_json({"images": [text64()]}).many


def test_parse_classify_reads_top_k_from_the_query() -> None:
    assert parse_classify(PICTURE, "image/png", {"top_k": "3"}).top_k == 3


def test_parse_classify_prefers_top_k_of_the_body() -> None:
    body, content_type = form(("image", ("x", PICTURE)), ("top_k", (None, "2")))
    assert parse_classify(body, content_type, {"top_k": "3"}).top_k == 2
    assert parse_json({"image": text64(), "top_k": 4}).top_k == 4


@pytest.mark.parametrize("top_k", ["0", "-1", "x", "1.5", "", "9" * 30, "\u0663"])
def test_parse_classify_refuses_a_top_k_that_is_no_count(top_k: str) -> None:
    with pytest.raises(InvalidInput, match="top_k: expected a whole number of at least 1"):
        parse_classify(PICTURE, "image/png", {"top_k": top_k})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ([("file", ("x", PICTURE))], "unknown form field 'file', expected 'image'"),
        ([("top_k", (None, "3"))], "no field 'image'"),
        ([("image", ("x", b""))], "0 bytes"),
        ([("image", (None, "seven.png"))], "holds the text 'seven.png', not a file"),
    ],
)
def test_parse_classify_refuses_a_form_with_a_working_curl_line(
    fields: list[tuple[str, Any]], message: str
) -> None:
    body, content_type = form(*fields)
    with pytest.raises(InvalidInput, match=message) as caught:
        parse_classify(body, content_type, {})
    assert "curl -F image=@" in caught.value.message


@pytest.mark.parametrize(
    ("body", "content_type", "message"),
    [
        (b"x", "multipart/form-data", "without a boundary"),
        (b"x", "multipart/form-data; boundary=", "without a boundary"),
        (b"not a form", "multipart/form-data; boundary=b", "malformed multipart"),
        (b"--b\r\n\r\nhalf", "multipart/form-data; boundary=b", "before its closing boundary"),
        (b"", "multipart/form-data; boundary=b", "before its closing boundary"),
        (b"x", "multipart/form-data; boundary=" + "b" * 5000, "malformed multipart"),
        (b"", "image/png", "0 bytes"),
        (b"{", "application/json", "malformed JSON"),
        (b"[]", "application/json", "JSON list, not an object"),
        (b"{}", "application/json", "exactly one of 'image' and 'images'"),
        (b'{"image":"","images":[]}', "application/json", "exactly one"),
        (b'{"img":""}', "application/json", "unknown JSON key 'img'"),
        (b'{"image":3}', "application/json", "image: expected a base64 string, got int"),
        (b'{"image":"*"}', "application/json", "image: not base64"),
        (b'{"image":""}', "application/json", "0 bytes"),
        (b'{"images":["QQ==","\xc3\xa9"]}', "application/json", r"images\[1\]: not base64"),
        (b'{"images":[]}', "application/json", "at least one"),
        (b'{"image":"data:image/png,x"}', "application/json", "data:image/TYPE;base64"),
        (b'{"image":"QQ==","top_k":true}', "application/json", "top_k"),
    ],
)
def test_parse_classify_says_what_was_expected(
    body: bytes, content_type: str, message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        parse_classify(body, content_type, {})


def test_parse_classify_refuses_another_media_type() -> None:
    with pytest.raises(UnsupportedEncoding, match=r"'text/plain'.*multipart/form-data"):
        parse_classify(PICTURE, "text/plain", {})


def test_parse_classify_refuses_more_pictures_than_allowed() -> None:
    body, content_type = form(*[("image", ("x", PICTURE))] * 3)
    with pytest.raises(InvalidInput, match="3 images in one request, at most 2"):
        parse_classify(body, content_type, {}, max_images=2)


def test_parse_classify_stops_at_too_many_fields() -> None:
    body, content_type = form(*[("top_k", (None, "1"))] * 40)
    with pytest.raises(InvalidInput, match="more than 18 form fields"):
        parse_classify(body, content_type, {}, max_images=2)


@settings(max_examples=200, deadline=None)
@given(
    body=st.binary(max_size=200) | st.binary(max_size=60).map(lambda b: b"--b\r\n" + b),
    content_type=st.sampled_from(["multipart/form-data; boundary=b", "application/json"]),
)
def test_parse_classify_raises_only_client_errors(body: bytes, content_type: str) -> None:
    with pytest.raises(InvalidInput):
        parse_classify(body, content_type, {})


def response(*rows: tuple[Prediction, ...]) -> ClassifyResponse:
    return ClassifyResponse(model_name="mnist", model_version="1", results=rows)


SEVEN = (Prediction("7", 7, 0.998), Prediction("9", 9, 0.001))
SEVEN_JSON = {
    "model_name": "mnist",
    "model_version": "1",
    "predictions": [
        {"label": "7", "index": 7, "probability": 0.998},
        {"label": "9", "index": 9, "probability": 0.001},
    ],
}


def test_render_classify_writes_one_object_for_one_picture() -> None:
    assert orjson.loads(render_classify(response(SEVEN), many=False)) == SEVEN_JSON


def test_render_classify_writes_results_for_several() -> None:
    body = render_classify(response(SEVEN, SEVEN), many=True)
    assert orjson.loads(body) == {"results": [SEVEN_JSON, SEVEN_JSON]}


def test_openapi_operation_example_is_what_render_classify_writes() -> None:
    content = openapi_operation()["responses"]["200"]["content"]["application/json"]
    assert content["examples"]["one"]["value"] == SEVEN_JSON


def test_openapi_operation_names_every_way_in() -> None:
    content = openapi_operation()["requestBody"]["content"]
    assert {"multipart/form-data", "image/*", "application/json"} <= content.keys()


def test_openapi_operation_is_built_anew_at_each_call() -> None:
    openapi_operation()["responses"].clear()
    assert "200" in openapi_operation()["responses"]
