"""What the application is made of."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

from serving.images import ImageLimits
from serving.metrics import Metrics
from serving.repository import ModelRepository
from serving.settings import ImageGenerationSettings
from serving.text_sessions import SessionParts, make_sessions
from serving.video_frames import VideoLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceParts:
    """What an InferenceService is made of."""

    repository: ModelRepository
    metrics: Metrics
    image_limits: ImageLimits
    image_pool: Executor
    """Threads that decode pictures."""
    max_images: int = 1024
    """Pictures that may be worked on at once, those that wait to be decoded included."""
    video_limits: VideoLimits = field(default_factory=VideoLimits)
    """Of one video to be captioned."""
    image_generation: ImageGenerationSettings = field(default_factory=ImageGenerationSettings)
    """How many pictures a request may ask for."""
    required_models: Sequence[str] = ()
    log_requests: bool = False
    """One log line a request."""
    sessions: SessionParts = field(default_factory=make_sessions)
    """Texts that are kept for clients."""
    clock: Callable[[], float] = field(default=time.monotonic)
