"""uvicorn, embedded: our sockets, our signals, several in one event loop."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn

from quartet.config import ConfigError

BACKLOG = 2048


class EmbeddedServer(uvicorn.Server):
    """A uvicorn server that leaves the process's signal handlers alone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do nothing: the composition root owns the signals."""
        yield


class HttpListener:
    """One ASGI application on one port."""

    def __init__(self, app: Any, *, keep_alive_s: int) -> None:
        """``app`` is an ASGI application; ``keep_alive_s`` closes idle connections."""
        config = uvicorn.Config(
            app,
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

    async def stop(self, grace_s: float) -> None:
        """Stop listening, let requests in flight finish for up to ``grace_s`` seconds."""
        if self._task is None:
            return
        self._server.config.timeout_graceful_shutdown = max(1, round(grace_s))
        self._server.should_exit = True
        await self._task


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
