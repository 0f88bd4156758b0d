"""``/v1/captions`` in this process, over captions that need no model."""

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from quartet.artifact import ImageSpec
from serving.attention_picture import draw_attention
from serving.caption_types import Caption, CaptionOptions, CaptionRequest, Frame
from serving.errors import (
    InferenceFailed,
    InvalidInput,
    ModelNotFound,
    NotSupported,
    PayloadTooLarge,
    QueueFull,
)
from serving.rest.app import RestApp
from tests.fake_captions import SEED, WORDS, FakeCaptions, caption_of
from tests.fake_generation import Exchange
from tests.serving_parts import running_service

LIMIT = 64 * 1024
PATH = "/v1/captions/captioner"
PHOTO = b"\xff\xd8\xff a photo"
MADE_BY = {"model_name": "captioner", "model_version": "3"}


class Drawing:
    """Draws as the service does, over a grey picture."""

    def __init__(self) -> None:
        self.drawn: list[tuple[CaptionRequest, Caption]] = []

    async def attention_picture(self, request: CaptionRequest, caption: Caption) -> bytes:
        self.drawn.append((request, caption))
        spec = ImageSpec(height=8, width=8, mode="RGB")
        return draw_attention(Image.new("RGB", (8, 8)), caption, spec)


class Server:
    """The application over ``FakeCaptions``."""

    def __init__(self, app: RestApp, captions: FakeCaptions, drawing: Drawing) -> None:
        self.app = app
        self.captions = captions
        self.drawing = drawing

    def begin(
        self, body: bytes = PHOTO, kind: str = "image/jpeg", *, accept: str = "", query: str = ""
    ) -> Exchange:
        headers = [(b"content-type", kind.encode()), (b"x-request-id", b"my-id")]
        if accept:
            headers.append((b"accept", accept.encode()))
        return Exchange(self.app, PATH, body, headers=headers, query=query)

    async def post(self, *args: Any, **more: Any) -> Exchange:
        return await self.begin(*args, **more).finish()

    async def post_form(self, *fields: tuple[str, Any], **more: Any) -> Exchange:
        request = httpx.Request("POST", "http://server/", files=list(fields))
        return await self.post(request.read(), request.headers["content-type"], **more)

    async def post_json(self, *, accept: str = "", **document: Any) -> Exchange:
        return await self.post(json.dumps(document).encode(), "application/json", accept=accept)


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    with running_service(tmp_path) as (service, _, metrics):
        captions, drawing = FakeCaptions(), Drawing()
        monkeypatch.setattr(service, "caption", captions.caption)
        monkeypatch.setattr(service, "caption_video", captions.caption_video)
        monkeypatch.setattr(service, "attention_picture", drawing.attention_picture)
        yield Server(RestApp(service, metrics, max_body_bytes=LIMIT), captions, drawing)


def text64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def texts(result: dict[str, Any]) -> list[str]:
    return [caption["text"] for caption in result["captions"]]


async def test_picture_gets_its_captions(server: Server) -> None:
    answer = await server.post(query="captions=2&beam_width=4&beginning=a%20dog")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"] == "my-id"
    body = json.loads(answer.body)
    assert body.items() >= MADE_BY.items()
    assert texts(body) == [caption_of(0, 0).text, caption_of(0, 1).text]
    (request,) = server.captions.requests
    assert request == CaptionRequest(
        model_name="captioner",
        images=(PHOTO,),
        options=CaptionOptions(captions=2, beam_width=4, beginning="a dog"),
        client="10.0.0.9",
        request_id="my-id",
    )
    assert server.captions.answers[0].closed


async def test_version_stands_in_the_path(server: Server) -> None:
    headers = [(b"content-type", b"image/jpeg")]
    await Exchange(server.app, f"{PATH}/versions/12", PHOTO, headers=headers).finish()
    assert server.captions.requests[0].model_version == "12"
    other = await Exchange(server.app, f"{PATH}/versions/x", PHOTO, headers=headers).finish()
    assert other.status == 404


async def test_several_pictures_get_results(server: Server) -> None:
    answer = await server.post_form(("image", ("a", b"1")), ("image", ("b", b"2")))
    results = json.loads(answer.body)["results"]
    assert [texts(result) for result in results] == [[caption_of(i, 0).text] for i in range(2)]
    assert all(result.items() >= MADE_BY.items() for result in results)


async def test_seed_of_drawn_captions_is_told(server: Server) -> None:
    answer = await server.post_json(image=text64(PHOTO), temperature=0.7)
    assert json.loads(answer.body)["seed"] == SEED
    assert "seed" not in json.loads((await server.post()).body)


async def test_attention_comes_if_it_is_asked_for(server: Server) -> None:
    with_it = await server.post(query="attention=true")
    without = await server.post()
    assert b'"attention":{"rows":2,"columns":3,' in with_it.body
    assert b"attention" not in without.body


@pytest.mark.parametrize("how", ["query", "accept", "field"])
async def test_stream_gives_word_by_word_and_ends(server: Server, how: str) -> None:
    match how:
        case "query":
            answer = await server.post(query="stream=true&captions=2")
        case "accept":
            answer = await server.post(query="captions=2", accept="text/event-stream")
        case _:
            answer = await server.post_json(
                image=text64(PHOTO), captions=2, stream=True, accept="application/json"
            )
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["x-request-id"] == "my-id"
    *events, done = answer.events
    assert done == "[DONE]"
    documents = [json.loads(event) for event in events]
    assert documents[0].items() >= MADE_BY.items()
    for number in range(2):
        own = [one for one in documents if (one["image"], one["caption"]) == (0, number)]
        expected = caption_of(0, number)
        words = [one["token"]["text"] for one in own[:-1]]
        assert words == [word.text for word in expected.words]
        assert own[-1]["whole"]["text"] == expected.text
    assert server.captions.answers[0].closed


async def test_stream_gives_each_word_when_it_is_there(server: Server) -> None:
    server.captions.gate = asyncio.Semaphore(0)
    exchange = server.begin(query="stream=true")
    for count in range(1, len(WORDS) + 1):
        server.captions.gate.release()
        for _ in range(50):  # turns of the loop: more than a word takes
            await asyncio.sleep(0)
        assert len(exchange.events) == count, "nothing is held back, nothing comes early"
    server.captions.gate.release()
    assert (await exchange.finish()).events[-1] == "[DONE]"


async def test_attention_is_a_picture_on_request(server: Server) -> None:
    answer = await server.post(query="captions=2", accept="image/png")
    assert answer.status == 200
    assert answer.headers["content-type"] == "image/png"
    with Image.open(io.BytesIO(answer.body)) as picture:
        assert picture.format == "PNG"
    ((request, caption),) = server.drawing.drawn
    assert (request.images, request.model_version) == ((PHOTO,), "3")
    assert caption.text == caption_of(0, 0).text
    assert server.captions.requests[0].options == CaptionOptions(captions=2, attention=True)


async def test_likeliest_of_drawn_captions_is_drawn_over(server: Server) -> None:
    await server.post(query="captions=3&temperature=1", accept="image/png")
    ((_, caption),) = server.drawing.drawn
    best = max((caption_of(0, number) for number in range(3)), key=lambda c: c.log_probability)
    assert caption.text == best.text


async def test_picture_is_not_compressed_again(server: Server) -> None:
    headers = [(b"accept", b"image/png"), (b"accept-encoding", b"gzip")]
    answer = await Exchange(server.app, PATH, PHOTO, headers=headers).finish()
    assert "content-encoding" not in answer.headers
    assert answer.body.startswith(b"\x89PNG")


async def test_attention_picture_is_of_one_picture(server: Server) -> None:
    files: list[tuple[str, Any]] = [("image", ("a", b"1")), ("image", ("b", b"2"))]
    answer = await server.post_form(*files, accept="image/png")
    assert answer.status == 400
    assert "image/png shows one picture, got 2" in json.loads(answer.body)["error"]
    assert server.captions.answers == []


@pytest.mark.parametrize(
    ("accept", "query"),
    [
        ("text/html", ""),
        ("image/jpeg", ""),
        ("image/png", "stream=true"),
        ("text/event-stream", "stream=false"),
        ("application/json;q=0, image/gif", ""),
    ],
)
async def test_answer_that_nobody_takes_is_not_begun(
    server: Server, accept: str, query: str
) -> None:
    answer = await server.post(accept=accept, query=query)
    assert answer.status == 406
    assert "this answer can be" in json.loads(answer.body)["error"]
    assert answer.headers["x-request-id"] == "my-id"
    assert server.captions.answers == []


async def test_raw_movie_gets_captions_of_its_scenes(server: Server) -> None:
    answer = await server.post(b"movie", "video/mp4", query="captions=2&temperature=1")
    assert answer.status == 200
    body = json.loads(answer.body)
    assert {**MADE_BY, "seed": SEED, "duration_s": 4.5, "frames": 9}.items() <= body.items()
    assert [(s["start_s"], s["end_s"], s["frame_s"]) for s in body["scenes"]] == [
        (0, 2, 1),
        (2, 4.5, 3),
    ]
    assert texts(body["scenes"][1]) == [caption_of(1, 0).text, caption_of(1, 1).text]
    (video,) = server.captions.videos
    assert (video.video, video.frames, video.client) == (b"movie", (), "10.0.0.9")
    assert (video.model_name, video.request_id) == ("captioner", "my-id")


async def test_frames_get_captions_of_their_scenes(server: Server) -> None:
    frames = [{"time_s": 0.5, "image": text64(b"1")}, {"time_s": 2, "image": text64(b"2")}]
    answer = await server.post_json(frames=frames, attention=True)
    assert answer.status == 200
    assert b'"attention"' in answer.body
    assert server.captions.videos[0].frames == (Frame(0.5, b"1"), Frame(2.0, b"2"))


@pytest.mark.parametrize("accept", ["image/png", "text/event-stream"])
async def test_video_is_answered_in_json_alone(server: Server, accept: str) -> None:
    answer = await server.post(b"movie", "video/mp4", accept=accept)
    assert answer.status == 406
    assert server.captions.videos == []


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidInput("beam_width: too big"), 400),
        (PayloadTooLarge("image 0: too many pixels"), 413),
        (ModelNotFound("no such model"), 404),
        (NotSupported("captions nothing"), 501),
        (QueueFull("full", retry_after_s=2), 429),
        (InferenceFailed("broke"), 500),
    ],
)
@pytest.mark.parametrize(
    ("kind", "accept"),
    [
        ("image/jpeg", ""),
        ("image/jpeg", "text/event-stream"),
        ("image/jpeg", "image/png"),
        ("video/mp4", ""),
    ],
)
async def test_refusal_has_its_status_in_every_form(
    server: Server, error: Any, status: int, kind: str, accept: str
) -> None:
    server.captions.refusal = error
    answer = await server.post(PHOTO, kind, accept=accept)
    assert answer.status == status
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers.get("retry-after") == ("2" if status == 429 else None)
    body = json.loads(answer.body)
    assert (body["error"], body["request_id"]) == (error.message, "my-id")


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream", "image/png"])
async def test_fault_before_the_first_word_has_a_status(server: Server, accept: str) -> None:
    server.captions.fault = InferenceFailed("broke")
    answer = await server.post(accept=accept)
    assert answer.status == 500
    assert json.loads(answer.body)["error"] == "broke"
    assert server.captions.answers[0].closed


@pytest.mark.parametrize("fault", [InferenceFailed("broke"), ZeroDivisionError("secret")])
async def test_fault_in_mid_stream_is_the_last_event(server: Server, fault: Exception) -> None:
    server.captions.fault, server.captions.fault_at = fault, 2
    answer = await server.post(accept="text/event-stream")
    assert answer.status == 200
    *words, error = map(json.loads, answer.events)
    assert [word["token"]["text"] for word in words] == list(WORDS[:2])
    assert error["request_id"] == "my-id"
    assert ("broke" in error["error"]) == isinstance(fault, InferenceFailed)
    assert "secret" not in error["error"]
    assert server.captions.answers[0].closed


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream", "image/png"])
async def test_client_that_leaves_before_the_first_word_ends_its_captions(
    server: Server, accept: str
) -> None:
    server.captions.gate = asyncio.Semaphore(0)
    exchange = server.begin(accept=accept)
    exchange.left.set()
    await asyncio.wait_for(exchange.finish(), 10)
    assert exchange.sent == []
    assert all(answer.closed for answer in server.captions.answers)


async def test_client_that_leaves_in_mid_stream_ends_its_captions(server: Server) -> None:
    server.captions.gate = asyncio.Semaphore(2)
    exchange = server.begin(accept="text/event-stream")
    await exchange.arrived.wait()
    assert not server.captions.answers[0].closed
    exchange.left.set()
    await asyncio.wait_for(exchange.finish(), 10)
    assert all(answer.closed for answer in server.captions.answers)
    assert exchange.sent[-1]["more_body"], "nothing was sent behind the client's back"


async def test_body_over_the_limit_is_refused(server: Server) -> None:
    answer = await server.post(bytes(LIMIT + 1))
    assert answer.status == 413


async def test_other_methods_are_refused(server: Server) -> None:
    answer = await Exchange(server.app, PATH, b"", method="GET").finish()
    assert (answer.status, answer.headers["allow"]) == (405, "POST")


async def test_fault_of_the_request_is_named(server: Server) -> None:
    answer = await server.post(query="beam_with=3")
    assert answer.status == 400
    assert json.loads(answer.body)["error"].startswith("beam_with: unknown field; expected any of")
