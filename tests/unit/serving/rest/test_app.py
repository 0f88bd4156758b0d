"""The REST application in this process: routes, errors and what the logs say of them."""

import asyncio
import gzip
import json
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from serving.errors import DeadlineExceeded, InferenceFailed, QueueFull, ShuttingDown
from serving.metrics import Metrics
from serving.rest.app import MetricsApp, RestApp
from serving.rest.http import Message, Scope
from serving.service import InferenceService
from serving.types import InferRequest, InferResponse
from tests.e2e.graphs import identity, plus, sum_and_difference, write_model
from tests.serving_parts import running_service

Infer = Callable[[InferRequest], Awaitable[InferResponse]]
LIMIT = 4096


class Server:
    """The application over real models, and a client of it."""

    def __init__(
        self,
        service: InferenceService,
        metrics: Metrics,
        app: RestApp,
        client: httpx.AsyncClient,
    ) -> None:
        self.service = service
        self.metrics = metrics
        self.app = app
        self.client = client

    def fail_with(self, error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
        async def infer(request: InferRequest) -> InferResponse:
            raise error

        monkeypatch.setattr(self.service, "infer", infer)

    async def infer(self, model: str = "plus", **fields: Any) -> httpx.Response:
        document = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]}
        return await self.client.post(f"/v2/models/{model}/infer", json={**document, **fields})


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    write_model(tmp_path, "plus", plus(1))
    write_model(tmp_path, "two", sum_and_difference())
    write_model(tmp_path, "half", identity("FP16"))
    (write_model(tmp_path, "broken", plus(1)) / "model.onnx").write_bytes(b"no model")
    with running_service(tmp_path) as (service, repository, metrics):
        await repository.load_all()
        app = RestApp(service, metrics, max_body_bytes=LIMIT)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            yield Server(service, metrics, app, client)


async def test_infer_answers_json(server: Server) -> None:
    answer = await server.infer(id="7")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "id": "7",
        "model_name": "plus",
        "model_version": "1",
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 2], "data": [2.0, 3.0]}],
    }


async def test_infer_answers_binary_with_the_length_of_its_json(server: Server) -> None:
    answer = await server.infer(parameters={"binary_data_output": True})
    length = int(answer.headers["inference-header-content-length"])
    assert answer.headers["content-type"] == "application/octet-stream"
    assert np.frombuffer(answer.content[length:], "<f4").tolist() == [2.0, 3.0]


async def test_infer_takes_a_raw_binary_body(server: Server) -> None:
    answer = await server.client.post(
        "/v2/models/plus/versions/1/infer",
        content=np.array([1, 2], "<f4").tobytes(),
        headers={"Inference-Header-Content-Length": "0"},
    )
    length = int(answer.headers["inference-header-content-length"])
    assert np.frombuffer(answer.content[length:], "<f4").tolist() == [2.0, 3.0]


async def test_infer_ignores_the_query_and_needs_no_content_type(server: Server) -> None:
    body = b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[1,2]}]}'
    answer = await server.client.post("/v2/models/plus/infer?k=v", content=body)
    assert answer.status_code == 200


async def test_infer_takes_and_gives_compressed_bodies(server: Server) -> None:
    data = list(range(400))
    document = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [200, 2], "data": data}]}
    answer = await server.client.post(
        "/v2/models/plus/infer",
        content=gzip.compress(json.dumps(document).encode()),
        headers={"Content-Encoding": "gzip", "Accept-Encoding": "deflate"},
    )
    assert answer.status_code == 400, "200 rows are over the limit of 8"
    document["inputs"][0].update(shape=[8, 2], data=data[:16])
    answer = await server.client.post(
        "/v2/models/plus/infer",
        content=gzip.compress(json.dumps({**document, "id": "i" * 600}).encode()),
        headers={"Content-Encoding": "gzip", "Accept-Encoding": "deflate"},
    )
    assert answer.headers["content-encoding"] == "deflate"
    assert answer.json()["outputs"][0]["data"] == [float(n + 1) for n in data[:16]]


@pytest.mark.parametrize(
    ("length", "message"),
    [
        ("-1", "inference header size should be in range (0, 4), got: -1"),
        ("5", "inference header size should be in range (0, 4), got: 5"),
        ("many", "Unable to parse Inference-Header-Content-Length: 'many'"),
        ("9" * 5000, "Unable to parse Inference-Header-Content-Length"),
    ],
)
async def test_infer_refuses_a_json_length_that_cannot_be(
    server: Server, length: str, message: str
) -> None:
    answer = await server.client.post(
        "/v2/models/plus/infer",
        content=b"{  }",
        headers={"Inference-Header-Content-Length": length},
    )
    assert answer.status_code == 400
    assert message in answer.json()["error"]


@pytest.mark.parametrize("headers", [{}, {"Inference-Header-Content-Length": "0"}])
async def test_infer_refuses_an_empty_body(server: Server, headers: dict[str, str]) -> None:
    answer = await server.client.post("/v2/models/plus/infer", content=b"", headers=headers)
    assert answer.status_code == 400
    assert "empty request" in answer.json()["error"]


async def test_infer_refuses_half_precision_in_json_before_the_model_runs(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.fail_with(AssertionError("the model ran"), monkeypatch)
    blob = np.zeros(2, "<f2").tobytes()
    document = json.dumps(
        {
            "inputs": [
                {
                    "name": "x",
                    "datatype": "FP16",
                    "shape": [1, 2],
                    "parameters": {"binary_data_size": len(blob)},
                }
            ]
        }
    ).encode()
    answer = await server.client.post(
        "/v2/models/half/infer",
        content=document + blob,
        headers={"Inference-Header-Content-Length": str(len(document))},
    )
    assert answer.status_code == 400
    assert "sending FP16 data via JSON is not supported" in answer.json()["error"]


async def test_infer_refuses_bodies_over_the_limit(server: Server) -> None:
    answer = await server.client.post("/v2/models/plus/infer", content=b"x" * (LIMIT + 1))
    assert (answer.status_code, answer.json()["error"]) == (
        413,
        f"the request body is over the limit of {LIMIT} bytes",
    )


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (QueueFull("full", retry_after_s=1.0), 429),
        (DeadlineExceeded("late"), 504),
        (InferenceFailed("broken"), 500),
        (ShuttingDown("closed"), 503),
    ],
)
async def test_errors_become_statuses_with_a_text_and_the_request_id(
    server: Server, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    server.fail_with(error, monkeypatch)
    answer = await server.infer()
    document = answer.json()
    assert (answer.status_code, document["error"]) == (status, str(error))
    assert document["request_id"] == answer.headers["x-request-id"]
    assert ("retry-after" in answer.headers) == (status == 429)


async def test_crash_tells_the_client_the_request_id_and_the_log_the_reason(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server.fail_with(ZeroDivisionError("secret"), monkeypatch)
    answer = await server.infer()
    rid = answer.headers["x-request-id"]
    assert answer.status_code == 500
    assert answer.json()["error"].endswith(f"request id {rid}")
    assert "secret" not in answer.text
    (record,) = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert record.__dict__["request_id"] == rid
    assert "ZeroDivisionError: secret" in caplog.text


async def test_crash_of_a_documented_route_is_logged_under_the_request_id_it_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def crash() -> bool:
        raise ZeroDivisionError("secret")

    with running_service(tmp_path) as (service, _, metrics):
        monkeypatch.setattr(service, "live", crash)
        # As a real server does, go on after the application has raised.
        app = RestApp(service, metrics, max_body_bytes=LIMIT)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            answer = await client.get("/v2/health/live")
    rid = answer.headers["x-request-id"]
    assert answer.json()["error"].endswith(f"request id {rid}")
    assert "secret" not in answer.text
    assert rid in [record.__dict__.get("request_id") for record in caplog.records]
    assert "ZeroDivisionError: secret" in caplog.text


async def test_metrics_are_read_on_the_thread_that_raises_them(server: Server) -> None:
    read_on: list[int] = []

    def read() -> float:
        read_on.append(threading.get_ident())
        return 1.0

    server.metrics.ready.set_function(read)
    await server.client.get("/metrics")
    assert set(read_on) == {threading.get_ident()}


async def test_request_id_of_the_client_comes_back(server: Server) -> None:
    for path in ("/v2/models/plus/infer", "/v2", "/nowhere", "/v2/models/gone"):
        answer = await server.client.get(path, headers={"X-Request-Id": "mine"})
        assert answer.headers["x-request-id"] == "mine", path


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/nowhere", 404, "Not Found"),
        ("GET", "/v2/models", 404, "Not Found"),
        ("GET", "/v2/health/foo", 404, "Not Found"),
        ("GET", "/v2/models/plus/versions/abc", 404, "Not Found"),
        ("POST", "/v2/models/plus/versions/abc/infer", 404, "Not Found"),
        ("POST", "/v2/health/live", 405, "Method Not Allowed"),
        ("GET", "/v2/models/plus/infer", 405, "Method Not Allowed"),
        ("GET", "/v1/classify/plus", 405, "Method Not Allowed"),
        ("GET", "/v2/models/gone", 404, "Request for unknown model: 'gone' is not found"),
        ("GET", "/v2/models/gone/ready", 404, "unknown model: 'gone'"),
        ("GET", "/v2/models/plus/versions/9", 404, "'plus' version 9 is not found"),
        pytest.param(
            "GET", f"/v2/models/plus/versions/{'9' * 5000}", 404, "is not found", id="5000-digits"
        ),
        pytest.param(
            "POST", f"/v2/models/plus/versions/{'9' * 5000}/infer", 400, "empty", id="infer-digits"
        ),
        ("GET", "/v2/models/broken", 503, "has no available versions: version 1"),
        ("GET", "/v2/models/broken/ready", 503, "has no available versions: version 1"),
        ("POST", "/v2/models/gone/infer", 400, "empty request"),
        ("POST", "/v1/classify/gone", 400, "an image of 0 bytes"),
    ],
)
async def test_every_error_is_json_with_a_text(
    server: Server, method: str, path: str, status: int, message: str
) -> None:
    answer = await server.client.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    assert message in answer.json()["error"]
    assert ("allow" in answer.headers) == (status == 405)


async def test_infer_on_an_unknown_model_is_not_found(server: Server) -> None:
    answer = await server.infer("gone")
    assert (answer.status_code, answer.json()["error"]) == (
        404,
        "Request for unknown model: 'gone' is not found",
    )


@pytest.mark.parametrize("path", ["/v2", "/v2/"])
async def test_server_metadata_lists_the_extensions(server: Server, path: str) -> None:
    document = (await server.client.get(path)).json()
    assert document["name"] == "quartet"
    assert "binary_tensor_data" in document["extensions"]


@pytest.mark.parametrize("path", ["/v2/models/two", "/v2/models/two/versions/1"])
async def test_model_metadata_has_names_types_and_shapes(server: Server, path: str) -> None:
    document = (await server.client.get(path)).json()
    assert document["inputs"] == [
        {"name": "a", "datatype": "FP32", "shape": [-1, 2]},
        {"name": "b", "datatype": "FP32", "shape": [-1, 2]},
    ]
    assert (document["versions"], document["platform"]) == (["1"], "onnxruntime_onnx")
    assert document["properties"]["provider"] == "CPUExecutionProvider"


async def test_health_follows_the_service(server: Server) -> None:
    paths = ("/v2/health/live", "/v2/health/ready", "/v2/models/plus/ready")
    assert [(await server.client.get(path)).status_code for path in paths] == [200, 200, 200]
    server.service.start_draining()
    assert [(await server.client.get(path)).status_code for path in paths] == [200, 503, 503]
    ready = (await server.client.get("/v2/health/ready")).json()
    assert ready == {"ready": False, "error": "the server is shutting down"}


async def test_metrics_are_on_both_ports(server: Server) -> None:
    answer = await server.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'nv_inference_request_success{model="plus",version="1"} 0' in answer.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/metrics", 200),
        ("HEAD", "/metrics", 200),
        ("GET", "/", 404),
        ("POST", "/metrics", 404),
    ],
)
async def test_metrics_port_serves_metrics_alone(
    tmp_path: Path, method: str, path: str, status: int
) -> None:
    with running_service(tmp_path) as (_, _, metrics):
        transport = httpx.ASGITransport(MetricsApp(metrics))
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            assert (await client.request(method, path)).status_code == status


async def test_client_that_leaves_cancels_its_request(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancelled = asyncio.Event()

    async def infer(request: InferRequest) -> InferResponse:
        forever: asyncio.Future[InferResponse] = asyncio.get_running_loop().create_future()
        try:
            return await forever
        finally:
            cancelled.set()

    monkeypatch.setattr(server.service, "infer", infer)
    body = b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[1,2]}]}'
    messages: list[Message] = [
        {"type": "http.request", "body": body, "more_body": False},
        {"type": "http.disconnect"},
    ]
    sent: list[Message] = []

    async def receive() -> Message:
        return messages.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {
        "type": "http",
        "method": "POST",
        "path": "/v2/models/plus/infer",
        "query_string": b"",
        "headers": [],
    }
    await server.app(scope, receive, send)
    assert cancelled.is_set()
    assert sent == []


@pytest.mark.parametrize("verb", ["infer", "generate"])
async def test_service_is_told_who_sent_the_request(
    server: Server, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    seen: list[InferRequest] = []

    async def infer(request: InferRequest) -> InferResponse:
        seen.append(request)
        raise QueueFull("full")

    monkeypatch.setattr(server.service, "infer", infer)
    body = {
        "infer": {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]},
        "generate": {"x": [1, 2]},
    }
    await server.client.post(f"/v2/models/plus/{verb}", json=body[verb])
    assert [request.client for request in seen] == ["127.0.0.1"]
