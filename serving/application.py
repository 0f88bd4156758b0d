"""Models, the service over them and its REST application, without a port or a signal of their own.

What a process must have to serve, whoever listens: ``app.Server``, or a host such as Ray Serve.
"""

import asyncio
import gc
import logging
import time
from concurrent.futures import ThreadPoolExecutor

import onnxruntime
from prometheus_client import CollectorRegistry

from quartet import __version__
from serving.busy_meter import STEP_S, LoopMeter
from serving.effective_config import BatchingDefaults
from serving.gpu_metrics import GpuCollector, open_nvml
from serving.images import ImageLimits
from serving.layout import wait_for_folder
from serving.loaded_model import Engines
from serving.memory import memory_limit
from serving.metrics import Metrics
from serving.process_metrics import watch_process
from serving.providers import choose_device
from serving.repository import ModelRepository
from serving.rest.app import RestApp
from serving.service import InferenceService
from serving.service_parts import ServiceParts
from serving.settings import ServerSettings
from serving.text_sessions import make_sessions
from serving.threads import available_cpus
from serving.workers import WorkerPool

logger = logging.getLogger(__name__)


class Application:
    """What is served. Several fit into one process, each on one event loop.

    Attributes:
        service: inference and readiness; knows no protocol.
        metrics: of all of it.
        rest: the ASGI application of the REST API.
    """

    def __init__(self, settings: ServerSettings, registry: CollectorRegistry) -> None:
        """Wire everything; nothing runs yet.

        Raises:
            ConfigError: the device asked for cannot be had.
        """
        self._settings = settings
        self.metrics = Metrics(registry)
        engines = build_engines(settings, self.metrics)
        self._pool = engines.pool
        self._ticking: asyncio.TimerHandle | None = None
        self._image_pool = ThreadPoolExecutor(engines.threads, thread_name_prefix="image")
        self._repository = ModelRepository(
            settings.model_repository, engines, settings.models, settings.model_name
        )
        self.service = InferenceService(
            ServiceParts(
                repository=self._repository,
                metrics=self.metrics,
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
        self.rest = RestApp(
            self.service,
            self.metrics,
            max_body_bytes=settings.max_body_bytes,
            cors_origins=settings.cors_origins,
        )

    def start(self) -> None:
        """Start the engine's threads. Call on the loop that will serve."""
        self._pool.start()
        self._watch_loop()

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

    def close(self) -> None:
        """Fail what still waits, end what still runs, and end the threads."""
        self.service.close()
        if self._ticking is not None:
            self._ticking.cancel()
        self._pool.stop()
        self._image_pool.shutdown(wait=False, cancel_futures=True)

    def _watch_loop(self) -> None:
        """Measure the thread of the loop that this is called on."""
        meter, loop = LoopMeter(), asyncio.get_running_loop()
        self.metrics.engine.watch_loop(meter)

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
