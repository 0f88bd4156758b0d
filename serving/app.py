"""The composition root: builds everything from settings, runs it, and drains it on SIGTERM."""

import asyncio
import gc
import logging
import signal
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import onnxruntime
import uvloop
from prometheus_client import CollectorRegistry, disable_created_metrics

from quartet import __version__
from quartet.config import ConfigError
from serving.busy_meter import STEP_S, LoopMeter
from serving.effective_config import BatchingDefaults
from serving.gpu_metrics import GpuCollector, open_nvml
from serving.grpc.server import GrpcServer
from serving.http_server import HttpListener
from serving.images import ImageLimits
from serving.layout import wait_for_folder
from serving.loaded_model import Engines
from serving.memory import memory_limit
from serving.metrics import Metrics
from serving.process_metrics import watch_process
from serving.providers import choose_device
from serving.repository import ModelRepository
from serving.rest.app import MetricsApp, RestApp
from serving.service import InferenceService
from serving.service_parts import ServiceParts
from serving.settings import ServerSettings
from serving.text_sessions import make_sessions
from serving.threads import available_cpus
from serving.workers import WorkerPool

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
        self._metrics = Metrics(registry)
        engines = build_engines(settings, self._metrics)
        self._pool = engines.pool
        self._ticking: asyncio.TimerHandle | None = None
        self._image_pool = ThreadPoolExecutor(engines.threads, thread_name_prefix="image")
        self._repository = ModelRepository(
            settings.model_repository, engines, settings.models, settings.model_name
        )
        self.service = InferenceService(
            ServiceParts(
                repository=self._repository,
                metrics=self._metrics,
                image_limits=ImageLimits(
                    max_pixels=settings.max_image_pixels, max_bytes=settings.max_body_bytes
                ),
                image_pool=self._image_pool,
                max_images=settings.max_queue_rows,
                image_generation=settings.image_generation,
                required_models=settings.required_models,
                log_requests=settings.log_requests,
                sessions=make_sessions(settings.generation),
            )
        )
        rest = RestApp(
            self.service,
            self._metrics,
            max_body_bytes=settings.max_body_bytes,
            cors_origins=settings.cors_origins,
        )
        self._http = HttpListener(rest, keep_alive_s=settings.keep_alive_s)
        self._metrics_http = HttpListener(
            MetricsApp(self._metrics), keep_alive_s=settings.keep_alive_s
        )
        self._grpc = GrpcServer(self.service, settings.grpc)

    async def start(self) -> Ports:
        """Open the ports: alive, but not ready before ``load_models``.

        Raises:
            ConfigError: a port cannot be bound.
        """
        settings = self._settings
        self._pool.start()
        self._watch_loop()
        ports = Ports(
            http=await self._http.start(settings.host, settings.http_port),
            grpc=await self._grpc.start(settings.host, settings.grpc_port),
            metrics=await self._metrics_http.start(settings.host, settings.metrics_port),
        )
        logger.info(
            "listening",
            extra={"http": ports.http, "grpc": ports.grpc, "metrics": ports.metrics},
        )
        return ports

    async def load_models(self) -> None:
        """Load the repository. Raises ConfigError if there is none."""
        started = time.monotonic()
        await wait_for_folder(self._settings.model_repository, self._settings.model_wait_s)
        await self._repository.load_all()
        # What is loaded now stays; the collector need not look at it again and again.
        gc.collect()
        gc.freeze()
        ready = self.service.ready()
        log = logger.info if ready else logger.error
        log(
            "server is ready" if ready else "server is not ready: %s",
            *([] if ready else [self.service.why_not_ready()]),
            extra={"load_s": round(time.monotonic() - started, 3)},
        )

    async def stop(self, hurry: asyncio.Event | None = None) -> None:
        """Drain: not ready at once, serve on for ``drain_delay_s``, finish, close.

        Args:
            hurry: if set, by a second signal, whatever is left is cut off.
        """
        settings = self._settings
        hurry = hurry or asyncio.Event()
        self.service.start_draining()
        self._http.say_goodbye()
        self._grpc.start_draining()
        logger.info("draining", extra={"delay_s": settings.drain_delay_s})
        await _wait(hurry, settings.drain_delay_s)
        if not await self._finish(hurry):
            logger.warning("the time to drain ran out: what is still in flight is cut off")
            self.service.refuse_new()
            self.service.close()
        await asyncio.gather(self._http.stop(CLOSING_S), self._grpc.stop(CLOSING_S))
        self.service.close()
        await self._metrics_http.stop(1.0)
        if self._ticking is not None:
            self._ticking.cancel()
        self._pool.stop()
        self._image_pool.shutdown(wait=False, cancel_futures=True)
        logger.info("stopped")

    async def _finish(self, hurry: asyncio.Event) -> bool:
        """Take no new connections and serve those that are open to their end; False if cut off."""
        timeout_s = self._settings.drain_timeout_s
        # The calls that are left are to read why, so the core must not cancel them before.
        finished: asyncio.Future[Any] = asyncio.gather(
            self._http.finish(), self._grpc.finish(timeout_s + CLOSING_S)
        )
        hurried: asyncio.Future[Any] = asyncio.ensure_future(hurry.wait())
        done, _ = await asyncio.wait(
            {finished, hurried}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
        )
        for left in (finished, hurried):
            left.cancel()
        await asyncio.gather(finished, hurried, return_exceptions=True)
        if finished not in done:
            return False
        finished.result()  # raises what went wrong, if anything did
        return True

    def _watch_loop(self) -> None:
        """Measure the thread of the loop that this is called on."""
        meter, loop = LoopMeter(), asyncio.get_running_loop()
        self._metrics.engine.watch_loop(meter)

        def tick() -> None:
            meter.tick()
            self._ticking = loop.call_later(STEP_S, tick)

        tick()


def build_engines(settings: ServerSettings, metrics: Metrics) -> Engines:
    """Choose the device and plan the threads; the plan is logged.

    Raises:
        ConfigError: the device asked for cannot be had.
    """
    device = choose_device(settings.device)
    threads = settings.threads or available_cpus()
    metrics.build_info.labels(__version__, onnxruntime.__version__, device.provider).set(1)
    metrics.memory_limit.set(memory_limit())
    watch_process(metrics.registry)
    metrics.registry.register(GpuCollector(open_nvml() if device.kind == "cuda" else None))
    pool = WorkerPool(threads)
    metrics.engine.watch_engine(pool.meter)
    logger.info(
        "device chosen",
        extra={
            "device": device.kind,
            "reason": device.reason,
            "provider": device.provider,
            "threads": threads,
            "onnxruntime": onnxruntime.__version__,
        },
    )
    return Engines(
        device=device,
        pool=pool,
        threads=threads,
        instances=settings.instances,
        defaults=BatchingDefaults(
            max_batch_size=settings.max_batch_size,
            max_queue_delay_s=settings.max_queue_delay_us / 1e6,
            gather_s=settings.gather_us / 1e6,
            max_queue_rows=settings.max_queue_rows,
        ),
        metrics=metrics,
        generation=settings.generation,
    )


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
