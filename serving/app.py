"""The composition root: builds everything from settings, runs it, and drains it on SIGTERM."""

import asyncio
import logging
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import uvloop
from prometheus_client import CollectorRegistry, disable_created_metrics

from quartet.config import ConfigError
from serving.application import Application
from serving.grpc.server import GrpcServer
from serving.http_server import HttpListener
from serving.rest.app import MetricsApp
from serving.settings import ServerSettings

logger = logging.getLogger(__name__)

CLOSING_S = 1.0
"""Time for answers to calls that were cut off, seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where a started server listens."""

    http: int
    grpc: int
    metrics: int


class Server:
    """One server: its models, its three ports and their life. Several fit into one process."""

    def __init__(self, settings: ServerSettings, registry: CollectorRegistry) -> None:
        """Wire everything; nothing is opened yet.

        Raises:
            ConfigError: the device asked for cannot be had.
        """
        self._settings = settings
        self._application = application = Application(settings, registry)
        self.service = application.service
        keep_alive_s = settings.keep_alive_s
        self._http = HttpListener(application.rest, keep_alive_s=keep_alive_s)
        self._metrics_http = HttpListener(
            MetricsApp(application.metrics), keep_alive_s=keep_alive_s
        )
        self._grpc = GrpcServer(self.service, settings.grpc)

    async def start(self) -> None:
        """Start the engine, and open the ports unless that waits for the models.

        Raises:
            ConfigError: a port cannot be bound.
        """
        self._application.start()
        if not self._settings.listen_when_loaded:
            await self._listen()

    async def load_models(self) -> None:
        """Load the repository. Raises ConfigError if there is none, or a port cannot be bound."""
        await self._application.load_models()
        if self._settings.listen_when_loaded:
            await self._listen()

    async def _listen(self) -> None:
        """Open the ports. Raises ConfigError."""
        settings = self._settings
        ports = Ports(
            http=await self._http.start(settings.host, settings.http_port),
            grpc=await self._grpc.start(settings.host, settings.grpc_port),
            metrics=await self._metrics_http.start(settings.host, settings.metrics_port),
        )
        logger.info(
            "listening",
            extra={"http": ports.http, "grpc": ports.grpc, "metrics": ports.metrics},
        )

    async def stop(self, hurry: asyncio.Event | None = None) -> None:
        """Drain: not ready at once, serve on for ``drain_delay_s``, finish, close.

        A server that is not ready gets no requests from those who ask, so there is no delay.

        Args:
            hurry: if set, by a second signal, whatever is left is cut off.
        """
        settings = self._settings
        hurry = hurry or asyncio.Event()
        delay_s = settings.drain_delay_s if self.service.ready() else 0.0
        self.service.start_draining()
        self._http.say_goodbye()
        self._grpc.start_draining()
        logger.info("draining", extra={"delay_s": delay_s})
        await _wait(hurry, delay_s)
        if not await self._finish(hurry):
            logger.warning("the time to drain ran out: what is still in flight is cut off")
            self.service.refuse_new()
            self.service.close()
        await asyncio.gather(self._http.stop(CLOSING_S), self._grpc.stop(CLOSING_S))
        await self._metrics_http.stop(1.0)
        self._application.close()
        logger.info("stopped")

    async def _finish(self, hurry: asyncio.Event) -> bool:
        """Take no new connections and serve those that are open to their end; False if cut off."""
        finished: asyncio.Future[Any] = asyncio.ensure_future(self._serve_to_the_end())
        hurried: asyncio.Future[Any] = asyncio.ensure_future(hurry.wait())
        done, _ = await asyncio.wait(
            {finished, hurried},
            timeout=self._settings.drain_timeout_s,
            return_when=asyncio.FIRST_COMPLETED,
        )
        for left in (finished, hurried):
            left.cancel()
        await asyncio.gather(finished, hurried, return_exceptions=True)
        if finished not in done:
            return False
        finished.result()  # raises what went wrong, if anything did
        return True

    async def _serve_to_the_end(self) -> None:
        # The calls that are left are to read why, so the core must not cancel them before.
        timeout_s = self._settings.drain_timeout_s + CLOSING_S
        await asyncio.gather(self._http.finish(), self._grpc.finish(timeout_s))
        await self.service.drained()  # also of what clients have left


def run(settings: ServerSettings) -> int:
    """Serve until SIGTERM or SIGINT; the exit status."""
    # Else every counter has a second line, which no dashboard reads.
    disable_created_metrics()  # type: ignore[no-untyped-call]  # it has no annotations
    try:
        uvloop.run(_serve(settings))
    except ConfigError as error:
        logger.error("cannot serve: %s", error)
        return 1
    return 0


async def _serve(settings: ServerSettings) -> None:
    stop, hurry = asyncio.Event(), asyncio.Event()
    _on_signals((signal.SIGTERM, signal.SIGINT), stop, hurry)
    server = Server(settings, CollectorRegistry())
    loading: asyncio.Task[None] | None = None
    try:
        await server.start()
        loading = asyncio.create_task(server.load_models())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({loading, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if loading.done():
            loading.result()
        await stopping
    except ConfigError:
        # Nobody was ever sent here, so nobody has to notice that it ends.
        hurry.set()
        raise
    finally:
        if loading is not None and not loading.done():
            loading.cancel()
        await server.stop(hurry)


def _on_signals(
    signals: Sequence[signal.Signals], stop: asyncio.Event, hurry: asyncio.Event
) -> None:
    """The first signal asks to stop, the second to hurry."""

    def received() -> None:
        if stop.is_set():
            hurry.set()
        stop.set()

    loop = asyncio.get_running_loop()
    for number in signals:
        loop.add_signal_handler(number, received)


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    """Wait for ``event``, at most ``timeout_s`` seconds."""
    if timeout_s > 0:
        waiting = asyncio.ensure_future(event.wait())
        await asyncio.wait({waiting}, timeout=timeout_s)
        waiting.cancel()
