"""Bodies of requests for captions: forms, files, JSON, and what is refused."""

import base64
import io
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from serving.caption_types import CaptionOptions, Frame
from serving.errors import InvalidInput, UnsupportedEncoding
from serving.rest.caption_request import CaptionCall, CaptionSource, parse_captions

PICTURE = b"\xff\xd8\xff a picture"
MOVIE = b"\0\0\0\x18ftypmp42 a movie"
JSON = "application/json"


def text64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def form(*fields: tuple[str, Any]) -> CaptionCall:
    request = httpx.Request("POST", "http://server/", files=list(fields))
    return parse_captions(request.read(), request.headers["content-type"], {})


def parse_json(**document: Any) -> CaptionCall:
    return parse_captions(orjson.dumps(document), JSON, {})


def animation(kind: str, frames: int) -> bytes:
    buffer = io.BytesIO()
    first, *others = [Image.effect_noise((8, 8), 40) for _ in range(frames)]
    first.save(buffer, kind, save_all=True, append_images=others, duration=100)
    return buffer.getvalue()


OPTIONS: dict[str, Any] = {
    "captions": 2,
    "beam_width": 4,
    "length_penalty": 0.5,
    "min_tokens": 3,
    "max_tokens": 9,
    "temperature": 0.25,
    "top_k": 5,
    "top_p": 0.75,
    "seed": 2**53 + 1,
    "beginning": "a dog & 2 cats",
    "attention": True,
}
"""All of them; which go together is the model's business."""


def test_form_field_is_read_bit_for_bit() -> None:
    data = b"\r\n--x\r\n\0\xff"
    assert form(("image", ("a.png", data))).source == CaptionSource(images=(data,))


def test_repeated_form_fields_are_several_pictures() -> None:
    source = form(("image", ("a", b"1")), ("image", ("b", b"2"))).source
    assert source == CaptionSource(images=(b"1", b"2"), many=True)


@pytest.mark.parametrize(
    "content_type", ["image/jpeg", "IMAGE/PNG; x=1", "", "application/octet-stream", "image/gif"]
)
def test_raw_body_is_a_picture(content_type: str) -> None:
    call = parse_captions(PICTURE, content_type, {})
    assert call == CaptionCall(source=CaptionSource(images=(PICTURE,)))
    assert not call.source.is_video


@pytest.mark.parametrize("content_type", ["video/mp4", "video/quicktime", "video/mp4; codecs=x"])
def test_raw_body_of_a_video_type_is_a_video(content_type: str) -> None:
    source = parse_captions(b"anything", content_type, {}).source
    assert source == CaptionSource(video=b"anything")
    assert source.is_video


@pytest.mark.parametrize("content_type", ["", "application/octet-stream"])
def test_raw_movie_without_a_type_is_a_video(content_type: str) -> None:
    assert parse_captions(MOVIE, content_type, {}).source == CaptionSource(video=MOVIE)


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_raw_animation_is_a_video_and_one_frame_a_picture(kind: str) -> None:
    moving, still = animation(kind, 3), animation(kind, 1)
    content_type = f"image/{kind.lower()}"
    assert parse_captions(moving, content_type, {}).source == CaptionSource(video=moving)
    assert parse_captions(still, content_type, {}).source == CaptionSource(images=(still,))


def test_animation_as_a_field_is_what_the_field_says() -> None:
    data = animation("GIF", 2)
    assert form(("image", ("a.gif", data))).source == CaptionSource(images=(data,))
    assert form(("video", ("a.gif", data))).source == CaptionSource(video=data)


def test_frames_of_a_form_are_a_second_apart() -> None:
    source = form(("frame", ("a", b"1")), ("frame", ("b", b"2"))).source
    assert source == CaptionSource(frames=(Frame(0.0, b"1"), Frame(1.0, b"2")))
    assert source.is_video


def test_frames_of_a_form_may_have_times() -> None:
    source = form(
        ("time_s", (None, "0.5")),
        ("frame", ("a", b"1")),
        ("time_s", (None, "2")),
        ("frame", ("b", b"2")),
    ).source
    assert source.frames == (Frame(0.5, b"1"), Frame(2.0, b"2"))


@pytest.mark.parametrize("times", [["1"], ["1", "2", "3"]])
def test_frames_of_a_form_need_a_time_each_or_none(times: list[str]) -> None:
    frames: list[tuple[str, Any]] = [("frame", ("a", b"1")), ("frame", ("b", b"2"))]
    with pytest.raises(InvalidInput, match=f"time_s: {len(times)} times for 2 frames"):
        form(*frames, *[("time_s", (None, time)) for time in times])


def test_json_takes_a_picture_pictures_a_video_or_frames() -> None:
    one, two = text64(b"1"), "data:image/png;base64," + text64(b"2")
    assert parse_json(image=one).source == CaptionSource(images=(b"1",))
    assert parse_json(images=[one, two]).source == CaptionSource(images=(b"1", b"2"), many=True)
    assert parse_json(images=[one]).source.many
    assert parse_json(video=one).source == CaptionSource(video=b"1")
    frames = [{"time_s": 0, "image": one}, {"image": two, "time_s": 1.5}]
    expected = CaptionSource(frames=(Frame(0.0, b"1"), Frame(1.5, b"2")))
    assert parse_json(frames=frames).source == expected


def test_options_of_a_json_body_are_read() -> None:
    call = parse_json(image=text64(b"1"), stream=True, **OPTIONS)
    assert call.options == CaptionOptions(**OPTIONS)
    assert call.stream


def test_options_of_the_query_are_read() -> None:
    query = {name: orjson.dumps(value).decode() for name, value in OPTIONS.items()}
    query |= {"beginning": OPTIONS["beginning"], "stream": "false"}
    call = parse_captions(PICTURE, "image/jpeg", query)
    assert call.options == CaptionOptions(**OPTIONS)
    assert call.stream is False


def test_options_of_a_form_are_read() -> None:
    fields: list[tuple[str, Any]] = [("image", ("a", b"1"))]
    for name, value in OPTIONS.items():
        text = value if name == "beginning" else orjson.dumps(value).decode()
        fields.append((name, (None, text)))
    assert form(*fields).options == CaptionOptions(**OPTIONS)


def test_what_is_not_said_is_left_to_the_model() -> None:
    call = parse_json(image=text64(b"1"), captions=None, temperature=None, stream=None)
    assert call.options == CaptionOptions()
    assert call.stream is None


def test_option_of_the_body_wins_over_the_query() -> None:
    body = orjson.dumps({"image": text64(b"1"), "captions": 3})
    call = parse_captions(body, JSON, {"captions": "2", "beam_width": "5"})
    assert (call.options.captions, call.options.beam_width) == (3, 5)


def test_beginning_that_looks_like_a_number_stays_text() -> None:
    assert form(("image", ("a", b"1")), ("beginning", (None, "2"))).options.beginning == "2"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"captions": "two"}, "captions: expected a whole number, got the string 'two'"),
        ({"captions": "1.5"}, r"captions: expected a whole number, got the number 1\.5"),
        ({"captions": ""}, "captions: expected a whole number, got the string ''"),
        ({"captions": "9" * 40}, "captions: expected a whole number"),
        ({"captions": "null"}, "captions: expected a whole number, got null"),
        ({"temperature": "NaN"}, "temperature: expected a finite number"),
        ({"attention": "1"}, "attention: expected true or false, got the number 1"),
        ({"attention": "yes"}, "attention: expected true or false, got the string 'yes'"),
        ({"beam_with": "3"}, "beam_with: unknown field; expected any of attention, beam_width"),
        ({"image": "eA=="}, "image: unknown field"),
    ],
)
def test_fault_of_the_query_is_named(query: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        parse_captions(PICTURE, "image/jpeg", query)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ([("file", ("x", b"1"))], "file: unknown field; expected any of attention,.*image.*video"),
        ([("captions", (None, "3"))], "exactly one of 'image', 'video', 'frame', got none"),
        ([("image", ("x", b"1")), ("video", ("y", b"2"))], "got 'image' and 'video'"),
        ([("video", ("x", b"1")), ("video", ("y", b"2"))], "video: 2 fields"),
        ([("image", ("x", b""))], "0 bytes"),
        ([("video", ("x", b""))], "0 bytes"),
        ([("frame", ("x", b"")), ("frame", ("x", b"1"))], "0 bytes"),
        ([("image", (None, "dog.jpg"))], "field 'image' holds the text 'dog.jpg', not a file"),
        ([("image", ("x", b"1")), ("captions", (None, "x"))], "captions: expected a whole number"),
        ([("frame", ("x", b"1")), ("time_s", (None, "x"))], "time_s: expected a finite number"),
        ([("image", ("x", b"1")), ("time_s", (None, "1"))], "time_s: 1 times for 0 frames"),
        ([("video", ("x", b"1")), ("stream", (None, "true"))], "stream: captions of a video"),
    ],
)
def test_fault_of_a_form_is_named(fields: list[tuple[str, Any]], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        form(*fields)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "exactly one of 'image', 'images', 'video', 'frames', got none"),
        ({"image": "eA==", "images": []}, "images: expected an array of at least one"),
        ({"image": "eA==", "video": "eA=="}, "got 'image' and 'video'"),
        ({"img": "eA=="}, "img: unknown field; expected any of attention"),
        ({"image": 3}, "image: expected a base64 string, got int"),
        ({"image": "*"}, "image: not base64"),
        ({"images": ["eA==", "?"]}, r"images\[1\]: not base64"),
        ({"images": "eA=="}, "images: expected an array"),
        ({"image": ""}, "0 bytes"),
        ({"video": ""}, "0 bytes"),
        ({"frames": []}, "frames: expected an array"),
        ({"frames": ["eA=="]}, r"frames\[0\]: expected an object"),
        ({"frames": [{"image": "eA=="}]}, r"frames\[0\]: expected the keys 'time_s' and 'image'"),
        ({"frames": [{"time_s": "0", "image": "eA=="}]}, r"frames\[0\]\.time_s: expected a finite"),
        ({"frames": [{"time_s": 0, "image": "*"}]}, r"frames\[0\]\.image: not base64"),
        ({"image": "eA==", "attention": 1}, "attention: expected true or false"),
        ({"image": "eA==", "captions": "2"}, "captions: expected a whole number, got the string"),
        ({"image": "eA==", "beginning": 2}, "beginning: expected a string"),
        ({"video": "eA==", "stream": True}, "stream: captions of a video are not streamed"),
    ],
)
def test_fault_of_a_json_body_is_named(document: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        parse_captions(orjson.dumps(document), JSON, {})


@pytest.mark.parametrize(
    ("body", "content_type", "message"),
    [
        (b"", "image/jpeg", "0 bytes.*curl -F image=@"),
        (b"", "video/mp4", "0 bytes"),
        (b"", JSON, "empty request"),
        (b"[]", JSON, "must be a JSON object"),
        (b"{", JSON, "failed to parse"),
        (b"x", "multipart/form-data", "without a boundary.*curl -F image=@"),
        (b"--b\r\n\r\nhalf", "multipart/form-data; boundary=b", "before its closing boundary"),
    ],
)
def test_unreadable_body_is_refused(body: bytes, content_type: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        parse_captions(body, content_type, {})


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded"])
def test_other_media_type_is_refused(content_type: str) -> None:
    with pytest.raises(UnsupportedEncoding, match=r"image/\*, video/\*, or application/json"):
        parse_captions(PICTURE, content_type, {})


@settings(max_examples=200, deadline=None)
@given(
    body=st.binary(max_size=200) | st.binary(max_size=60).map(lambda b: b"--b\r\n" + b),
    content_type=st.sampled_from(["multipart/form-data; boundary=b", JSON]),
    query=st.dictionaries(st.sampled_from([*OPTIONS, "stream", "x"]), st.text(max_size=5)),
)
def test_any_bytes_raise_only_errors_of_the_client(
    body: bytes, content_type: str, query: dict[str, str]
) -> None:
    with pytest.raises(InvalidInput):
        parse_captions(body, content_type, query)
