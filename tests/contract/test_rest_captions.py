"""Captions over plain HTTP, from models of random weights."""

import base64
import io
import json
import math
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.caption_models import GRID, WORDS, photo
from tests.e2e.process import Answer, ServerProcess
from tests.videos import example_movie

pytestmark = pytest.mark.e2e
EYE = "/v1/captions/eye"
PHOTO, OTHER = photo(0), photo(1)


def post(
    server: ServerProcess, query: str = "", body: bytes = PHOTO, accept: str = "", path: str = EYE
) -> Answer:
    headers = {"content-type": "image/png", **({"accept": accept} if accept else {})}
    return server.request("POST", f"{path}?{query}" if query else path, body, headers)


def post_json(server: ServerProcess, document: Mapping[str, Any], path: str = EYE) -> Answer:
    headers = {"content-type": "application/json"}
    return server.request("POST", path, json.dumps(document), headers)


def post_form(server: ServerProcess, *fields: tuple[str, Any], path: str = EYE) -> Answer:
    request = httpx.Request("POST", "http://server/", files=list(fields))
    headers = {"content-type": request.headers["content-type"]}
    return server.request("POST", path, request.read(), headers)


def body_of(answer: Answer) -> dict[str, Any]:
    assert answer.status == 200, answer.body
    body: dict[str, Any] = answer.json()
    return body


def captions_of(answer: Answer) -> list[dict[str, Any]]:
    captions: list[dict[str, Any]] = body_of(answer)["captions"]
    return captions


def events_of(answer: Answer) -> list[dict[str, Any]]:
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    *blocks, done = answer.body.decode().removesuffix("\n\n").split("\n\n")
    assert done == "data: [DONE]"
    return [json.loads(block.removeprefix("data: ")) for block in blocks]


def text64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def animation(kind: str, *colours: str) -> bytes:
    """A second of each colour."""
    first, *others = [Image.new("RGB", (32, 24), colour) for colour in colours]
    stream = io.BytesIO()
    if others:
        first.save(stream, kind, save_all=True, append_images=others, duration=1000)
    else:
        first.save(stream, kind)
    return stream.getvalue()


def test_caption_has_words_and_log_probabilities(caption_server: ServerProcess) -> None:
    body = body_of(post(caption_server))
    assert body.keys() == {"model_name", "model_version", "captions"}
    assert (body["model_name"], body["model_version"]) == ("eye", "2")
    (caption,) = body["captions"]
    words = [token["text"] for token in caption["tokens"]]
    assert words
    assert set(words) <= set(WORDS)
    assert caption["text"] == " ".join(words)
    assert all(token["log_probability"] <= 0 for token in caption["tokens"])
    spoken = sum(token["log_probability"] for token in caption["tokens"])
    if caption["finish_reason"] == "stop":
        assert caption["log_probability"] < spoken, "the end counts too"
    else:
        assert caption["log_probability"] == pytest.approx(spoken, abs=1e-4)  # float32 sums


def test_every_way_in_gives_the_same_captions(caption_server: ServerProcess) -> None:
    raw = post(caption_server, "captions=2&beam_width=3").body
    options = [("captions", (None, "2")), ("beam_width", (None, "3"))]
    form = post_form(caption_server, ("image", ("a.png", PHOTO)), *options)
    fields = {"image": text64(PHOTO), "captions": 2, "beam_width": 3}
    assert raw == form.body == post_json(caption_server, fields).body
    assert b"captions" in raw


def test_several_pictures_get_the_captions_of_each(caption_server: ServerProcess) -> None:
    files = [("image", ("a", PHOTO)), ("image", ("b", OTHER))]
    results = body_of(post_form(caption_server, *files))["results"]
    alone = [body_of(post(caption_server, body=data)) for data in (PHOTO, OTHER)]
    assert [result["captions"][0]["text"] for result in results] == [
        one["captions"][0]["text"] for one in alone
    ]
    assert results[0]["captions"] != results[1]["captions"]


def test_version_stands_in_the_path(caption_server: ServerProcess) -> None:
    bodies = [body_of(post(caption_server, path=f"{EYE}/versions/{version}")) for version in (1, 2)]
    assert [body["model_version"] for body in bodies] == ["1", "2"]
    assert bodies[0]["captions"] != bodies[1]["captions"]


def test_search_gives_its_best_first(caption_server: ServerProcess) -> None:
    captions = captions_of(post(caption_server, "captions=4&beam_width=6&length_penalty=0"))
    scores = [caption["log_probability"] for caption in captions]
    assert len({caption["text"] for caption in captions}) == 4
    assert scores == sorted(scores, reverse=True)


def test_beginning_is_kept(caption_server: ServerProcess) -> None:
    for caption in captions_of(post(caption_server, "beginning=The%20DOG!&captions=2")):
        assert caption["text"].startswith("the dog")
        assert [token["text"] for token in caption["tokens"][:2]] == ["the", "dog"]


def test_drawn_captions_follow_their_seed(caption_server: ServerProcess) -> None:
    def drawn(seed: int) -> dict[str, Any]:
        return body_of(post(caption_server, f"temperature=1&captions=4&seed={seed}"))

    assert drawn(5) == drawn(5)
    assert drawn(5)["seed"] == 5
    assert drawn(5)["captions"] != drawn(6)["captions"]
    unseeded = body_of(post(caption_server, "temperature=1&captions=4"))
    assert drawn(unseeded["seed"]) == unseeded


def test_attention_of_a_word_covers_the_grid(caption_server: ServerProcess) -> None:
    (caption,) = captions_of(post(caption_server, "attention=true&beginning=a"))
    for token in caption["tokens"]:
        attention = token["attention"]
        assert (attention["rows"], attention["columns"]) == GRID
        assert len(attention["values"]) == math.prod(GRID)
        assert sum(attention["values"]) == pytest.approx(1, abs=1e-5)  # a float32 softmax


@pytest.mark.parametrize(
    "query", ["beam_width=1", "captions=3&beam_width=4", "temperature=1&seed=3"]
)
def test_stream_tells_what_the_whole_answer_does(caption_server: ServerProcess, query: str) -> None:
    whole = body_of(post(caption_server, f"{query}&attention=true"))
    events = events_of(post(caption_server, f"{query}&attention=true&stream=true"))
    first = events[0]
    assert {name: first[name] for name in whole if name != "captions"} == {
        name: value for name, value in whole.items() if name != "captions"
    }
    for number, caption in enumerate(whole["captions"]):
        own = [one for one in events if (one["image"], one["caption"]) == (0, number)]
        assert [one["token"] for one in own[:-1]] == caption["tokens"]
        assert own[-1]["whole"]["text"] == caption["text"]
        assert own[-1]["whole"]["log_probability"] == caption["log_probability"]
        assert own[-1]["whole"]["finish_reason"] == caption["finish_reason"]


def test_stream_of_several_pictures_tells_them_apart(caption_server: ServerProcess) -> None:
    fields = {"images": [text64(PHOTO), text64(OTHER)], "stream": True, "beam_width": 1}
    events = events_of(post_json(caption_server, fields))
    wholes = {event["image"]: event["whole"]["text"] for event in events if "whole" in event}
    for image, data in enumerate((PHOTO, OTHER)):
        (caption,) = captions_of(post(caption_server, "beam_width=1", data))
        assert wholes[image] == caption["text"]


def test_attention_is_drawn(caption_server: ServerProcess) -> None:
    answer = post(caption_server, "beginning=a%20red%20dog", accept="image/png")
    assert (answer.status, answer.headers["content-type"]) == (200, "image/png")
    with Image.open(io.BytesIO(answer.body)) as picture:
        assert picture.format == "PNG"
        picture.load()
        assert picture.width > 3 * 240, "the photo and at least three words"


def test_model_without_attention_captions_but_shows_none(caption_server: ServerProcess) -> None:
    path = "/v1/captions/blind"
    assert captions_of(post(caption_server, path=path))[0]["tokens"]
    for query, accept in (("attention=true", ""), ("", "image/png")):
        answer = post(caption_server, query, accept=accept, path=path)
        assert answer.status == 400
        assert "attention: model 'blind' has none" in answer.error


@pytest.mark.parametrize("kind", ["gif", "webp"])
def test_raw_animation_is_captioned_by_scenes(caption_server: ServerProcess, kind: str) -> None:
    data = animation(kind, "black", "white")
    headers = {"content-type": f"image/{kind}"}
    body = body_of(caption_server.request("POST", f"{EYE}?captions=2", data, headers))
    assert body["duration_s"] == pytest.approx(2.0)
    assert [(s["start_s"], s["end_s"]) for s in body["scenes"]] == [(0, 1), (1, 2)]
    assert all(len(scene["captions"]) == 2 for scene in body["scenes"])
    still = caption_server.request("POST", EYE, animation(kind, "black"), headers)
    assert "scenes" not in body_of(still), "one frame is a picture"


@pytest.mark.parametrize("content_type", ["video/mp4", "application/octet-stream"])
def test_raw_movie_is_captioned_by_scenes(caption_server: ServerProcess, content_type: str) -> None:
    headers = {"content-type": content_type}
    body = body_of(caption_server.request("POST", EYE, example_movie(), headers))
    assert body["duration_s"] == pytest.approx(3, abs=0.2)  # the last frame's end is a guess
    starts = [scene["start_s"] for scene in body["scenes"]]
    assert starts == pytest.approx([0, 1, 2], abs=0.5)  # two frames a second are looked at
    assert all(s["start_s"] <= s["frame_s"] <= s["end_s"] for s in body["scenes"])


def test_animation_is_a_video_or_a_picture_by_its_field(caption_server: ServerProcess) -> None:
    file = ("a.gif", animation("gif", "black", "white"))
    assert len(body_of(post_form(caption_server, ("video", file)))["scenes"]) == 2
    first = post(caption_server, body=animation("gif", "black"))
    assert captions_of(post_form(caption_server, ("image", file))) == captions_of(first)


def test_frames_are_captioned_by_scenes(caption_server: ServerProcess) -> None:
    files = [animation("png", colour) for colour in ("black", "black", "white")]
    frames = [{"time_s": 0.5 + place, "image": text64(data)} for place, data in enumerate(files)]
    body = body_of(post_json(caption_server, {"frames": frames, "attention": True}))
    assert body["frames"] == 3
    assert [scene["start_s"] for scene in body["scenes"]] == [0.5, 2.5]
    assert body["scenes"][0]["captions"][0]["tokens"][0]["attention"]
    form = post_form(caption_server, *[("frame", ("f", data)) for data in files])
    assert [scene["start_s"] for scene in body_of(form)["scenes"]] == [0, 2]


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/v1/captions/nobody", 404, "'nobody' is not found"),
        (f"{EYE}/versions/9", 404, "9"),
        ("/v1/captions/plus", 501, "does not caption pictures"),
    ],
)
@pytest.mark.parametrize("accept", ["", "text/event-stream", "image/png"])
def test_model_that_cannot_is_refused(
    caption_server: ServerProcess, path: str, status: int, text: str, accept: str
) -> None:
    answer = post(caption_server, accept=accept, path=path)
    assert answer.status == status
    assert text in answer.error


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("beam_width=9999", "beam_width: expected 1 to"),
        ("captions=3&beam_width=2", "captions: expected at most beam_width"),
        ("beginning=zebra", "beginning: the model does not know the word 'zebra'"),
        ("temperature=1&beam_width=2", "beam_width: captions of a temperature are drawn"),
        ("top_k=2", "top_k: has no effect on a beam search"),
        ("max_tokens=0", "max_tokens: expected"),
        ("temprature=1", "temprature: unknown field"),
    ],
)
@pytest.mark.parametrize("stream", ["true", "false"])
def test_fault_of_an_option_is_named(
    caption_server: ServerProcess, query: str, text: str, stream: str
) -> None:
    answer = post(caption_server, f"{query}&stream={stream}")
    assert answer.status == 400
    assert answer.error.startswith(text)


def test_damaged_picture_is_named(caption_server: ServerProcess) -> None:
    alone = post(caption_server, body=PHOTO[:60])
    assert alone.status == 400
    assert "damaged or truncated PNG" in alone.error
    files = [("image", ("a", PHOTO)), ("image", ("b", b"no picture"))]
    among = post_form(caption_server, *files)
    assert among.status == 400
    assert "image 2 of 2: not an image" in among.error


def test_damaged_video_is_refused(caption_server: ServerProcess) -> None:
    headers = {"content-type": "video/mp4"}
    answer = caption_server.request("POST", EYE, b"\0\0\0\x18ftypmp42" + bytes(100), headers)
    assert answer.status == 400
    assert "video" in answer.error


def test_other_media_types_are_refused(caption_server: ServerProcess) -> None:
    headers = {"content-type": "text/plain"}
    assert caption_server.request("POST", EYE, b"a dog", headers).status == 415
    answer = post(caption_server, accept="text/html")
    assert answer.status == 406
    assert "application/json or image/png or text/event-stream" in answer.error


def test_requests_are_counted_by_their_outcome(caption_server: ServerProcess) -> None:
    def count(outcome: str) -> float:
        return caption_server.metric(
            "quartet_requests_total", model="eye", protocol="http", outcome=outcome
        )

    post(caption_server)
    post(caption_server, "beam_width=9999")
    done, refused = count("ok"), count("invalid")
    post(caption_server, "stream=true")
    post(caption_server, accept="image/png")
    post(caption_server, "beam_width=9999")
    assert (count("ok"), count("invalid")) == (done + 2, refused + 1)
