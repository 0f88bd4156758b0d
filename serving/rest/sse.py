"""Server-sent events on bare ASGI (WHATWG HTML, section 9.2, "Server-sent events").

The head of the answer goes out with the first event, so that whatever fails before it still has an
HTTP status of its own. Each event is awaited, so that a slow reader slows its own stream alone.
"""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from serving.errors import ServingError, internal_error
from serving.rest.http import Send

EVENT_TYPE = b"text/event-stream; charset=utf-8"
DONE = b"data: [DONE]\n\n"
"""How streams of completions end."""

ItemT = TypeVar("ItemT")

logger = logging.getLogger("serving.http")


@dataclass(frozen=True, slots=True, kw_only=True)
class EventStream(Generic[ItemT]):
    """An answer that is sent while it is being made."""

    items: AsyncIterator[ItemT]
    """What the events tell; raises ServingError if its making fails."""
    render: Callable[[ItemT], bytes]
    """One item as whole events, their blank lines included."""
    end: Callable[[], bytes]
    """The events behind the last item; asked for once the items have ended."""
    error: Callable[[ServingError], bytes]
    """JSON that tells of an error in mid-stream."""
    close: Callable[[], Awaitable[None]] | None = None
    """Stops the making; called whatever happens, also if it is done. An iterator that can be closed
    is closed before."""


def event(data: bytes) -> bytes:
    """``data``, which is one line of UTF-8, as one event."""
    return b"data: " + data + b"\n\n"


async def send_events(send: Send, stream: EventStream[Any], request_id: str) -> None:
    """Send ``stream`` to its end. An error in mid-stream becomes its last event.

    Raises:
        ServingError: it failed before its first event; nothing has been sent.
    """
    started = False
    render = stream.render
    try:
        async for item in stream.items:
            if not started:
                started = True
                await send(_head(request_id))
            await send({"type": "http.response.body", "body": render(item), "more_body": True})
        tail = stream.end()
    except ServingError as error:
        if not started:
            raise
        logger.warning(
            "stream broke off: %s",
            error,
            extra={"request_id": request_id},
            exc_info=error.__cause__,
        )
        tail = event(stream.error(error))
    except Exception:
        if not started:
            raise
        logger.exception("stream crashed", extra={"request_id": request_id})
        tail = event(stream.error(internal_error(request_id)))
    finally:
        await _close(stream)
    if not started:
        await send(_head(request_id))
    await send({"type": "http.response.body", "body": tail})


async def _close(stream: EventStream[Any]) -> None:
    try:
        if isinstance(stream.items, AsyncGenerator):
            await stream.items.aclose()
    finally:
        if stream.close is not None:
            await stream.close()


def _head(request_id: str) -> dict[str, Any]:
    """The head of a stream: proxies must neither keep events back nor store them."""
    return {
        "type": "http.response.start",
        "status": 200,
        "headers": [
            (b"content-type", EVENT_TYPE),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),
            (b"x-request-id", request_id.encode("latin-1")),
        ],
    }
