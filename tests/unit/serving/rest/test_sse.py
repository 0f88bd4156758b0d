"""Streams of events: when the head goes out, what errors become, that the making always ends."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence

import pytest

from serving.errors import InferenceFailed, InvalidInput
from serving.rest.http import Message
from serving.rest.sse import EventStream, event, send_events


class Making:
    """Items, maybe ending in an error."""

    def __init__(self, items: Sequence[str], error: Exception | None = None) -> None:
        self.items = items
        self.error = error
        self.closed = 0
        self.sent: list[Message] = []

    async def _iterate(self) -> AsyncIterator[str]:
        for item in self.items:
            yield item
        if self.error is not None:
            raise self.error

    async def _close(self) -> None:
        self.closed += 1

    async def _send(self, message: Message) -> None:
        self.sent.append(message)

    async def run(self) -> None:
        stream = EventStream(
            items=self._iterate(),
            render=lambda item: event(item.encode()),
            end=lambda: b"data: end\n\n",
            error=lambda error: error.message.encode(),
            close=self._close,
        )
        await send_events(self._send, stream, "rid")

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.sent[1:])


async def test_each_item_is_sent_at_once_and_the_end_closes_the_answer() -> None:
    making = Making(["one", "zwölf"])
    await making.run()
    assert [m.get("body") for m in making.sent[1:]] == [
        b"data: one\n\n",
        "data: zwölf\n\n".encode(),
        b"data: end\n\n",
    ]
    assert [m.get("more_body", False) for m in making.sent[1:]] == [True, True, False]
    assert making.closed == 1


async def test_head_keeps_proxies_from_buffering_and_tells_the_request_id() -> None:
    making = Making(["one"])
    await making.run()
    head = making.sent[0]
    assert head["type"] == "http.response.start"
    assert head["status"] == 200
    assert dict(head["headers"]) == {
        b"content-type": b"text/event-stream; charset=utf-8",
        b"cache-control": b"no-store",
        b"x-accel-buffering": b"no",
        b"x-request-id": b"rid",
    }


@pytest.mark.parametrize("error", [InvalidInput("no"), RuntimeError("no")])
async def test_nothing_is_sent_when_it_fails_before_the_first_item(error: Exception) -> None:
    making = Making([], error)
    with pytest.raises(type(error)):
        await making.run()
    assert making.sent == []
    assert making.closed == 1


async def test_error_in_mid_stream_is_the_last_event() -> None:
    making = Making(["one"], InferenceFailed("engine broke"))
    await making.run()
    assert making.body == b"data: one\n\ndata: engine broke\n\n"
    assert not making.sent[-1].get("more_body", False)
    assert making.closed == 1


async def test_crash_in_mid_stream_is_logged_and_told_without_its_text(
    caplog: pytest.LogCaptureFixture,
) -> None:
    making = Making(["one"], RuntimeError("secret"))
    with caplog.at_level(logging.ERROR):
        await making.run()
    assert b"secret" not in making.body
    assert b"internal error" in making.body
    assert caplog.records[0].exc_info is not None
    assert making.closed == 1


async def test_stream_without_items_is_an_answer_all_the_same() -> None:
    making = Making([])
    await making.run()
    assert making.sent[0]["status"] == 200
    assert making.body == b"data: end\n\n"


async def test_slow_reader_holds_the_making_up() -> None:
    room = asyncio.Semaphore(2)
    sent: list[Message] = []
    made = 0

    async def items() -> AsyncIterator[bytes]:
        nonlocal made
        for _ in range(100):
            made += 1
            yield b"x"

    async def send(message: Message) -> None:
        await room.acquire()
        sent.append(message)

    async def close() -> None:
        return

    stream = EventStream(
        items=items(), render=event, end=lambda: b"", error=lambda error: b"", close=close
    )
    task = asyncio.ensure_future(send_events(send, stream, "rid"))
    for _ in range(10):
        await asyncio.sleep(0)
    assert made == len(sent) == 2, "the head and one event were taken, one more was made"
    for _ in range(101):
        room.release()
    await task
    assert made == 100


async def test_cancelled_stream_closes_its_answer() -> None:
    making = Making(["one"])
    never = asyncio.get_running_loop().create_future()

    async def wait_for_ever(message: Message) -> None:
        await never

    making._send = wait_for_ever  # type: ignore[method-assign]  # a client that never reads
    task = asyncio.ensure_future(making.run())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert making.closed == 1
