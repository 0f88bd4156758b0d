"""The load generator's HTTP/1.1 connection: one request at a time, kept open between them.

Requests are whole messages made beforehand, so that little but the server's work is timed.
"""

import asyncio
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

import httptools

from quartet.kit.errors import KitError

CONNECT_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 120.0
"""Of one request; a server that takes longer is not worth a load test of tens of seconds."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where the server listens."""

    host: str
    port: int
    tls: bool = False
    prefix: str = ""
    """Path before the server's own, without a slash at the end."""

    def url(self, path: str) -> str:
        """The URL of ``path`` on it."""
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}{self.prefix}{path}"


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, read to its end."""

    status: int
    body: bytes

    def json(self) -> Any:
        """The body as JSON. Raises KitError where it is none: that is no Quartet server."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise KitError(f"expected JSON from the server, got {self.body[:80]!r}") from None

    @property
    def error(self) -> str:
        """What an error answer says, in short."""
        try:
            text = json.loads(self.body)["error"]
        except (ValueError, TypeError, KeyError):
            text = self.body[:200].decode(errors="replace")
        return f"HTTP {self.status}: {text}"


def parse_address(url: str) -> Address:
    """Read ``http://host:port/prefix``. Raises KitError for anything else."""
    parts = urlsplit(url if "//" in url else f"http://{url}")
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise KitError(f"--url {url}: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise KitError(f"--url {url}: expected http://HOST:PORT or https://HOST:PORT")
    return Address(parts.hostname, port, parts.scheme == "https", parts.path.rstrip("/"))


def request_bytes(
    address: Address,
    method: str,
    path: str,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """A whole HTTP/1.1 request for ``path``, which is already escaped."""
    lines = [
        f"{method} {address.prefix}{path} HTTP/1.1",
        f"host: {address.host}:{address.port}",
        *(f"{name}: {value}" for name, value in (headers or {}).items()),
    ]
    if body or method == "POST":
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


class Connection(asyncio.Protocol):
    """One connection. Not for several tasks at once."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[Answer] | None = None
        self._parts: list[bytes] = []
        self._closed = False

    async def send(self, request: bytes) -> Answer:
        """Send and wait for the whole answer.

        Raises:
            KitError: the connection broke, or the answer took longer than ``ANSWER_TIMEOUT_S``.
        """
        if self._transport is None or self._closed:
            raise KitError("the server closed a connection")
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Answer] = loop.create_future()
        self._waiter = waiter
        timer = loop.call_later(ANSWER_TIMEOUT_S, self._fail, f"no answer in {ANSWER_TIMEOUT_S} s")
        self._transport.write(request)
        try:
            return await waiter
        finally:
            timer.cancel()

    def close(self) -> None:
        """Close it; an answer that is due is given up."""
        self._closed = True
        if self._transport is not None:
            self._transport.abort()

    @property
    def usable(self) -> bool:
        """Whether another request can be sent."""
        return self._transport is not None and not self._closed

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # That of uvloop has another base class.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(f"the answer is no HTTP/1.1: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who waits."""
        self._closed = True
        self._fail("the server closed a connection")

    # Called by the parser.

    def on_message_begin(self) -> None:
        """Forget the answer before."""
        self._parts = []

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body."""
        self._parts.append(body)

    def on_message_complete(self) -> None:
        """Hand the answer over."""
        if not self._parser.should_keep_alive():
            self._closed = True
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(Answer(self._parser.get_status_code(), b"".join(self._parts)))

    def _fail(self, reason: str) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            self._closed = True
            waiter.set_exception(KitError(reason))


async def connect(address: Address) -> Connection:
    """Open a connection. Raises KitError saying why there is none."""
    loop = asyncio.get_running_loop()
    context = ssl.create_default_context() if address.tls else None
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            _, connection = await loop.create_connection(
                Connection, address.host, address.port, ssl=context
            )
    except (OSError, TimeoutError) as error:
        reason = str(error) or f"no connection in {CONNECT_TIMEOUT_S} s"
        raise KitError(f"no server at {address.url('/')}: {reason}") from error
    return connection


async def fetch(address: Address, path: str) -> Answer:
    """GET ``path`` on a connection of its own."""
    connection = await connect(address)
    try:
        return await connection.send(request_bytes(address, "GET", path))
    finally:
        connection.close()
