import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from quartet.kit.connection import Address, connect, fetch, parse_address, request_bytes
from quartet.kit.errors import KitError

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"


@asynccontextmanager
async def answering(*answers: bytes) -> AsyncIterator[Address]:
    """A server that sends the next of ``answers`` for each read, then closes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.read(65536)
            writer.write(answer)
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield Address("127.0.0.1", server.sockets[0].getsockname()[1])


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://h:8000", Address("h", 8000)),
        ("h:8000", Address("h", 8000)),
        ("https://h", Address("h", 443, tls=True)),
        ("http://h/models/", Address("h", 80, prefix="/models")),
    ],
)
def test_address_is_read_from_a_url(url: str, expected: Address) -> None:
    assert parse_address(url) == expected


@pytest.mark.parametrize("url", ["ftp://h", "http://", "http://h:99999"])
def test_address_is_refused_when_it_is_none(url: str) -> None:
    with pytest.raises(KitError, match=f"--url {url}"):
        parse_address(url)


def test_request_goes_below_the_prefix_with_its_length() -> None:
    raw = request_bytes(Address("h", 80, prefix="/p"), "POST", "/x", b"abc", {"a": "b"})
    assert raw == b"POST /p/x HTTP/1.1\r\nhost: h:80\r\na: b\r\ncontent-length: 3\r\n\r\nabc"


async def test_connection_is_used_again() -> None:
    async with answering(OK, OK) as address:
        connection = await connect(address)
        for _ in range(2):
            assert (await connection.send(b"x")).body == b"hi"
        connection.close()


async def test_chunked_answers_are_joined() -> None:
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"
    async with answering(chunked) as address:
        assert (await fetch(address, "/")).body == b"abc"


async def test_connection_that_the_server_closes_is_no_more_usable() -> None:
    closing = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi"
    async with answering(closing) as address:
        connection = await connect(address)
        assert (await connection.send(b"x")).status == 200
        assert not connection.usable
        connection.close()


async def test_send_says_so_when_the_server_closes_before_the_answer() -> None:
    async with answering(b"") as address:
        with pytest.raises(KitError, match="closed a connection"):
            await fetch(address, "/")


async def test_send_says_so_when_the_answer_is_not_http() -> None:
    async with answering(b"SSH-2.0-x\r\n") as address:
        with pytest.raises(KitError, match=r"no HTTP/1\.1"):
            await fetch(address, "/")


async def test_error_of_an_answer_is_its_text() -> None:
    refusal = b'HTTP/1.1 503 x\r\ncontent-length: 16\r\n\r\n{"error":"full"}'
    async with answering(refusal, b"HTTP/1.1 502 x\r\ncontent-length: 3\r\n\r\nbad") as address:
        connection = await connect(address)
        assert (await connection.send(b"x")).error == "HTTP 503: full"
        answer = await connection.send(b"x")
        assert answer.error == "HTTP 502: bad"
        with pytest.raises(KitError, match="expected JSON"):
            answer.json()
        connection.close()
