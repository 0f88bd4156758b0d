"""uvicorn, embedded: our sockets, our signals, several in one event loop.

Ending without losing a request takes two steps. From ``say_goodbye`` on, answers carry
``Connection: close`` (RFC 9112, section 9.6), so that clients take their next request elsewhere.
``finish`` then takes no new connections, and answers whatever comes on those that are open: a
client that sends at this moment has not been told.
"""

import asyncio
import contextlib
import socket
import time
from collections.abc import Awaitable, Callable, Iterator

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from quartet.config import ConfigError
from serving.rest.http import Message, Receive, Scope, Send

Application = Callable[[Scope, Receive, Send], Awaitable[None]]

BACKLOG = 2048
LINGER_S = 2.0
"""Time after the goodbye for which an idle connection is kept open: its client cannot be told
before it sends something."""
POLL_S = 0.02
"""Between looks at which connections are open; nothing tells when one closes."""


class EmbeddedServer(uvicorn.Server):
    """A uvicorn server that leaves the process's signal handlers alone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do nothing: the composition root owns the signals."""
        yield


class _Parting:
    """An ASGI application whose answers end their connections, once it is told so."""

    def __init__(self, app: Application) -> None:
        self._app = app
        self.told = False

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one request; no coroutine of its own, for the sake of the fast ones."""
        return self._app(scope, receive, _closing(send) if self.told else send)


def _closing(send: Send) -> Send:
    """``send``, with the header that ends the connection."""

    async def send_last(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
        await send(message)

    return send_last


class HttpListener:
    """One ASGI application on one port."""

    def __init__(self, app: Application, *, keep_alive_s: int) -> None:
        """``app`` is an ASGI application; ``keep_alive_s`` closes idle connections."""
        self._app = _Parting(app)
        self._told_at = 0.0
        config = uvicorn.Config(
            self._app,
            interface="asgi3",
            loop="none",
            http="httptools",
            ws="none",
            lifespan="off",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            log_config=None,
            timeout_keep_alive=keep_alive_s,
            backlog=BACKLOG,
        )
        self._server = EmbeddedServer(config)
        self._task: asyncio.Task[None] | None = None
        self.port = 0

    async def start(self, host: str, port: int) -> int:
        """Listen, and return the port that was bound.

        Raises:
            ConfigError: the address cannot be listened on.
        """
        bound = bind(host, port)
        self.port = int(bound.getsockname()[1])
        self._task = asyncio.create_task(self._server.serve(sockets=[bound]))
        return self.port

    def say_goodbye(self) -> None:
        """Serve on, and ask the client of every answer to come no more on its connection."""
        self._app.told = True
        self._told_at = time.monotonic()
        for connection in self._connections():
            if not _idle(connection):
                connection.shutdown()  # once it has answered

    async def finish(self) -> None:
        """Take no new connections, and return once those that are open have nothing more to say.

        An idle one is given ``LINGER_S`` after the goodbye to send what may be under way.
        """
        if not self._server.started:
            return
        for server in self._server.servers:
            server.close()
        while connections := self._connections():
            lingered = time.monotonic() - self._told_at > LINGER_S
            if lingered and all(map(_idle, connections)):
                for connection in connections:
                    connection.shutdown()
                return
            await asyncio.sleep(POLL_S)

    def _connections(self) -> list[HttpToolsProtocol]:
        """Those that are open."""
        connections = self._server.server_state.connections
        return [c for c in connections if isinstance(c, HttpToolsProtocol)]

    async def stop(self, grace_s: float) -> None:
        """Stop listening, let requests in flight finish for up to ``grace_s`` seconds."""
        if self._task is None:
            return
        self._server.config.timeout_graceful_shutdown = max(1, round(grace_s))
        self._server.should_exit = True
        await self._task


def _idle(connection: HttpToolsProtocol) -> bool:
    """Whether no request is being read or answered."""
    cycle = getattr(connection, "cycle", None)
    return cycle is None or cycle.response_complete


def bind(host: str, port: int) -> socket.socket:
    """A bound TCP socket that may take over a port in TIME_WAIT. Raises ConfigError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        raise ConfigError(f"HTTP cannot listen on {host}:{port}: {error.strerror}") from error
    return bound
