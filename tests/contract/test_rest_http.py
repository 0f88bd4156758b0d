"""HTTP itself: paths, methods, headers, limits; every error body is ``{"error": text}``."""

import gzip
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.fixtures import StartServer
from tests.e2e.graphs import SLOW_PBTXT, identity, slow, write_model
from tests.e2e.process import (
    ServerProcess,
    ask,
    receive,
    send_infer,
    slow_document,
    wait_until,
)
from tests.patience import TIMEOUT_S

pytestmark = pytest.mark.e2e
DOCUMENT = json.dumps(
    {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]}
)
INFER = "/v2/models/identity_fp32/infer"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v2/health/live", {"live": True}),
        ("/v2/health/started", {"started": True}),
        ("/v2/health/ready", {"ready": True}),
        ("/v2/models/fixed/ready", {"name": "fixed", "ready": True}),
        ("/v2/models/configured/versions/2/ready", {"name": "configured", "ready": True}),
    ],
)
def test_health_has_a_body_for_people(
    server: ServerProcess, path: str, body: dict[str, object]
) -> None:
    answer = server.request("GET", path)
    assert (answer.status, answer.json()) == (200, body)


@pytest.mark.parametrize("path", ["/v2", "/v2/"])
def test_server_metadata_is_found_with_and_without_slash(server: ServerProcess, path: str) -> None:
    answer = server.request("GET", path)
    assert (answer.status, answer.json()["name"]) == (200, "quartet")


@pytest.mark.parametrize(
    "path",
    [
        "/nowhere",
        "/v2/health/foo",
        "/v2/models/fixed/versions/abc",
        "/v2/models/fixed/versions/abc/infer",
        "/v2/models/fixed/versions/-1/infer",
        "/v2/models/nobody",
        "/v2/models/nobody/ready",
        "/v2/models/nobody/config",
        "/v2/models/nobody/stats",
        "/v2/models/fixed/versions/9",
        "/v2/models/fixed/versions/9/ready",
        "/v2/models/..%2f..%2fetc/ready",
    ],
)
def test_unknown_path_is_404_with_a_text(server: ServerProcess, path: str) -> None:
    answer = server.request("GET", path)
    assert answer.status == 404
    assert answer.error


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", INFER),
        ("PUT", INFER),
        ("DELETE", "/v1/classify/brightness"),
        ("GET", "/v1/classify/brightness"),
        ("POST", "/v2"),
        ("POST", "/v2/health/ready"),
        ("DELETE", "/v2/models/fixed"),
    ],
)
def test_wrong_method_is_405_with_a_text(server: ServerProcess, method: str, path: str) -> None:
    answer = server.request(method, path)
    assert answer.status == 405
    assert answer.error
    assert answer.headers["allow"] in ("POST", "GET", "GET, HEAD")


@pytest.mark.parametrize("content_type", [None, "application/json", "text/plain", "nonsense"])
def test_content_type_of_an_infer_request_does_not_matter(
    server: ServerProcess, content_type: str | None
) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    assert server.request("POST", INFER, DOCUMENT, headers).status == 200


@pytest.mark.parametrize("path", ["/v2", "/v2/health/live", "/v2/models/fixed", "/metrics"])
def test_query_is_ignored(server: ServerProcess, path: str) -> None:
    assert server.request("GET", f"{path}?a=1&b").status == 200


def test_query_of_an_infer_request_is_ignored(server: ServerProcess) -> None:
    assert server.request("POST", f"{INFER}?a=1", DOCUMENT).status == 200


def test_url_encoded_model_name_is_decoded(server: ServerProcess) -> None:
    assert server.request("GET", "/v2/models/%66ixed").json()["name"] == "fixed"
    assert server.request("POST", "/v2/models/identity%5ffp32/infer", DOCUMENT).status == 200


def test_request_id_comes_back(server: ServerProcess) -> None:
    for method, path, body in (("POST", INFER, DOCUMENT), ("POST", INFER, "{"), ("GET", "/no", "")):
        answer = server.request(method, path, body, {"X-Request-Id": "call-7"})
        assert answer.headers["x-request-id"] == "call-7"
        if answer.status >= 400:
            assert answer.json()["request_id"] == "call-7"


@pytest.mark.parametrize("offered", [None, "has spaces", "x" * 500, "a\tb"])
def test_request_id_is_made_when_none_fit_for_a_log_is_offered(
    server: ServerProcess, offered: str | None
) -> None:
    headers = {} if offered is None else {"X-Request-Id": offered}
    made = [server.request("POST", INFER, DOCUMENT, headers) for _ in range(2)]
    ids = {answer.headers["x-request-id"] for answer in made}
    assert len(ids) == 2
    assert offered not in ids


def test_request_id_of_health_and_metadata_comes_back(server: ServerProcess) -> None:
    answer = server.request("GET", "/v2", headers={"X-Request-Id": "call-8"})
    assert answer.headers["x-request-id"] == "call-8"


def test_one_connection_serves_many_requests_and_faults(server: ServerProcess) -> None:
    with server.connection() as connection:
        bodies = [DOCUMENT, "{", DOCUMENT, "", DOCUMENT]
        answers = [ask(connection, "POST", INFER, body) for body in bodies]
        ask(connection, "GET", "/nowhere")
        connected = connection.sock
        assert ask(connection, "GET", "/v2").status == 200
        assert connection.sock is connected
    assert [answer.status for answer in answers] == [200, 400, 200, 400, 200]


def test_pipelined_requests_are_answered_in_order(server: ServerProcess) -> None:
    head = f"POST {INFER} HTTP/1.1\r\nHost: h\r\nContent-Length: {len(DOCUMENT)}\r\n"
    parts = [f"{head}X-Request-Id: n{i}\r\n\r\n{DOCUMENT}" for i in range(3)]
    parts[-1] = parts[-1].replace("Host: h", "Host: h\r\nConnection: close")
    text = exchange(server, "".join(parts).encode()).decode()
    positions = [text.index(f"x-request-id: n{i}") for i in range(3)]
    assert positions == sorted(positions)
    assert text.count("HTTP/1.1 200 OK") == 3


def test_chunked_upload_is_read(server: ServerProcess) -> None:
    halves = (DOCUMENT[:20], DOCUMENT[20:])
    chunks = "".join(f"{len(half):x}\r\n{half}\r\n" for half in halves)
    head = f"POST {INFER} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
    answer = exchange(server, f"{head}Transfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"}]}")


@pytest.mark.parametrize(
    "data", [b"nonsense\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01"]
)
def test_what_is_no_http_does_not_hurt(server: ServerProcess, data: bytes) -> None:
    exchange(server, data)
    assert server.request("POST", INFER, DOCUMENT).status == 200


@pytest.fixture(scope="module")
def small_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Takes bodies of up to 4000 bytes."""
    folder = tmp_path_factory.mktemp("small")
    write_model(folder, "identity_fp32", identity("FP32"))
    process = ServerProcess(folder, "--max-body-bytes", "4000")
    try:
        yield process.wait_ready()
    finally:
        process.close()


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("path", [INFER, "/v1/classify/identity_fp32"])
def test_body_over_the_limit_is_413(small_server: ServerProcess, path: str, chunked: bool) -> None:
    with small_server.connection() as connection:
        body = iter([b" " * 3000, b" " * 3000]) if chunked else b" " * 6000
        connection.request("POST", path, body, encode_chunked=chunked)
        answer = receive(connection)
    assert answer.status == 413
    assert "4000" in answer.error


@pytest.mark.parametrize("path", [INFER, "/v1/classify/identity_fp32"])
def test_decompression_bomb_is_413(small_server: ServerProcess, path: str) -> None:
    bomb = gzip.compress(b" " * 100_000)
    assert len(bomb) < 4000
    answer = small_server.request("POST", path, bomb, {"Content-Encoding": "gzip"})
    assert answer.status == 413
    assert "4000" in answer.error
    assert small_server.request("POST", INFER, DOCUMENT).status == 200


def test_full_queue_is_429_and_says_when_to_retry(
    start_server: StartServer, tmp_path: Path, slow_steps: Callable[[float], float]
) -> None:
    write_model(tmp_path, "slow", slow(), config=SLOW_PBTXT)
    server = start_server(tmp_path, "--max-queue-rows", "1").wait_ready()
    # Long enough that a machine that is busy with other things gets to the third request in time.
    document = slow_document(slow_steps(3))
    with server.connection() as running, server.connection() as waiting:
        send_infer(running, "slow", document)
        # Else the second request might find the first one still in the queue, and it full.
        wait_until(lambda: server.metric("quartet_model_utilization") > 0, "a run of the engine")
        send_infer(waiting, "slow", document)
        wait_until(lambda: server.metric("quartet_queue_size") == 1, "a request in the queue")
        refused = server.infer_json("slow", document)
        assert [receive(connection).status for connection in (running, waiting)] == [200, 200]
    assert refused.status == 429
    assert "queue" in refused.error.lower()
    assert int(refused.headers["retry-after"]) >= 1
    assert server.metric("quartet_requests_total", outcome="rejected") == 1


def exchange(server: ServerProcess, data: bytes) -> bytes:
    """Send raw bytes and read until the server hangs up, or has nothing more to say."""
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=TIMEOUT_S) as connection:
        connection.sendall(data)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    return answer
