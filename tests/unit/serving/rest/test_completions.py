"""``/v1/completions`` and ``/v1/models`` in this process, over text that needs no model."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from serving.errors import InferenceFailed, InvalidInput, ModelNotFound, NotSupported, QueueFull
from serving.rest.app import RestApp
from tests.e2e.graphs import plus, write_model
from tests.fake_generation import Exchange, FakeGeneration, written
from tests.serving_parts import running_service

LIMIT = 4096


class Server:
    """The application over ``FakeGeneration``."""

    def __init__(self, app: RestApp, text: FakeGeneration) -> None:
        self.app = app
        self.text = text

    def begin(self, **fields: Any) -> Exchange:
        return Exchange(self.app, "/v1/completions", {"model": "m", "prompt": "pr", **fields})

    async def complete(self, **fields: Any) -> Exchange:
        return await self.begin(**fields).finish()


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    write_model(tmp_path, "plus", plus(1))
    write_model(tmp_path, "plus", plus(2), version=3)
    with running_service(tmp_path) as (service, repository, metrics):
        await repository.load_all()
        text = FakeGeneration()
        monkeypatch.setattr(service, "generate", text.generate)
        yield Server(RestApp(service, metrics, max_body_bytes=LIMIT), text)


async def test_answer_is_whole_and_has_its_request_id(server: Server) -> None:
    answer = await server.complete(max_tokens=5)
    assert answer.status == 200
    body = json.loads(answer.body)
    assert body["choices"][0]["text"] == written(7, 0, 5)
    assert body["id"] == "cmpl-" + answer.headers["x-request-id"]
    assert server.text.answers[0].closed


async def test_stream_gives_the_same_text_piece_by_piece(server: Server) -> None:
    answer = await server.complete(max_tokens=9, stream=True)
    *events, done = answer.events
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert "content-length" not in answer.headers
    assert done == "[DONE]"
    choices = [json.loads(event)["choices"][0] for event in events]
    assert "".join(choice["text"] for choice in choices) == written(7, 0, 9)
    assert [choice["finish_reason"] for choice in choices] == [None, None, "length"]
    assert server.text.answers[0].closed


async def test_stream_of_several_prompts_counts_their_texts_through(server: Server) -> None:
    answer = await server.complete(prompt=["a", "b"], n=2, seed=5, max_tokens=6, stream=True)
    texts: dict[int, str] = {}
    for event in answer.events[:-1]:
        choice = json.loads(event)["choices"][0]
        texts[choice["index"]] = texts.get(choice["index"], "") + choice["text"]
    assert texts == {p * 2 + i: written(5 + p, i, 6) for p in range(2) for i in range(2)}


async def test_each_client_is_told_apart(server: Server) -> None:
    await server.complete(user="u")
    await server.complete()
    assert [request.client for request in server.text.requests] == ["u", "10.0.0.9"]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (InvalidInput("top_k: too big"), 400, None),
        (ModelNotFound("no such model"), 404, "model_not_found"),
        (NotSupported("writes no text"), 400, "not_supported"),
        (QueueFull("full", retry_after_s=2), 429, "rate_limit_exceeded"),
        (InferenceFailed("broke"), 500, None),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_refusal_has_its_status_also_for_streams(
    server: Server, error: Any, status: int, code: str | None, stream: bool
) -> None:
    server.text.refusal = error
    answer = await server.complete(stream=stream)
    assert answer.status == status
    assert json.loads(answer.body)["error"]["code"] == code
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers.get("retry-after") == ("2" if status == 429 else None)
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize("stream", [False, True])
async def test_fault_before_the_first_piece_has_a_status(server: Server, stream: bool) -> None:
    server.text.fault = InferenceFailed("broke")
    answer = await server.complete(stream=stream)
    assert answer.status == 500
    assert json.loads(answer.body)["error"]["type"] == "server_error"
    assert server.text.answers[0].closed


async def test_fault_in_mid_stream_is_the_last_event(server: Server) -> None:
    server.text.fault, server.text.fault_at = InferenceFailed("broke"), 4
    answer = await server.complete(stream=True)
    assert answer.status == 200
    first, error = answer.events
    assert json.loads(first)["choices"][0]["text"] == written(7, 0, 4)
    assert json.loads(error)["error"]["message"] == "broke"
    assert server.text.answers[0].closed


async def test_refused_prompt_closes_those_before_it(server: Server) -> None:
    server.text.refusal, server.text.refuse_from = QueueFull("full"), 2
    answer = await server.complete(prompt=["a", "b", "c"])
    assert answer.status == 429
    assert [a.closed for a in server.text.answers] == [True, True]


@pytest.mark.parametrize("prompt", ["one", ["one", "two"]])
async def test_client_that_leaves_in_mid_stream_ends_its_texts(
    server: Server, prompt: object
) -> None:
    server.text.gate = asyncio.Semaphore(2)
    exchange = server.begin(prompt=prompt, stream=True, max_tokens=1000)
    await exchange.arrived.wait()
    assert not server.text.answers[0].closed
    exchange.left.set()
    await exchange.finish()
    assert all(answer.closed for answer in server.text.answers)
    assert exchange.sent[-1]["more_body"], "nothing was sent behind the client's back"


@pytest.mark.parametrize("stream", [False, True])
async def test_client_that_leaves_before_the_first_piece_ends_its_text(
    server: Server, stream: bool
) -> None:
    server.text.gate = asyncio.Semaphore(0)
    exchange = server.begin(stream=stream)
    exchange.left.set()
    await asyncio.wait_for(exchange.finish(), 10)
    assert exchange.sent == []
    assert server.text.answers[0].closed


async def test_body_over_the_limit_is_refused(server: Server) -> None:
    answer = await server.complete(prompt="x" * LIMIT)
    assert answer.status == 413
    assert json.loads(answer.body)["error"]["type"] == "invalid_request_error"


async def test_other_methods_are_refused_in_the_form_of_the_api(server: Server) -> None:
    answer = await Exchange(server.app, "/v1/completions", b"", method="GET").finish()
    assert answer.status == 405
    assert answer.headers["allow"] == "POST"
    assert "POST" in json.loads(answer.body)["error"]["message"]


async def test_models_are_listed(server: Server) -> None:
    answer = await Exchange(server.app, "/v1/models", b"", method="GET").finish()
    body = json.loads(answer.body)
    assert body["object"] == "list"
    (model,) = body["data"]
    assert model.pop("created") > 0
    assert model == {"id": "plus", "object": "model", "owned_by": "quartet", "versions": ["3"]}


@pytest.mark.parametrize("name", ["plus", "plus:3"])
async def test_model_is_found_by_name_and_version(server: Server, name: str) -> None:
    answer = await Exchange(server.app, f"/v1/models/{name}", b"", method="GET").finish()
    assert json.loads(answer.body)["id"] == name


@pytest.mark.parametrize("name", ["nosuch", "plus:9"])
async def test_unknown_model_is_an_error_in_the_form_of_the_api(server: Server, name: str) -> None:
    answer = await Exchange(server.app, f"/v1/models/{name}", b"", method="GET").finish()
    assert answer.status == 404
    error = json.loads(answer.body)["error"]
    assert (error["code"], error["param"]) == ("model_not_found", "model")
    assert answer.headers["x-request-id"]


async def test_models_take_get_alone(server: Server) -> None:
    answer = await Exchange(server.app, "/v1/models", b"", method="POST").finish()
    assert answer.status == 405
    assert json.loads(answer.body)["error"]["type"] == "invalid_request_error"


async def preflight(app: RestApp) -> Exchange:
    headers = [
        (b"origin", b"https://page.example"),
        (b"access-control-request-method", b"POST"),
        (b"access-control-request-headers", b"content-type"),
    ]
    exchange = Exchange(app, "/v1/completions", b"", method="OPTIONS", headers=headers)
    return await exchange.finish()


async def test_pages_of_other_origins_may_not_call_by_default(server: Server) -> None:
    answer = await preflight(server.app)
    assert answer.status == 405
    assert "access-control-allow-origin" not in answer.headers


async def test_pages_of_allowed_origins_may_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_service(tmp_path) as (service, _, metrics):
        monkeypatch.setattr(service, "generate", FakeGeneration().generate)
        app = RestApp(service, metrics, max_body_bytes=LIMIT, cors_origins=["https://page.example"])
        answer = await preflight(app)
        assert answer.status == 200
        assert answer.headers["access-control-allow-origin"] == "https://page.example"
        stream = Exchange(
            app,
            "/v1/completions",
            {"model": "m", "stream": True},
            headers=[(b"origin", b"https://page.example")],
        )
        await stream.finish()
        assert stream.headers["access-control-allow-origin"] == "https://page.example"
        assert stream.events[-1] == "[DONE]"
