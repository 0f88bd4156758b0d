"""uvicorn, embedded: real sockets on free ports."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator

import httpx
import pytest

from quartet.config import ConfigError
from serving.http_server import HttpListener
from serving.rest.http import Receive, Reply, Scope, Send, send_reply


class Waiting:
    """Answers ``/slow`` only when told to."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.go_on = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/slow":
            self.entered.set()
            await self.go_on.wait()
        await send_reply(send, Reply(b'"done"'), "rid")


@pytest.fixture
def waiting() -> Waiting:
    return Waiting()


@contextlib.asynccontextmanager
async def listening(app: Waiting) -> AsyncIterator[tuple[HttpListener, str]]:
    """A listener and its address, stopped with the block."""
    listener = HttpListener(app, keep_alive_s=60)
    port = await listener.start("127.0.0.1", 0)
    try:
        yield listener, f"http://127.0.0.1:{port}"
    finally:
        await listener.stop(1.0)


@contextlib.asynccontextmanager
async def raw_connection(
    url: str,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A TCP connection that sends nothing by itself."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    try:
        yield reader, writer
    finally:
        writer.close()


async def test_listener_serves_on_a_free_port_and_leaves_signals_alone() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    listener = HttpListener(Waiting(), keep_alive_s=1)
    port = await listener.start("127.0.0.1", 0)
    assert port == listener.port > 0
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{port}/")
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
    await listener.stop(1.0)
    assert (answer.json(), answer.headers["x-request-id"]) == ("done", "rid")
    assert "server" not in answer.headers


async def test_stop_lets_finish_what_is_in_flight() -> None:
    app = Waiting()
    listener = HttpListener(app, keep_alive_s=1)
    port = await listener.start("127.0.0.1", 0)
    async with httpx.AsyncClient() as client:
        answer = asyncio.create_task(client.get(f"http://127.0.0.1:{port}/slow"))
        await app.entered.wait()
        stopping = asyncio.create_task(listener.stop(5.0))
        await asyncio.sleep(0)
        app.go_on.set()
        assert (await answer).status_code == 200
    await stopping


async def test_answers_end_their_connections_after_the_goodbye(waiting: Waiting) -> None:
    """Those that were in flight, too; the server goes on to serve."""
    async with listening(waiting) as (listener, url), httpx.AsyncClient() as client:
        assert "connection" not in (await client.get(url)).headers
        begun = asyncio.create_task(client.get(f"{url}/slow"))
        await waiting.entered.wait()
        listener.say_goodbye()
        waiting.go_on.set()
        for answer in (await begun, await client.get(url)):
            assert (answer.status_code, answer.headers["connection"]) == (200, "close")


async def test_finish_takes_no_new_connections_and_serves_those_that_are_open(
    waiting: Waiting,
) -> None:
    async with (
        listening(waiting) as (listener, url),
        raw_connection(url) as (reader, writer),
        httpx.AsyncClient() as client,
    ):
        begun = asyncio.create_task(client.get(f"{url}/slow"))
        await waiting.entered.wait()
        listener.say_goodbye()
        finishing = asyncio.create_task(listener.finish())
        await asyncio.sleep(0)
        with pytest.raises(OSError, match=r".*"):
            await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(b"GET / HTTP/1.1\r\nhost: here\r\n\r\n")
        answer = (await reader.read()).lower()
        assert answer.startswith(b"http/1.1 200")
        assert b"\r\nconnection: close\r\n" in answer
        assert not finishing.done()
        waiting.go_on.set()
        assert (await begun).status_code == 200
        await finishing


async def test_finish_closes_a_connection_that_stays_idle(
    waiting: Waiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.http_server.LINGER_S", 0.05)
    async with (
        listening(waiting) as (listener, url),
        raw_connection(url) as (reader, _),
        httpx.AsyncClient() as client,
    ):
        await client.get(url)  # the connection before it is known by now
        listener.say_goodbye()
        await listener.finish()
        assert await reader.read() == b""


async def test_finish_returns_when_nothing_was_started() -> None:
    await HttpListener(Waiting(), keep_alive_s=1).finish()


async def test_start_says_when_the_port_is_taken() -> None:
    """Even at once, before the first listener's task has run."""
    first, second = (HttpListener(Waiting(), keep_alive_s=1) for _ in range(2))
    port = await first.start("127.0.0.1", 0)
    try:
        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1:{port}: Address"):
            await second.start("127.0.0.1", port)
    finally:
        await first.stop(1.0)


async def test_stop_returns_when_nothing_was_started() -> None:
    await HttpListener(Waiting(), keep_alive_s=1).stop(1.0)
