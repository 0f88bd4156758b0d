"""The server's parts as the tests put them together: one CPU thread, nothing but defaults."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
from prometheus_client import CollectorRegistry

from serving.effective_config import BatchingDefaults
from serving.images import ImageLimits
from serving.loaded_model import Engines
from serving.metrics import Metrics
from serving.providers import Device
from serving.repository import ModelRepository
from serving.service import InferenceService
from serving.service_parts import ServiceParts
from serving.settings import GenerationSettings, ImageGenerationSettings
from serving.text_sessions import SessionParts, make_sessions
from serving.types import DATATYPES, InferRequest, Tensor
from serving.workers import WorkerPool

DEFAULTS = BatchingDefaults(max_batch_size=8, max_queue_delay_s=0.0, max_queue_rows=16)


def make_engines(
    *,
    threads: int = 1,
    instances: int | None = None,
    defaults: BatchingDefaults = DEFAULTS,
    generation: GenerationSettings | None = None,
) -> Engines:
    """What all models of a server share; the pool is not started."""
    return Engines(
        device=Device("cpu", "asked for"),
        pool=WorkerPool(threads),
        threads=threads,
        instances=instances,
        defaults=defaults,
        metrics=Metrics(CollectorRegistry()),
        generation=generation or GenerationSettings(),
    )


@contextmanager
def running_service(
    root: Path,
    *,
    required: tuple[str, ...] = (),
    engines: Engines | None = None,
    max_images: int = 1024,
    sessions: SessionParts | None = None,
    images: ImageGenerationSettings | None = None,
) -> Iterator[tuple[InferenceService, ModelRepository, Metrics]]:
    """A service over the models of ``root``, which the caller loads. Needs a running loop."""
    engines = engines or make_engines()
    repository = ModelRepository(root, engines)
    engines.pool.start()
    with ThreadPoolExecutor(1) as image_pool:
        yield (
            InferenceService(
                ServiceParts(
                    repository=repository,
                    metrics=engines.metrics,
                    image_limits=ImageLimits(),
                    image_pool=image_pool,
                    max_images=max_images,
                    required_models=required,
                    sessions=sessions or make_sessions(),
                    image_generation=images or ImageGenerationSettings(),
                )
            ),
            repository,
            engines.metrics,
        )
    engines.pool.stop()


def infer_request(
    model: str, datatype: str = "FP32", version: str = "", **arrays: npt.ArrayLike
) -> InferRequest:
    """A request with one input for each keyword."""
    kind = DATATYPES[datatype]
    return InferRequest(
        model_name=model,
        model_version=version,
        inputs={name: Tensor(kind, np.asarray(a, kind.dtype)) for name, a in arrays.items()},
    )
