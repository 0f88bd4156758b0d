"""uvicorn, embedded: real sockets on free ports."""

import asyncio
import signal

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
