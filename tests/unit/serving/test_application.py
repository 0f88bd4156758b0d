"""Serving without a port, as inside a host that brings its own."""

import threading
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry

from quartet.config import ConfigError
from serving.application import Application
from serving.settings import ServerSettings
from tests.e2e.graphs import plus, write_model

ROW = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]}


@pytest.fixture
async def application(tmp_path: Path) -> AsyncIterator[Application]:
    write_model(tmp_path, "m", plus(1))
    settings = ServerSettings(model_repository=tmp_path, threads=1)
    started = Application(settings, CollectorRegistry())
    started.start()
    yield started
    started.close()


def client(application: Application) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(application.rest)
    return httpx.AsyncClient(transport=transport, base_url="http://host")


async def test_application_is_live_and_not_ready_before_its_models_are_loaded(
    application: Application,
) -> None:
    assert application.service.live()
    assert application.service.why_not_ready() == "models are loading"


async def test_application_answers_by_its_asgi_application(application: Application) -> None:
    await application.load_models()
    async with client(application) as rest:
        answer = await rest.post("/v2/models/m/infer", json=ROW)
        assert (answer.status_code, answer.json()["outputs"][0]["data"]) == (200, [2, 3])
        assert "quartet_ready 1.0" in (await rest.get("/metrics")).text


async def test_applications_of_one_process_know_nothing_of_each_other(
    application: Application, tmp_path: Path
) -> None:
    await application.load_models()
    (tmp_path / "empty").mkdir()
    settings = ServerSettings(model_repository=tmp_path / "empty")
    other = Application(settings, CollectorRegistry())
    other.start()
    await other.load_models()
    assert (application.service.model_names(), other.service.model_names()) == (["m"], [])
    other.close()
    async with client(application) as rest:
        assert (await rest.post("/v2/models/m/infer", json=ROW)).status_code == 200


async def test_close_ends_the_threads(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    application = Application(ServerSettings(model_repository=tmp_path), CollectorRegistry())
    application.start()
    assert set(threading.enumerate()) > before
    application.close()
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
    assert set(threading.enumerate()) <= before


async def test_load_models_refuses_a_folder_that_is_not_there(tmp_path: Path) -> None:
    settings = ServerSettings(model_repository=tmp_path / "gone")
    with pytest.raises(ConfigError, match="is not a folder"):
        await Application(settings, CollectorRegistry()).load_models()
