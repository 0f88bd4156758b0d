"""``/v1/images`` in this process: where files are written, faults, and clients that leave."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from serving.errors import InferenceFailed, QueueFull
from serving.rest import images
from serving.rest.app import RestApp
from serving.rest.images_form import AnswerForm
from serving.rest.images_response import MadeImages, render_images
from serving.service import InferenceService
from serving.settings import ImageGenerationSettings
from tests.fake_generation import Exchange
from tests.fake_images import SEED, FakeImages
from tests.image_models import SIDE, make_image_model
from tests.serving_parts import running_service

PATH = "/v1/images/faces"


class Server:
    """The application; its pictures need no model but for the declaration."""

    def __init__(self, service: InferenceService, app: RestApp, images: FakeImages) -> None:
        self.service = service
        self.app = app
        self.images = images

    def begin(self, query: str = "", *, path: str = PATH, method: str = "GET") -> Exchange:
        return Exchange(self.app, path, b"", query=query, method=method)

    async def ask(self, query: str = "", **more: Any) -> Exchange:
        return await self.begin(query, **more).finish()


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    make_image_model(tmp_path / "faces", goldens=False)
    with running_service(tmp_path) as (service, repository, metrics):
        await repository.load_all()
        fake = FakeImages()
        monkeypatch.setattr(service, "generate_images", fake.generate_images)
        yield Server(service, RestApp(service, metrics, max_body_bytes=1000), fake)


async def test_request_means_the_version_that_its_tag_names(server: Server) -> None:
    answer = await server.ask("seed=7&n=3")
    assert answer.status == 200
    (request,) = server.images.requests
    assert (request.model_name, request.model_version) == ("faces", "1")
    assert request.request_id == answer.headers["x-request-id"]
    assert server.images.answers[0].closed


async def test_client_that_has_the_answer_costs_nothing(server: Server) -> None:
    tag = (await server.ask("seed=7")).headers["etag"].encode()
    server.images.answers.clear()
    again = Exchange(
        server.app, PATH, b"", query="seed=7", method="GET", headers=[(b"if-none-match", tag)]
    )
    assert (await again.finish()).status == 304
    assert "content-type" not in again.headers
    assert server.images.answers == []


async def test_seed_that_was_drawn_is_told_and_not_kept(server: Server) -> None:
    answer = await server.ask("n=2")
    assert answer.headers["quartet-seed"] == str(SEED)
    assert answer.headers["cache-control"] == "no-store"
    assert "etag" not in answer.headers


@pytest.mark.parametrize("query", ["", "format=json", "n=3&format=gif", "format=npy"])
async def test_files_are_never_written_on_the_event_loop(
    server: Server, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    threads = []

    def watched(made: MadeImages, form: AnswerForm) -> bytes:
        threads.append(threading.current_thread())
        return render_images(made, form)

    monkeypatch.setattr(images, "render_images", watched)
    assert (await server.ask(query)).status == 200
    assert len(threads) == 1
    assert threads[0] is not threading.main_thread()


async def test_client_that_leaves_stops_its_pictures(server: Server) -> None:
    server.images.gate = asyncio.Semaphore(2)
    exchange = server.begin("seed=7&n=9")
    exchange.left.set()
    await exchange.finish()
    assert exchange.sent == []
    assert server.images.answers[0].closed
    assert server.images.made <= 2


async def test_pictures_that_fail_half_way_give_an_error_and_no_tag(server: Server) -> None:
    server.images.fault, server.images.fault_at = InferenceFailed("engine"), 2
    answer = await server.ask("seed=7&n=3")
    assert answer.status == 500
    assert "etag" not in answer.headers
    assert server.images.answers[0].closed


async def test_full_queue_asks_to_come_again(server: Server) -> None:
    server.images.refusal = QueueFull("too many", retry_after_s=2.0)
    answer = await server.ask("seed=7")
    assert (answer.status, answer.headers["retry-after"]) == (429, "2")


async def test_file_that_is_too_large_is_refused_before_it_is_made(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = ImageGenerationSettings(max_picture_pixels=4 * SIDE * SIDE)
    monkeypatch.setattr(server.service, "image_settings", few)
    assert (await server.ask("seed=7&n=4")).status == 200
    server.images.answers.clear()
    answer = await server.ask("seed=7&n=5&grid=5")
    assert answer.status == 400
    assert b"grid: 5 pictures of 6 x 6 make 180 pixels in one file, expected at" in answer.body
    assert server.images.answers == []


@pytest.mark.parametrize(
    ("path", "allowed"),
    [(PATH, "GET, HEAD, POST"), (f"{PATH}/critique", "POST"), ("/v1/images/generations", "POST")],
)
async def test_other_methods_are_refused_with_those_that_are(
    server: Server, path: str, allowed: str
) -> None:
    answer = await server.ask(path=path, method="PUT")
    assert (answer.status, answer.headers["allow"]) == (405, allowed)


async def test_get_ignores_a_body(server: Server) -> None:
    exchange = Exchange(server.app, PATH, {"seed": 3}, query="seed=4", method="GET")
    assert (await exchange.finish()).status == 200
    assert server.images.answers[0].seed == 4
