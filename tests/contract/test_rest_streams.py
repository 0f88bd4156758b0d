"""Streams of text as bytes on the wire: heads, framing, time, and clients that leave."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.fixtures import StartServer
from tests.e2e.process import ServerProcess, wait_until
from tests.patience import TIMEOUT_S
from tests.text_models import make_text_model

pytestmark = pytest.mark.e2e
ENDLESS = 100_000
"""Symbols: more than a test could read."""
WIDE = tuple("\naä“€漢😀👩🏽‍🚀")
"""Symbols of one to four bytes."""


class RawStream:
    """A connection that has sent one request, read byte by byte."""

    def __init__(self, server: ServerProcess, path: str, document: object) -> None:
        body = json.dumps(document).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n\r\n"
        self._socket = socket.create_connection(("127.0.0.1", server.http_port), timeout=TIMEOUT_S)
        self._socket.sendall(head.encode() + body)
        self._file = self._socket.makefile("rb")

    def head(self) -> tuple[int, dict[str, str]]:
        """The status and the headers, names in lower case."""
        status = int(self._file.readline().split()[1])
        headers = {}
        while line := self._file.readline().decode().strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return status, headers

    def chunks(self) -> Iterator[bytes]:
        """The chunks of the body (RFC 9112, 7.1)."""
        while size := int(self._file.readline(), 16):
            yield self._file.read(size)
            assert self._file.readline() == b"\r\n"
        assert self._file.readline() == b"\r\n"

    def close(self) -> None:
        """Leave."""
        self._file.close()
        self._socket.close()


@pytest.fixture(scope="module")
def wide_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Serves ``wide``, whose symbols are of several bytes."""
    repository = tmp_path_factory.mktemp("wide")
    make_text_model(repository / "wide", vocabulary=tuple(dict.fromkeys(WIDE)), steps=4)
    process = ServerProcess(repository)
    try:
        yield process.wait_ready()
    finally:
        process.close()


def completion(**fields: Any) -> dict[str, Any]:
    return {"model": "tiny", "prompt": "the", "stream": True, **fields}


def active(server: ServerProcess, model: str = "tiny") -> float:
    """Texts that hold a slot."""
    return server.metric("quartet_generation_rows", state="active", model=model)


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("/v1/completions", completion()),
        ("/v2/models/tiny/generate_stream", {"text_input": "the"}),
    ],
)
def test_head_forbids_keeping_the_stream(
    text_server: ServerProcess, path: str, document: object
) -> None:
    stream = RawStream(text_server, path, document)
    status, headers = stream.head()
    assert status == 200
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert headers["cache-control"] == "no-store"
    assert headers["x-accel-buffering"] == "no"
    assert headers["transfer-encoding"] == "chunked"
    assert headers["x-request-id"]
    assert "content-encoding" not in headers
    list(stream.chunks())
    stream.close()


def test_each_chunk_is_whole_events(text_server: ServerProcess) -> None:
    stream = RawStream(text_server, "/v1/completions", completion(max_tokens=40))
    stream.head()
    chunks = list(stream.chunks())
    stream.close()
    assert len(chunks) >= 5, "40 symbols in runs of 8"
    assert all(chunk.startswith(b"data: ") and chunk.endswith(b"\n\n") for chunk in chunks)
    assert chunks[-1] == b"data: [DONE]\n\n"


def test_characters_of_several_bytes_stay_whole(wide_server: ServerProcess) -> None:
    document = completion(model="wide", prompt="a", max_tokens=400, seed=1, temperature=2)
    stream = RawStream(wide_server, "/v1/completions", document)
    stream.head()
    texts = []
    for chunk in stream.chunks():
        data = chunk.decode().removeprefix("data: ").strip()
        if data != "[DONE]":
            texts.append(json.loads(data)["choices"][0]["text"])
    stream.close()
    text = "".join(texts)
    assert len(text) == 400
    assert "�" not in text
    assert {len(character.encode()) for character in text} >= {1, 2, 3, 4}


def test_first_event_comes_while_the_text_is_written(text_server: ServerProcess) -> None:
    stream = RawStream(text_server, "/v1/completions", completion(max_tokens=ENDLESS))
    assert stream.head()[0] == 200
    assert json.loads(next(stream.chunks())[6:])["choices"][0]["finish_reason"] is None
    stream.close()
    wait_until(lambda: active(text_server) == 0, "a free slot")


@pytest.mark.parametrize("prompt", ["the", ["the", "and", "of"]])
@pytest.mark.parametrize("stream", [True, False])
def test_client_that_leaves_frees_the_slots(
    text_server: ServerProcess, prompt: object, stream: bool
) -> None:
    texts = 1 if isinstance(prompt, str) else 3
    document = completion(prompt=prompt, max_tokens=ENDLESS, stream=stream)
    connection = RawStream(text_server, "/v1/completions", document)
    wait_until(lambda: active(text_server) == texts, "texts under way")
    connection.close()
    wait_until(lambda: active(text_server) == 0, "free slots")


def test_reader_that_stands_still_holds_nobody_up(text_server: ServerProcess) -> None:
    still = RawStream(text_server, "/v1/completions", completion(max_tokens=ENDLESS))
    assert still.head()[0] == 200
    quick = RawStream(text_server, "/v1/completions", completion(max_tokens=400, seed=1))
    quick.head()
    assert list(quick.chunks())[-1] == b"data: [DONE]\n\n"
    quick.close()
    still.close()
    wait_until(lambda: active(text_server) == 0, "a free slot")


def test_connection_serves_on_behind_a_stream(text_server: ServerProcess) -> None:
    with text_server.connection() as connection:
        for _ in range(2):
            connection.request("POST", "/v1/completions", json.dumps(completion()))
            response = connection.getresponse()
            assert response.read().endswith(b"data: [DONE]\n\n")
            assert response.status == 200


def test_streams_end_before_the_server_does(start_server: StartServer, tmp_path: Path) -> None:
    make_text_model(tmp_path / "tiny", steps=8)
    server = start_server(tmp_path).wait_ready()
    stream = RawStream(server, "/v1/completions", completion(max_tokens=3000, seed=1))
    assert stream.head()[0] == 200
    chunks = stream.chunks()
    next(chunks)
    server.signal()
    assert list(chunks)[-1] == b"data: [DONE]\n\n"
    stream.close()
    assert server.wait_exit() == 0


def test_streams_that_outlast_the_drain_end_with_an_error(
    start_server: StartServer, tmp_path: Path
) -> None:
    make_text_model(tmp_path / "tiny", steps=1)
    server = start_server(tmp_path, "--drain-timeout-s", "0.2").wait_ready()
    stream = RawStream(server, "/v1/completions", completion(max_tokens=ENDLESS))
    assert stream.head()[0] == 200
    chunks = stream.chunks()
    next(chunks)
    server.signal()
    error = json.loads(list(chunks)[-1][6:])["error"]
    assert (error["type"], error["code"]) == ("server_error", "shutting_down")
    stream.close()
    assert server.wait_exit() == 0


def test_pages_of_named_origins_may_read_streams(start_server: StartServer, tmp_path: Path) -> None:
    make_text_model(tmp_path / "tiny", steps=8)
    flags = ("--cors-origins", '["https://page.example"]')
    server = start_server(tmp_path, *flags).wait_ready()
    for origin, allowed in (("https://page.example", True), ("https://other.example", False)):
        body, headers = json.dumps(completion()), {"Origin": origin}
        answer = server.request("POST", "/v1/completions", body, headers)
        assert answer.body.endswith(b"data: [DONE]\n\n")
        assert ("access-control-allow-origin" in answer.headers) is allowed
