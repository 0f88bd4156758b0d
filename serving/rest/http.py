"""The little of HTTP that the hot routes need, straight on ASGI.

FastAPI's routing, dependency injection and response models cost more than the inference of a small
model does (docs/decisions/002), so the routes that carry tensors and pictures go around them.
"""

import asyncio
import logging
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson

from serving.errors import (
    Cancelled,
    InvalidInput,
    MethodNotAllowed,
    PayloadTooLarge,
    ServingError,
    UnsupportedEncoding,
)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ResultT = TypeVar("ResultT")

JSON_TYPE = b"application/json"
BINARY_TYPE = b"application/octet-stream"
NOT_MODIFIED = 304

COMPRESS_FROM_BYTES = 512
"""Smaller answers gain nothing from compression."""
COMPRESS_ASIDE_BYTES = 64 * 1024
"""Larger answers are compressed on a thread: a megabyte takes some 50 ms."""
DECOMPRESS_ASIDE_BYTES = 4 * 1024
"""Larger bodies are inflated on a thread; what is smaller can become some 4 MB at most."""
WATCH_AFTER_S = 0.02
"""A request that takes longer is cancelled when its client leaves; watching sooner costs more
than the rest of a short request."""

logger = logging.getLogger("serving.http")


@dataclass(slots=True)
class Reply:
    """A complete HTTP answer."""

    body: bytes
    status: int = 200
    content_type: bytes = JSON_TYPE
    headers: tuple[tuple[bytes, bytes], ...] = ()
    compressible: bool = True
    """False: the body goes out as it is. Its validator names these very bytes, or it is dense."""


def header(scope: Scope, name: bytes) -> str | None:
    """The value of a request header, or None. ``name`` is lower-case, as ASGI gives them."""
    for key, value in scope["headers"]:
        if key == name:
            return str(value, "latin-1")
    return None


def client_host(scope: Scope) -> str:
    """Address of the host that sent the request; empty if it has none."""
    peer = scope.get("client")
    return str(peer[0]) if peer else ""


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """Read the whole body and decompress it.

    Raises:
        PayloadTooLarge: over ``limit`` bytes, before or after decompression.
        UnsupportedEncoding: a Content-Encoding other than gzip or deflate.
        InvalidInput: the compressed data are damaged.
        Cancelled: the client left.
    """
    declared = header(scope, b"content-length")
    if declared is not None and declared.isdecimal() and int(declared) > limit:
        raise _too_large(limit)
    chunks: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Cancelled("the client left while sending")
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
        more = message.get("more_body", False)
    body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    encoding = (header(scope, b"content-encoding") or "identity").strip().lower()
    if encoding == "identity":
        return body
    if len(body) <= DECOMPRESS_ASIDE_BYTES:
        return decompress(body, encoding, limit)
    return await asyncio.to_thread(decompress, body, encoding, limit)


def decompress(body: bytes, encoding: str, limit: int) -> bytes:
    """Inflate ``body``, giving up as soon as it passes ``limit`` bytes."""
    if encoding not in ("gzip", "deflate"):
        raise UnsupportedEncoding(
            f"Content-Encoding {encoding!r} is not served; expected gzip or deflate"
        )
    inflater = zlib.decompressobj(wbits=31 if encoding == "gzip" else 15)
    try:
        data = inflater.decompress(body, limit + 1)
    except zlib.error as error:
        raise InvalidInput(f"cannot decompress the {encoding} body: {error}") from error
    if len(data) > limit:
        raise _too_large(limit)
    if not inflater.eof:
        raise InvalidInput(f"cannot decompress the {encoding} body: it is truncated")
    extra = len(inflater.unused_data)
    if extra:
        raise InvalidInput(f"cannot decompress the {encoding} body: {extra} bytes follow its end")
    return data


async def compress(reply: Reply, accept: str | None) -> Reply:
    """Compress ``reply`` as the client's Accept-Encoding prefers, if it asks for it at all.

    Pictures are compressed already.
    """
    is_picture = reply.content_type.startswith(b"image/")
    fit = reply.compressible and not is_picture and len(reply.body) >= COMPRESS_FROM_BYTES
    if accept is None or not fit:
        return reply
    encoding = preferred_encoding(accept)
    if encoding == "identity":
        return reply
    wbits = 31 if encoding == "gzip" else 15
    if len(reply.body) <= COMPRESS_ASIDE_BYTES:
        reply.body = zlib.compress(reply.body, wbits=wbits)
    else:
        reply.body = await asyncio.to_thread(zlib.compress, reply.body, wbits=wbits)
    reply.headers += ((b"content-encoding", encoding.encode()), (b"vary", b"accept-encoding"))
    return reply


def preferred_encoding(accept: str) -> str:
    """The coding of highest weight among gzip, deflate and identity (RFC 9110, 12.5.3)."""
    weights: dict[str, float] = {}
    for item in accept.split(","):
        name, _, parameter = item.partition(";")
        weights[name.strip().lower()] = quality(parameter)
    best, best_weight = "identity", weights.get("identity", 0.0)
    for encoding in ("gzip", "deflate"):
        weight = weights.get(encoding, weights.get("*", 0.0))
        if weight > best_weight:
            best, best_weight = encoding, weight
    return best


def quality(parameter: str) -> float:
    """The weight of ``q=WEIGHT``; 1 of any other parameter, 0 of a malformed one."""
    key, _, value = parameter.partition("=")
    if key.strip().lower() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0


def error_reply(error: ServingError, request_id: str) -> Reply:
    """The one mapping of errors to HTTP. ``error`` stays text: clients of the protocol show it."""
    document: dict[str, object] = {"error": error.message, "request_id": request_id}
    headers: tuple[tuple[bytes, bytes], ...] = ()
    if error.retry_after_s is not None:
        document["retry_after_s"] = error.retry_after_s
        headers = ((b"retry-after", str(max(1, round(error.retry_after_s))).encode()),)
    if isinstance(error, UnsupportedEncoding):
        headers += ((b"accept-encoding", b"gzip, deflate"),)
    if isinstance(error, MethodNotAllowed):
        headers += ((b"allow", error.allowed.encode()),)
    return Reply(orjson.dumps(document), error.http_status, headers=headers)


async def send_reply(send: Send, reply: Reply, request_id: str) -> None:
    """Send ``reply`` with its length and the request id.

    To HEAD the server below sends the head alone.
    """
    headers = [(b"x-request-id", request_id.encode("latin-1")), *reply.headers]
    if reply.status != NOT_MODIFIED:  # whose length would be taken for that of the whole answer
        headers[:0] = [
            (b"content-type", reply.content_type),
            (b"content-length", b"%d" % len(reply.body)),
        ]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})


async def unless_client_leaves(receive: Receive, work: Awaitable[ResultT]) -> ResultT:
    """Await ``work``, giving it up if the client disconnects meanwhile.

    Raises:
        Cancelled: the client left.
    """
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("must run inside a task")
    watch = _DisconnectWatch(receive, task)
    try:
        return await work
    except asyncio.CancelledError:
        if watch.client_left and task.uncancel() == 0:
            raise Cancelled("the client left before its answer was ready") from None
        raise
    finally:
        watch.stop()


class _DisconnectWatch:
    """Cancels ``task`` when ``receive`` reports that the client has left."""

    def __init__(self, receive: Receive, task: "asyncio.Task[Any]") -> None:
        self.client_left = False
        self._receive = receive
        self._task = task
        self._watcher: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(WATCH_AFTER_S, self._start)

    def stop(self) -> None:
        self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()

    def _start(self) -> None:
        self._watcher = asyncio.ensure_future(self._watch())

    async def _watch(self) -> None:
        # The body has been read, so the next thing to be received is the client's leaving.
        if (await self._receive())["type"] == "http.disconnect":
            self.client_left = True
            self._task.cancel()


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"the request body is over the limit of {limit} bytes")
