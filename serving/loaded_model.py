"""A model version that is ready to serve, and what all of them share."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from serving.effective_config import BatchingDefaults, EffectiveConfig
from serving.errors import NotSupported
from serving.metrics import Metrics, ModelMetrics
from serving.pb.inference import model_config_pb2 as pb
from serving.providers import Device
from serving.request_check import RequestChecker
from serving.scheduler import Scheduler
from serving.session import Interrupter
from serving.settings import GenerationSettings
from serving.tasks.captioning import Captioner
from serving.tasks.image_classification import ImageClassifier
from serving.tasks.image_generation import ImageGenerator
from serving.tasks.text_generation import TextGenerator
from serving.workers import WorkerPool


@dataclass(frozen=True, slots=True, kw_only=True)
class Engines:
    """What all models of a server share."""

    device: Device
    pool: WorkerPool
    threads: int
    """Engine threads of the server."""
    instances: int | None
    """Batches of one model at once where the model is silent; None: one a thread."""
    defaults: BatchingDefaults
    metrics: Metrics
    generation: GenerationSettings = field(default_factory=GenerationSettings)
    """Of models that write text."""
    interrupter: Interrupter = field(default_factory=Interrupter)
    """Ends what runs, also in models that are not ready yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """One version that is ready to serve."""

    name: str
    version: int
    config: EffectiveConfig
    checker: RequestChecker | None = None
    """Of a model that takes tensors; so is the scheduler."""
    scheduler: Scheduler | None = None
    classifier: ImageClassifier | None = None
    """Turns pictures into tensors and scores into labels, if the model declares how."""
    generator: TextGenerator | None = None
    """Of a model that writes text."""
    captioner: Captioner | None = None
    """Of a model that says what pictures show."""
    image_generator: ImageGenerator | None = None
    """Of a model that makes pictures, which takes tensors, too."""
    parts: Mapping[str, "LoadedModel"] = field(default_factory=dict)
    """Graphs that are models of tensors of their own, by what follows the model's name and a dot.
    They live, and are drained and closed, with it."""
    drain: Callable[[], Awaitable[None]]
    """Waits until nothing is queued or running."""
    close: Callable[[], None]
    """Fails what still waits and refuses new work."""
    interrupt: Callable[[], None]
    """Ends what runs, and whatever would still run."""
    metrics: ModelMetrics
    provider: str
    """The execution provider that really runs."""
    properties: dict[str, str]
    """Facts for the model's metadata."""
    message: pb.ModelConfig
    """The effective configuration, for clients."""

    @property
    def task(self) -> str | None:
        """What the model is for, if it is known."""
        solver = self.generator or self.captioner or self.image_generator or self.classifier
        return solver.task.task if solver else None

    def tensors(self) -> tuple[RequestChecker, Scheduler]:
        """How a request of tensors is checked and run.

        Raises:
            NotSupported: the model writes text or captions.
        """
        if self.checker is not None and self.scheduler is not None:
            return self.checker, self.scheduler
        if self.parts:
            names = ", ".join(f"{self.name}.{part}" for part in self.parts)
            raise NotSupported(
                f"model {self.name!r} takes pictures, no tensors of a graph; its graphs are {names}"
            )
        raise NotSupported(f"model {self.name!r} takes text, no tensors of a graph")
